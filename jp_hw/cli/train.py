"""The command ``jp-hw train``."""

import json as jsonlib
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jp_hw.errors import JpHwError

if TYPE_CHECKING:
    from jp_hw.train import StageName, TrainConfig


def train(
    name: Annotated[str, typer.Argument(help="Network to train, e.g. mlp3 or resnet8.")],
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
    optimizer: Annotated[str | None, typer.Option(help="adam, sgd, adadelta or muon.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images per step.")] = None,
    width: Annotated[int | None, typer.Option(help="Width of the network, e.g. 160.")] = None,
    densities: Annotated[str | None, typer.Option(help="Weights kept: 0.03,0.06,0.5.")] = None,
    macs: Annotated[
        float | None, typer.Option(help="Or: share of MACs that weight pruning leaves.")
    ] = None,
    winner_rates: Annotated[
        str | None, typer.Option(help="Activations kept per hidden layer, e.g. 0.2,0.3.")
    ] = None,
    mac_penalty: Annotated[
        float | None, typer.Option(help="Weight of the expected MACs in the loss.")
    ] = None,
    balance: Annotated[
        int | None, typer.Option(help="Equal weights in so many groups of output channels.")
    ] = None,
    processes: Annotated[
        int | None, typer.Option(help="Processes (GPUs, on a GPU) that share each batch.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any other setting: KEY=VALUE, e.g. prune.warmup=0.1."),
    ] = None,
    base: Annotated[
        Path | None, typer.Option("--from", help="Run whose dense network to start from.")
    ] = None,
    init: Annotated[
        str | None,
        typer.Option(help="Zoo network, artifact, RUN/dense or .safetensors to start from."),
    ] = None,
    teacher: Annotated[
        Path | None, typer.Option(help="Run whose dense network teaches this one, in all stages.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Stop after this stage.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object only.")] = False,
) -> None:
    """Train a network dense, prune its weights, then its activations, and write the artifact.

    Values that are not given come from the network's recipe. A run that was interrupted goes on
    when the same command is given again, and ends in the same weights, bit for bit.
    """
    config = configured(
        name, epochs, lr, width, settings or [], seed=seed, optimizer=optimizer,
        batch_size=batch_size, macs=macs, mac_penalty=mac_penalty, balance=balance,
        processes=processes, densities=numbers("--densities", densities),
        winner_rates=numbers("--winner-rates", winner_rates),
    )  # fmt: skip
    command = shlex.join(["jp-hw", *sys.argv[1:]])
    run(
        config, data, out, command=command, base=base, init=init, teacher=teacher,
        until=stage_name(until), json=json,
    )  # fmt: skip


def configured(
    name: str,
    epochs: str | None,
    lr: str | None,
    width: int | None = None,
    settings: Sequence[str] = (),
    **changes: Any,
) -> "TrainConfig":
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
    if width is not None:
        changes["model_args"] = {"width": width}
    for text in settings:
        set_value(changes, text)
    return recipe(name, **changes)


def set_value(changes: dict[str, Any], text: str) -> None:
    """Put ``KEY=VALUE`` into changes; KEY may be PART.KEY, VALUE is JSON or else a plain word."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise JpHwError(f"--set {text}: give KEY=VALUE")
    try:
        parsed = jsonlib.loads(value)
    except ValueError:
        parsed = value
    *parts, last = key.split(".")
    if parsed is None and not parts:
        raise JpHwError(f"--set {text}: null stands for the recipe's value; leave the option out")
    for part in parts:
        changes = changes.setdefault(part, {})
    changes[last] = parsed


def stage_name(text: str | None) -> "StageName | None":
    """A stage by its name, or None; raise JpHwError naming the option otherwise."""
    from jp_hw.train import STAGES

    if text is None:
        return None
    for stage in STAGES:
        if stage == text:
            return stage
    raise JpHwError(f"--until {text}: choose one of {', '.join(STAGES)}")


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


def run(
    config: "TrainConfig",
    data: Path | None,
    out: Path,
    *,
    command: str,
    base: Path | None,
    init: str | None = None,
    teacher: Path | None = None,
    until: "StageName | None",
    json: bool,
) -> None:
    """Train, with progress bars or silently, then print the figures as a table or as JSON."""
    from rich.console import Console

    from jp_hw.train import train as run_all
    from jp_hw.train.show import Bars, results

    console = Console(quiet=json)
    with Bars(console) as bars:
        info = run_all(
            config, data, out, command=command, progress=bars, until=until, base=base, init=init,
            teacher=teacher,
        )  # fmt: skip
    if info is None:
        console.print(f"Stopped after stage {until}; the same without --until goes on.")
        if json:
            print(jsonlib.dumps({"name": config.model, "stopped_after": until, "run": str(out)}))
        return
    if json:
        print(jsonlib.dumps(result_of(info, out)))
    console.print(results(info))
    console.print(f"Artifact: {out / 'result'}", soft_wrap=True, highlight=False)
