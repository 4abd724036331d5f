"""`jp-hw explore`: the Pareto front of accuracy, speed and size."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jp_hw.cli.flow import Json
from jp_hw.cli.output import console, percent, print_json, say, table

if TYPE_CHECKING:
    from jp_hw.explore import Point


def explore(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MODEL...", help="Zoo models or folders, all of one task [default: mlp3]."
        ),
    ] = None,
    board: Annotated[str, typer.Option(help="Board name, or a board file (.toml).")] = "pynq-z2",
    trials: Annotated[int, typer.Option(min=1, help="Designs to judge, with earlier ones.")] = 40,
    clock: Annotated[
        list[float] | None, typer.Option(help="Clock in MHz, several times [default: the board's].")
    ] = None,
    bits: Annotated[str, typer.Option(help="Bit widths: of weights and of activations.")] = "4-8",
    images: Annotated[int, typer.Option(min=1, help="Test images to measure accuracy on.")] = 500,
    data: Annotated[
        Path | None, typer.Option("--data", help="Data folder [default: $JP_HW_DATA].")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Study folder [default: build/explore-BOARD]."),
    ] = None,
    seed: Annotated[
        int, typer.Option(help="Of the search; processes that run at a time want different ones.")
    ] = 0,
    json: Json = False,
) -> None:
    """Search networks, bit widths, PEs and clocks for the best designs on a board.

    The study is a journal in its folder: run the same command again, there or on other machines that
    share the folder, to add trials.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from jp_hw import boards
    from jp_hw.explore import FRONT, PLOT, Space
    from jp_hw.explore import explore as run

    target = boards.load(board)
    space = Space(
        tuple(dict.fromkeys(models or ["mlp3"])),
        target,
        tuple(clock) if clock else (target.clock_mhz,),
        _bits(bits),
        images,
        seed=seed,
    )
    folder = out or Path("build") / f"explore-{target.name}"
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, disable=json or not console.is_terminal) as progress:
        task = progress.add_task("exploring", total=trials)

        def tell(done: int, point: "Point | None") -> None:
            best = "does not fit" if point is None else _short(point)
            progress.update(task, completed=done, description=f"exploring: {best}")

        front = run(space, folder, trials, data=data, tell=tell)
    if json:
        print_json(
            {"board": target.name, "out": str(folder), "front": [p.to_json() for p in front]}
        )
        return
    table(
        f"Pareto front on {target.name}",
        ("model", "W bits", "A bits", "PEs", "MHz", "accuracy", "cycles", "images/s", "largest share"),
        [
            (
                p.model, p.weight_bits, p.activation_bits, p.pes, f"{p.clock_mhz:g}",
                percent(p.accuracy), p.cycles, p.images_per_second, percent(p.area, 0),
            )
            for p in front
        ],
    )  # fmt: skip
    say(f"wrote {folder / FRONT} and {folder / PLOT}; accuracies are of {images} test images")


def _bits(text: str) -> tuple[int, ...]:
    """Bit widths of "8", "4-8" or "4,6,8"."""
    from jp_hw.errors import JpHwError

    try:
        found = []
        for part in text.split(","):
            first, _, last = part.partition("-")
            found += list(range(int(first), int(last or first) + 1))
    except ValueError:
        found = []
    if not found or not all(2 <= bits <= 8 for bits in found):
        raise JpHwError(f"bit widths {text!r}: give numbers from 2 to 8, as in 8, 4-8 or 4,6,8")
    return tuple(sorted(set(found)))


def _short(point: "Point") -> str:
    return f"{percent(point.accuracy, 1)}, {point.images_per_second:,.0f} images/s"
