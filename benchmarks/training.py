"""What joint pruning brings over weight pruning alone, and what balance costs: trains and compares.

``python -m benchmarks.training MODEL --data DIR --runs DIR``. Every run is resumable, so the command
may be stopped and given again. All runs share the first one's dense network. Prints one JSON object.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from jp_hw import zoo
from jp_hw.evaluate import evaluate
from jp_hw.train import TrainConfig, recipe, train
from jp_hw.train.show import Bars

BALANCE = 8
SHARES = {"mlp3": (0.02, 0.03, 0.045, 0.06)}
"""Shares of MACs (or, of mlp3, scales of its densities) that weight pruning alone tries."""


def joint(model: str) -> TrainConfig:
    """The zoo's recipe."""
    return recipe(model)


def weights_alone(model: str, share: float) -> TrainConfig:
    """The same run without any activation pruning: no thresholds, no penalty, all inputs."""
    plain = recipe(model)
    rates = (1.0,) * _hidden(plain)
    changes: dict[str, Any] = {"macs": share, "winner_rates": rates, "mac_penalty": 0.0}
    return recipe(model, input_theta=0.0, sensitivity=0, **changes)


def balanced(model: str, parts: int) -> TrainConfig:
    """The recipe with balanced masks."""
    return recipe(model, balance=parts)


def _hidden(config: TrainConfig) -> int:
    from jp_hw.train.config import sizes

    return sizes(config.model, config.model_args)[1]


def variants(model: str, shares: tuple[float, ...]) -> dict[str, TrainConfig]:
    """Every run by name; the first one's dense stage serves all."""
    runs = {"joint": joint(model)}
    runs |= {f"weights-{share:g}": weights_alone(model, share) for share in shares}
    return runs | {f"balance-{BALANCE}": balanced(model, BALANCE)}


def figures(name: str, folder: Path, data: Path) -> dict[str, Any]:
    """Accuracy and MACs of the integer network on the whole test set."""
    found = evaluate(str(folder), data).to_json()
    keys = ("dense_accuracy", "float_accuracy", "integer_accuracy", "macs_per_image", "macs_kept")
    return {"run": name, **{key: found[key] for key in keys}}


def comparison(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Joint pruning against weight pruning alone at the same accuracy.

    ``weights_alone_macs``: of the run with the fewest MACs among those at least as accurate as the
    joint one; where none is, of the most accurate one, and ``equal_accuracy`` is false.
    """
    first = rows[0]
    alone = [row for row in rows if row["run"].startswith("weights-")]
    good = [row for row in alone if row["integer_accuracy"] >= first["integer_accuracy"]]
    chosen = (
        min(good, key=lambda row: row["macs_per_image"])
        if good
        else max(alone, key=lambda row: row["integer_accuracy"])
    )
    return {
        "joint_macs": first["macs_per_image"],
        "weights_alone_macs": chosen["macs_per_image"],
        "weights_alone_run": chosen["run"],
        "equal_accuracy": bool(good),
        "times_fewer_macs": chosen["macs_per_image"] / first["macs_per_image"],
        "balance_costs_accuracy": first["integer_accuracy"] - rows[-1]["integer_accuracy"],
        "balance_macs": rows[-1]["macs_per_image"],
    }


def table(model: str, rows: list[dict[str, Any]]) -> Table:
    """The rows for people."""
    result = Table(title=f"{model}, integer network, test set")
    for heading in ("run", "accuracy", "MACs per image", "MACs kept"):
        result.add_column(heading, justify="left" if heading == "run" else "right")
    for row in rows:
        result.add_row(
            row["run"],
            f"{row['integer_accuracy']:.2%}",
            f"{row['macs_per_image']:,.0f}",
            f"{row['macs_kept']:.2%}",
        )
    return result


def main() -> None:
    """Train what is missing, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--runs", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--shares", type=float, nargs="+", help="MACs left by weight pruning alone")
    options = parser.parse_args()
    shares = tuple(options.shares or SHARES.get(options.model, (0.1, 0.15, 0.2, 0.25)))
    console, rows = Console(stderr=True), []
    base = None
    for name, config in variants(options.model, shares).items():
        folder = options.runs / f"{options.model}-{name}"
        if not (folder / "result" / zoo.JSON).is_file():
            console.print(f"{options.model} {name}")
            with Bars(console) as bars:
                train(config, options.data, folder, progress=bars, base=base)
        base = base or folder
        rows.append(figures(name, folder, options.data))
    console.print(table(options.model, rows))
    print(json.dumps({"model": options.model, "runs": rows, **comparison(rows)}, indent=2))


if __name__ == "__main__":
    main()
