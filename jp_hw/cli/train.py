"""The command ``jp-hw train``."""

import json as jsonlib
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jp_hw.errors import JpHwError

if TYPE_CHECKING:
    from jp_hw.train import TrainConfig


def train(
    name: Annotated[str, typer.Argument(help="Network to train, e.g. mlp3.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Run folder; the same again resumes.")],
    data: Annotated[
        Path | None, typer.Option("--data", help="Data folder [default: $JP_HW_DATA].")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of weights, order and shifts.")] = None,
    epochs: Annotated[
        str | None, typer.Option(help="Epochs of dense,prune,dynamic,static, e.g. 20,60,5,25.")
    ] = None,
    lr: Annotated[
        str | None,
        typer.Option(help="Learning rates of the four stages, e.g. 1e-3,3e-3,1e-3,1e-3."),
    ] = None,
    optimizer: Annotated[str | None, typer.Option(help="adam, sgd or adadelta.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images per step.")] = None,
    densities: Annotated[str | None, typer.Option(help="Weights kept: 0.03,0.06,0.5.")] = None,
    winner_rates: Annotated[
        str | None, typer.Option(help="Activations kept per hidden layer, e.g. 0.2,0.3.")
    ] = None,
    input_theta: Annotated[
        float | None, typer.Option(help="Pixels (0..1) up to this value count as zero.")
    ] = None,
    input_channels: Annotated[
        float | None, typer.Option(help="Share of the input pixels that keep any weight.")
    ] = None,
    mac_penalty: Annotated[
        float | None, typer.Option(help="Weight of the expected MACs in the loss.")
    ] = None,
    holdout: Annotated[int | None, typer.Option(help="Training images held out.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object only.")] = False,
) -> None:
    """Train a network dense, prune its weights, then its activations, and write the artifact.

    Values that are not given come from the network's recipe. A run that was interrupted goes on
    when the same command is given again, and ends in the same weights, bit for bit.
    """
    config = configured(
        name,
        epochs,
        lr,
        seed=seed,
        optimizer=optimizer,
        batch_size=batch_size,
        densities=numbers("--densities", densities),
        winner_rates=numbers("--winner-rates", winner_rates),
        input_theta=input_theta,
        input_channels=input_channels,
        mac_penalty=mac_penalty,
        holdout=holdout,
    )
    command = shlex.join(["jp-hw", *sys.argv[1:]])
    if json:
        from jp_hw.train import train as run

        print(jsonlib.dumps(result_of(run(config, data, out, command=command), out)))
    else:
        with_progress(config, data, out, command)


def configured(name: str, epochs: str | None, lr: str | None, **changes: Any) -> "TrainConfig":
    """A network's recipe with changes; ``epochs`` and ``lr`` hold one number per stage."""
    from jp_hw.train import STAGES, recipe

    for option, key, text in (("--epochs", "epochs", epochs), ("--lr", "lr", lr)):
        values = numbers(option, text)
        if values is None:
            continue
        if len(values) != len(STAGES):
            raise JpHwError(f"{option} {text}: give {len(STAGES)} values, for {', '.join(STAGES)}")
        for stage, value in zip(STAGES, values, strict=True):
            changes.setdefault(stage, {})[key] = value
    return recipe(name, **changes)


def numbers(option: str, text: str | None) -> tuple[float, ...] | None:
    """Comma-separated numbers, or None; raise JpHwError naming the option otherwise."""
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise JpHwError(f"{option} {text}: give numbers with commas between, no spaces") from None


def result_of(info: dict[str, Any], out: Path) -> dict[str, Any]:
    """The JSON object of ``--json``: stable keys."""
    metrics = info["metrics"]
    return {
        "name": info["name"],
        "artifact": str(out / "result"),
        "seed": info["seed"],
        "dense_accuracy": metrics["dense"]["accuracy"],
        "jpnet_accuracy": metrics["jpnet"]["accuracy"],
        "macs_kept": metrics["jpnet"]["macs_kept"],
        "macs_per_image": metrics["jpnet"]["macs_per_image"],
        "dense_macs": metrics["jpnet"]["dense_macs"],
        "weights_kept": metrics["jpnet"]["weights_kept"],
        "thetas": metrics["thetas"],
        "layers": metrics["jpnet"]["layers"],
    }


def with_progress(config: "TrainConfig", data: Path | None, out: Path, command: str) -> None:
    """Train with progress bars, then print the figures as a table."""
    from rich.console import Console

    from jp_hw.train import train as run
    from jp_hw.train.show import Bars, results

    console = Console()
    with Bars(console) as bars:
        info = run(config, data, out, command=command, progress=bars)
    console.print(results(info))
    console.print(f"Artifact: {out / 'result'}", soft_wrap=True, highlight=False)
