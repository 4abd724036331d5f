"""How commands print: rich tables for people, one JSON object for programs."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence

from rich.console import Console
from rich.table import Table

console = Console()


def print_json(values: Mapping[str, object] | Sequence[object]) -> None:
    """One JSON value on standard output, and nothing else."""
    sys.stdout.write(json.dumps(values, indent=2) + "\n")


def table(title: str, headers: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table; the first column is text, the others are figures where they hold numbers."""
    grid = Table(title=title, title_justify="left")
    lines = [[text(value) for value in row] for row in rows]
    for i, header in enumerate(headers):
        numbers = all(line[i][:1] in "0123456789-~" for line in lines)
        grid.add_column(header, justify="right" if numbers and i else "left")
    for line in lines:
        grid.add_row(*line)
    console.print(grid)


def text(value: object) -> str:
    """A value as people read it."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.1f}" if abs(value) >= 10 else f"{value:.3g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)


def percent(share: float | None, digits: int = 2) -> str:
    """A share between 0 and 1 in percent."""
    return "-" if share is None else f"{100 * share:.{digits}f} %"


def say(message: str) -> None:
    """One line for people."""
    console.print(message, highlight=False, soft_wrap=True)
