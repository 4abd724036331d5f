"""Pictures of a run: accuracy against MACs kept, densities by epoch, sensitivity."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jp_hw.figures import new, save

Row = Mapping[str, Any]


def draw(folder: Path, history: Sequence[Row], analyses: Mapping[str, Mapping[str, Any]]) -> None:
    """Write macs.png and densities.png, and sensitivity-STAGE.png where there is none yet."""
    save(folder / "macs.png", _accuracy_against_macs(history))
    save(folder / "densities.png", _densities(history))
    for stage, found in analyses.items():
        path = folder / f"sensitivity-{stage}.png"
        if not path.is_file():
            save(path, _sensitivity(stage, found))


def _accuracy_against_macs(history: Sequence[Row]) -> Any:
    figure, axes = new()
    for stage in dict.fromkeys(row["stage"] for row in history):
        rows = [row for row in history if row["stage"] == stage]
        macs = [100 * row["macs_kept"] for row in rows]
        axes.plot(macs, [100 * row["accuracy"] for row in rows], "o-", markersize=3, label=stage)
    axes.set(xlabel="MACs kept, %", ylabel="accuracy on held-out images, %", xscale="log")
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def _densities(history: Sequence[Row]) -> Any:
    figure, (left, right) = new(2)
    for axes, suffix, label in ((left, "_weights", "weights"), (right, "_macs", "MACs per image")):
        for name in [key for key in history[0] if key.endswith(suffix)]:
            values = [row[name] for row in history]
            axes.plot(range(1, len(values) + 1), values, label=name.removesuffix(suffix))
        axes.set(xlabel="epoch", ylabel=label, yscale="log")
        axes.grid(alpha=0.3)
    right.legend(fontsize="small")
    return figure


def _sensitivity(stage: str, found: Mapping[str, Any]) -> Any:
    figure, both = new(2)
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
