"""What joint pruning brings over weight pruning alone, and what balance costs: trains and compares.

``python -m benchmarks.training MODEL --data DIR --runs DIR``. Every run is resumable, so the command
may be stopped and given again. All runs share one dense network, the first one's or that of
``--from RUN``. Prints one JSON object.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from jp_hw import zoo
from jp_hw.cli.train import configured
from jp_hw.evaluate import evaluate
from jp_hw.train import TrainConfig, train
from jp_hw.train.config import sizes, validated
from jp_hw.train.show import Bars

SHARES = {"mlp3": (0.02, 0.03, 0.045, 0.06)}
"""Shares of MACs that weight pruning alone tries."""


def weights_alone(config: TrainConfig, share: float) -> TrainConfig:
    """The same run without any activation pruning: no thresholds, no penalty, all inputs and weights."""
    rates = (1.0,) * sizes(config.model, config.model_args)[1]
    values = config.model_dump() | {"macs": share, "densities": None, "weights": None}
    values |= {"winner_rates": rates, "mac_penalty": 0.0, "input_theta": 0.0, "sensitivity": 0}
    return validated(values)


def variants(
    config: TrainConfig, shares: tuple[float, ...], balance: int
) -> dict[str, TrainConfig]:
    """Every run by name, the joint one first; one dense stage serves all."""
    runs = {"joint": config}
    runs |= {f"weights-{share:g}": weights_alone(config, share) for share in shares}
    if balance > 1:
        runs[f"balance-{balance}"] = validated(config.model_dump() | {"balance": balance})
    return runs


def figures(name: str, folder: Path, data: Path) -> dict[str, Any]:
    """Accuracy and MACs of the integer network on the whole test set."""
    found = evaluate(str(folder), data).to_json()
    keys = ("dense_accuracy", "float_accuracy", "integer_accuracy", "macs_per_image", "macs_kept")
    return {"run": name, **{key: found[key] for key in keys}}


def comparison(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Joint pruning against weight pruning alone at the same accuracy.

    ``weights_alone_macs``: of the run with the fewest MACs among those at least as accurate as the
    joint one; where none is, of the most accurate one, and ``equal_accuracy`` is false.
    ``more_than_times_fewer_macs``: the truth lies above that: by the run with the most MACs among those
    that are less accurate, None where there is none.
    """
    first = rows[0]
    alone = [row for row in rows if row["run"].startswith("weights-")]
    good = [row for row in alone if row["integer_accuracy"] >= first["integer_accuracy"]]
    worse = [row["macs_per_image"] for row in alone if row not in good]
    chosen = (
        min(good, key=lambda row: row["macs_per_image"])
        if good
        else max(alone, key=lambda row: row["integer_accuracy"])
    )
    balanced = [row for row in rows if row["run"].startswith("balance-")]
    return {
        "joint_macs": first["macs_per_image"],
        "weights_alone_macs": chosen["macs_per_image"],
        "weights_alone_run": chosen["run"],
        "equal_accuracy": bool(good),
        "times_fewer_macs": chosen["macs_per_image"] / first["macs_per_image"],
        "more_than_times_fewer_macs": max(worse) / first["macs_per_image"] if worse else None,
        "balance": [
            {
                "costs_accuracy": first["integer_accuracy"] - row["integer_accuracy"],
                "macs": row["macs_per_image"],
            }
            for row in balanced
        ],
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
    parser.add_argument(
        "--balance", type=int, default=8, help="groups of balanced pruning, 1: none"
    )
    parser.add_argument("--set", action="append", default=[], help="KEY=VALUE, as of jp-hw train")
    parser.add_argument("--from", dest="base", type=Path, help="run whose dense network to take")
    parser.add_argument("--teacher", type=Path, help="run whose dense network teaches all")
    options = parser.parse_args()
    shares = tuple(options.shares or SHARES.get(options.model, (0.1, 0.15, 0.2, 0.25)))
    console, rows = Console(stderr=True), []
    base = options.base
    config = configured(options.model, None, None, settings=options.set)
    for name, variant in variants(config, shares, options.balance).items():
        folder = options.runs / f"{options.model}-{name}"
        if not (folder / "result" / zoo.JSON).is_file():
            console.print(f"{options.model} {name}")
            with Bars(console) as bars:
                train(
                    variant, options.data, folder, progress=bars, base=base, teacher=options.teacher
                )
        base = base or folder
        rows.append(figures(name, folder, options.data))
    console.print(table(options.model, rows))
    print(json.dumps({"model": options.model, "runs": rows, **comparison(rows)}, indent=2))


if __name__ == "__main__":
    main()
