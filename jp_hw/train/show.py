"""Progress bars and tables of a training run, with rich."""

from typing import Any, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table


class Bars:
    """One bar per stage: epochs done, steps, held-out accuracy and MACs kept."""

    def __init__(self, console: Console) -> None:
        """Bars on a console; nothing shows before ``with``."""
        self._progress = Progress(
            TextColumn("{task.description:8}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[figures]}"),
            console=console,
        )
        self._task: TaskID | None = None
        self._loss = 0.0

    def __enter__(self) -> Self:
        """Show."""
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop; the bars stay on the screen."""
        self._progress.stop()

    def stage(self, name: str, epochs: int, done: int, steps: int) -> None:
        """A new bar, in steps."""
        self._task = self._progress.add_task(
            name, total=epochs * steps, completed=done * steps, figures=""
        )

    def step(self, loss: float) -> None:
        """One step further."""
        self._loss = loss
        if self._task is not None:
            self._progress.advance(self._task)

    def epoch(self, row: dict[str, Any]) -> None:
        """Show the last epoch's held-out figures."""
        if self._task is not None:
            figures = f"accuracy {row['accuracy']:.2%}  MACs kept {row['macs_kept']:.2%}"
            text = f"{figures}  loss {self._loss:.3f}"
            self._progress.update(self._task, figures=text)


def results(info: dict[str, Any]) -> Table:
    """The figures of a model.json on the test images, layer by layer."""
    jpnet, dense = info["metrics"]["jpnet"], info["metrics"]["dense"]
    table = Table(
        title=f"{info['name']} on {jpnet['images']:,} test images: dense {dense['accuracy']:.2%}, "
        f"JPnet {jpnet['accuracy']:.2%}"
    )
    for heading in ("layer", "weights kept", "inputs kept", "tokens", "MACs", "MACs kept"):
        table.add_column(heading, justify="left" if heading == "layer" else "right")
    for layer in jpnet["layers"]:
        table.add_row(
            layer["name"],
            f"{layer['weights_kept']:,} ({layer['weight_density']:.2%})",
            f"{layer['input_rate']:.1%}",
            f"{layer['tokens_per_image']:.1f}",
            f"{layer['macs_per_image']:,.0f}",
            f"{layer['macs_kept']:.2%}",
        )
    table.add_section()
    kept, all_macs = jpnet["macs_per_image"], jpnet["dense_macs"]
    table.add_row(
        "all",
        f"{jpnet['weights_kept']:,}",
        "",
        "",
        f"{kept:,.0f} of {all_macs:,}",
        f"{jpnet['macs_kept']:.2%}",
    )
    return table
