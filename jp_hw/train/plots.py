"""Pictures of a run: accuracy against MACs kept, densities by epoch, sensitivity."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Row = Mapping[str, Any]


def draw(folder: Path, history: Sequence[Row], analyses: Mapping[str, Mapping[str, Any]]) -> None:
    """Write macs.png and densities.png, and sensitivity-STAGE.png where there is none yet."""
    _write(folder / "macs.png", _accuracy_against_macs(history))
    _write(folder / "densities.png", _densities(history))
    for stage, found in analyses.items():
        path = folder / f"sensitivity-{stage}.png"
        if not path.is_file():
            _write(path, _sensitivity(stage, found))


def _figure(columns: int = 1) -> tuple[Any, Any]:
    """A figure without a window, and its axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6 * columns, 4.5))
    figure.subplots_adjust(left=0.12 / columns, right=1 - 0.04 / columns, bottom=0.12, top=0.94)
    return figure, figure.subplots(1, columns)


def _write(path: Path, figure: Any) -> None:
    """Save a figure, whole or not at all."""
    temporary = path.with_name(f".{path.name}.tmp")
    figure.savefig(temporary, format="png", dpi=110)
    temporary.replace(path)


def _accuracy_against_macs(history: Sequence[Row]) -> Any:
    figure, axes = _figure()
    for stage in dict.fromkeys(row["stage"] for row in history):
        rows = [row for row in history if row["stage"] == stage]
        macs = [100 * row["macs_kept"] for row in rows]
        axes.plot(macs, [100 * row["accuracy"] for row in rows], "o-", markersize=3, label=stage)
    axes.set(xlabel="MACs kept, %", ylabel="accuracy on held-out images, %", xscale="log")
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def _densities(history: Sequence[Row]) -> Any:
    figure, (left, right) = _figure(2)
    for axes, suffix, label in ((left, "_weights", "weights"), (right, "_macs", "MACs per image")):
        for name in [key for key in history[0] if key.endswith(suffix)]:
            values = [row[name] for row in history]
            axes.plot(range(1, len(values) + 1), values, label=name.removesuffix(suffix))
        axes.set(xlabel="epoch", ylabel=label, yscale="log")
        axes.grid(alpha=0.3)
    right.legend(fontsize="small")
    return figure


def _sensitivity(stage: str, found: Mapping[str, Any]) -> Any:
    figure, both = _figure(2)
    kinds = (("densities", "weights kept"), ("winner_rates", "winner rate"))
    for axes, (kind, label) in zip(both, kinds, strict=True):
        for name, rows in found[kind].items():
            shares = [100 * row["share"] for row in rows]
            axes.plot(
                shares, [100 * row["accuracy"] for row in rows], "o-", markersize=3, label=name
            )
        axes.axhline(100 * found["accuracy"], color="black", linewidth=0.8, linestyle=":")
        axes.set(xlabel=f"{label}, %", ylabel="accuracy, %", title=f"after stage {stage}")
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small")
    return figure
