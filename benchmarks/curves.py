"""Accuracy against MACs kept, from the results of `benchmarks.training`: `python -m benchmarks.curves`.

Reads benchmarks/results/training_*.json and draws docs/accuracy-macs.png, a panel per network: integer
networks on the whole test sets.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from jp_hw import figures

HERE = Path(__file__).parent
OUT = HERE.parent / "docs" / "accuracy-macs.png"
KINDS = {"joint": "joint pruning", "weights": "weights alone", "balance": "joint, balanced"}
"""How the runs' names begin, and what they are."""


def draw(axes: Any, result: dict[str, Any]) -> None:
    """One network's runs, and its dense baseline."""
    runs = result["runs"]
    for start, label in KINDS.items():
        mine = sorted(
            (100 * run["macs_kept"], 100 * run["integer_accuracy"])
            for run in runs
            if run["run"].startswith(start)
        )
        if mine:
            axes.plot(*zip(*mine, strict=True), marker="o", label=label)
    dense = 100 * runs[0]["dense_accuracy"]
    axes.axhline(dense, color="gray", linestyle="--", label="dense, float")
    axes.set_title(result["model"])
    axes.set_xlabel("MACs kept, %")
    axes.set_ylabel("accuracy, %")
    axes.legend()


def main() -> None:
    """Draw all results there are."""
    results = [
        json.loads(path.read_text()) for path in sorted(HERE.glob("results/training_*.json"))
    ]
    figure, panels = figures.new(len(results))
    for axes, result in zip(np.atleast_1d(panels), results, strict=True):
        draw(axes, result)
    figures.save(OUT, figure)
    print(OUT)


if __name__ == "__main__":
    main()
