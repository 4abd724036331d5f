"""The command line: `jp-hw`. Every command imports what it needs when it runs."""

import sys

import typer

from jp_hw.cli import board, flow, info
from jp_hw.cli.explore import explore
from jp_hw.cli.hls import hls
from jp_hw.cli.schedule import schedule
from jp_hw.cli.train import train
from jp_hw.errors import JpHwError

app = typer.Typer(
    name="jp-hw",
    help="A jointly pruned PyTorch network in, a zero-skipping FPGA accelerator out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(flow.generate)
app.command()(schedule)
app.command()(flow.csim)
app.command()(flow.simulate)
app.command()(flow.synth)
app.command()(board.build)
app.command()(board.deploy)
app.command()(board.run)
app.command()(hls)
app.command()(train)
app.command()(explore)
app.command()(info.evaluate)
app.command()(info.models)
app.command()(info.boards)
app.command()(info.doctor)


def main() -> None:
    """Run a command; a JpHwError becomes one line on standard error and exit code 2."""
    try:
        app()
    except JpHwError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.stderr.write("error: interrupted\n")
        sys.exit(130)
