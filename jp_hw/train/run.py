"""A training run in its folder: start or resume, train all stages, write the artifact.

RUN/config.json, command.txt, metrics.csv (a row per epoch), checkpoint/ and, at the end, result/.
"""

import csv
import io
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from jp_hw import datasets, models
from jp_hw.datasets import Dataset
from jp_hw.errors import JpHwError
from jp_hw.train import checkpoint, finish, stages
from jp_hw.train.config import STAGES, TrainConfig
from jp_hw.train.data import Batches, to_float, to_nchw
from jp_hw.train.measure import Measure, measure
from jp_hw.train.state import RunState, fresh, from_checkpoint, to_checkpoint

CALIBRATION_IMAGES = 10_000
Row = dict[str, Any]


class Progress(Protocol):
    """What a run tells while it goes on."""

    def stage(self, name: str, epochs: int, done: int, steps: int) -> None:
        """A stage of ``epochs`` x ``steps`` begins, ``done`` epochs of it done before."""

    def step(self, loss: float) -> None:
        """One training step is done."""

    def epoch(self, row: Row) -> None:
        """One epoch is done; the row of metrics.csv."""


class Silent:
    """Progress that nobody sees."""

    def stage(self, name: str, epochs: int, done: int, steps: int) -> None:
        """Nothing."""

    def step(self, loss: float) -> None:
        """Nothing."""

    def epoch(self, row: Row) -> None:
        """Nothing."""


@dataclass(frozen=True)
class Material:
    """A run's data: shuffled training batches, and held-out and calibration images."""

    batches: Batches
    held_images: Tensor
    held_labels: Tensor
    calibration: Tensor
    scale: float


def train(
    config: TrainConfig,
    data: str | Path | Dataset | None,
    out: str | Path,
    *,
    command: str = "",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Train (or go on with) the run in folder ``out`` and return the artifact's model.json.

    ``data``: a folder, a loaded data set, or None for the environment's. Running the same config
    in the same folder again resumes at the last finished epoch and ends in bit-identical weights.
    Raise JpHwError when the folder belongs to another run or to something else, when data are
    missing, or when the loss is not finite.
    """
    started = time.monotonic()
    folder = Path(out)
    _claim(folder, config)
    spec = models.spec(config.model)
    dataset = data if isinstance(data, Dataset) else datasets.load(spec.dataset, data)
    _check(dataset, config)
    _open(folder, config, command)
    torch.set_num_threads(config.threads)
    torch.use_deterministic_algorithms(True)
    material = prepare(dataset, config, spec.input_scale)
    saved = checkpoint.load(folder / "checkpoint")
    state = from_checkpoint(config, saved) if saved else fresh(config)
    _train_stages(state, material, folder, progress or Silent())
    return finish.write(state, dataset, folder, command, time.monotonic() - started)


def prepare(dataset: Dataset, config: TrainConfig, scale: float) -> Material:
    """Split off the held-out images and take calibration images from the start of the rest."""
    used, held = dataset.train[: -config.holdout], dataset.train[-config.holdout :]
    calibration = to_nchw(used.images[:CALIBRATION_IMAGES])
    return Material(
        batches=Batches(used, config, scale),
        held_images=to_nchw(held.images),
        held_labels=torch.tensor(held.labels),
        calibration=to_float(calibration, scale),
        scale=scale,
    )


def _train_stages(state: RunState, material: Material, folder: Path, progress: Progress) -> None:
    """All epochs that are left, with a checkpoint and a row of metrics after each."""
    shown = -1
    while not state.done:
        stage = STAGES[state.stage]
        stages.enter(state)
        if shown != state.stage:
            epochs = state.config.stage(stage).epochs
            progress.stage(stage, epochs, state.epoch, len(material.batches))
            shown = state.stage
        started = time.monotonic()
        loss = stages.run_epoch(state, material.batches, progress.step)
        row: Row = {"stage": stage, "epoch": state.epoch + 1, "loss": loss}
        stages.leave_epoch(state, material.calibration)
        held = measure(
            state.model, state.layers, material.held_images, material.held_labels, material.scale
        )
        row |= _figures(held) | {"seconds": round(time.monotonic() - started, 2)}
        state.history.append(row)
        now = to_checkpoint(state)
        checkpoint.save(folder / "checkpoint", now.tensors, now.data, str(len(state.history)))
        checkpoint.write_text(folder / "metrics.csv", _csv(state.history))
        progress.epoch(row)


def _figures(held: Measure) -> Row:
    """The figures of a row: held-out accuracy, MACs kept, then weights and MACs per layer."""
    row: Row = {"accuracy": held.accuracy, "macs_kept": held.macs_kept}
    for layer in held.layers:
        figures = layer.summary()
        row[f"{layer.name}_weights"] = layer.weights_kept
        row[f"{layer.name}_macs"] = round(figures["macs_per_image"], 2)
        row[f"{layer.name}_tokens"] = round(figures["tokens_per_image"], 2)
    return row


def _csv(history: list[Row]) -> str:
    """Rows as CSV text with a header."""
    text = io.StringIO()
    writer = csv.DictWriter(text, history[0].keys(), lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    return text.getvalue()


def _claim(folder: Path, config: TrainConfig) -> None:
    """Refuse a folder that holds another run or something else."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise JpHwError(f"{folder} is a file: give a new folder with --out")
    written = folder / "config.json"
    if not written.is_file():
        if any(folder.iterdir()):
            raise JpHwError(f"{folder} holds files that are no training run: give a new folder")
        return
    try:
        theirs = json.loads(written.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise JpHwError(f"{written} cannot be read ({error}): give a new folder") from error
    mine = json.loads(config.model_dump_json())
    if theirs != mine:
        keys = sorted(
            key for key in mine if not isinstance(theirs, dict) or theirs.get(key) != mine[key]
        )
        raise JpHwError(
            f"{folder} holds a run with another {', '.join(keys) or 'config'}: give a new folder, "
            "or the same options to resume"
        )


def _check(dataset: Dataset, config: TrainConfig) -> None:
    """Refuse a holdout that leaves nothing to train on."""
    if len(dataset.train) <= config.holdout:
        raise JpHwError(
            f"holdout {config.holdout} leaves none of {len(dataset.train)} training images: "
            "lower it"
        )


def _open(folder: Path, config: TrainConfig, command: str) -> None:
    """Create the run folder with its config and command line."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        checkpoint.write_text(folder / "command.txt", (command or " ".join(sys.argv)) + "\n")
        checkpoint.write_text(folder / "config.json", config.model_dump_json(indent=1) + "\n")
    except OSError as error:
        raise JpHwError(f"run folder {folder} cannot be written ({error})") from error
