"""Figures without a window, written whole or not at all."""

from pathlib import Path
from typing import Any


def new(columns: int = 1) -> tuple[Any, Any]:
    """A figure and its axes, one or a row of them."""
    from matplotlib.figure import Figure  # matplotlib is heavy

    figure = Figure(figsize=(6 * columns, 4.5))
    figure.subplots_adjust(left=0.12 / columns, right=1 - 0.04 / columns, bottom=0.12, top=0.94)
    return figure, figure.subplots(1, columns)


def save(path: Path, figure: Any) -> None:
    """Save a figure as PNG."""
    temporary = path.with_name(f".{path.name}.tmp")
    figure.savefig(temporary, format="png", dpi=110)
    temporary.replace(path)
