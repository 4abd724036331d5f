"""Commands that tell: evaluate, models, boards, doctor."""

from pathlib import Path
from typing import Annotated

import typer

from jp_hw.cli.flow import Json
from jp_hw.cli.output import percent, print_json, say, table


def evaluate(
    model: Annotated[str, typer.Argument(help="Zoo model, or folder of a trained one.")] = "mlp3",
    data: Annotated[
        Path | None, typer.Option("--data", help="Data folder [default: $JP_HW_DATA].")
    ] = None,
    images: Annotated[
        int | None, typer.Option(min=1, help="Only so many test images [default: all].")
    ] = None,
    json: Json = False,
) -> None:
    """Accuracy, float and integer, and MACs kept per layer, on the test set."""
    from jp_hw.evaluate import evaluate as run

    result = run(model, data, images)
    if json:
        print_json(result.to_json())
        return
    table(
        f"{result.model} on {result.images:,} test images of {result.dataset}",
        ("layer", "weights kept", "inputs kept", "MACs", "MACs kept per image", "MACs kept"),
        [
            (
                layer.name,
                percent(layer.nonzero_weights / layer.weights),
                percent(layer.tokens / layer.activations),
                layer.dense_macs,
                layer.macs_per_image,
                percent(layer.macs_kept),
            )
            for layer in result.layers
        ]
        + [
            (
                "all",
                percent(
                    sum(layer.nonzero_weights for layer in result.layers)
                    / sum(layer.weights for layer in result.layers)
                ),
                "",
                result.dense_macs,
                result.macs_per_image,
                percent(result.macs_per_image / result.dense_macs),
            )
        ],
    )
    say(
        f"accuracy: integer {percent(result.integer_accuracy)}, float "
        f"{percent(result.float_accuracy)}, dense baseline {percent(result.dense_accuracy)}"
    )


def models(json: Json = False) -> None:
    """The trained networks that come with jp_hw."""
    from jp_hw import zoo

    infos = zoo.models()
    rows = [
        {
            "name": info["name"],
            "dataset": info["dataset"]["name"],
            "input": "x".join(map(str, info["input"]["shape"])),
            "classes": info["classes"],
            "accuracy": info["metrics"]["jpnet"]["accuracy"],
            "dense_accuracy": info["metrics"]["dense"]["accuracy"],
            "dense_macs": info["metrics"]["jpnet"]["dense_macs"],
            "macs_kept": info["metrics"]["jpnet"]["macs_kept"],
            "command": info["command"],
        }
        for info in infos
    ]
    if json:
        print_json(rows)
        return
    table(
        "Models (accuracies of the float networks)",
        ("model", "data set", "input", "classes", "accuracy", "dense", "MACs", "MACs kept"),
        [
            (
                row["name"], row["dataset"], row["input"], row["classes"],
                percent(row["accuracy"]), percent(row["dense_accuracy"]), row["dense_macs"],
                percent(row["macs_kept"]),
            )
            for row in rows
        ],
    )  # fmt: skip


def boards(json: Json = False) -> None:
    """The boards that come with jp_hw."""
    from jp_hw.boards import available

    found = available()
    if json:
        print_json([board.model_dump() for board in found])
        return
    table(
        "Boards",
        ("board", "description", "part", "clock", "LUT", "FF", "DSP", "BRAM18"),
        [
            (b.name, b.description, b.part, f"{b.clock_mhz:g} MHz", *vars(b.budget).values())
            for b in found
        ],
    )


def doctor(json: Json = False) -> None:
    """What is installed, what is missing, and what it is for."""
    from jp_hw.doctor import examine

    tools = examine()
    if json:
        print_json([vars(tool) for tool in tools])
    else:
        table(
            "Tools",
            ("tool", "for", "found", "how to get it"),
            [
                (
                    tool.name,
                    tool.purpose,
                    tool.version or ("missing" if tool.missing else "not installed (optional)"),
                    "" if tool.version else tool.how,
                )
                for tool in tools
            ],
        )
    if any(tool.missing for tool in tools):
        raise typer.Exit(2)
