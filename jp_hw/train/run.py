"""A training run in its folder: start or resume, train all stages, write the artifact.

RUN/config.json, command.txt, metrics.csv (a row per epoch), checkpoint/, dense/ (the checkpoint at
the end of the dense stage), sensitivity.json, plots and, at the end, result/.
"""

import csv
import hashlib
import io
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from jp_hw import datasets, models, zoo
from jp_hw.datasets import Dataset
from jp_hw.errors import JpHwError
from jp_hw.train import checkpoint, finish, folder, initial, plots, stages, teachers
from jp_hw.train.config import STAGES, StageName, TrainConfig, validated
from jp_hw.train.data import Batches, layout, to_float, to_nchw
from jp_hw.train.measure import Measure, measure
from jp_hw.train.memory import keep_freed
from jp_hw.train.state import RunState, fresh, from_checkpoint, network, to_checkpoint
from jp_hw.train.team import ALONE, Relay, Team, launch

Row = dict[str, Any]
COUNTED = 1000
"""Held-out images on which MACs are counted after every epoch."""


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
    until: StageName | None = None,
    base: str | Path | None = None,
    init: str | Path | None = None,
    teacher: str | Path | None = None,
) -> dict[str, Any] | None:
    """Train (or go on with) the run in folder ``out`` and return the artifact's model.json.

    ``data``: a folder, a loaded data set, or None for the environment's. ``until``: stop after
    that stage, and return None where others are left. ``base``: another run of the same dense
    settings, whose dense stage is taken over. ``init``: a zoo network, an artifact, RUN/dense or a
    safetensors file whose weights the dense stage starts from. ``teacher``: a run whose dense
    network teaches this one. Running the same config in the same folder again resumes at the last
    finished epoch and ends in bit-identical weights. Raise JpHwError when the folder belongs to
    another run or to something else, when data are missing, or when the loss is not finite.
    """
    where = Path(out)
    config, files = _with_networks(config, init, teacher)
    folder.claim(where, config)
    spec = models.spec(config.model)
    dataset = data if isinstance(data, Dataset) else datasets.load(spec.dataset, data)
    _check(dataset, config)
    folder.open_run(where, config, command, base, files)
    shown = progress or Silent()
    if config.processes == 1:
        return _run(ALONE, config, dataset, where, command, shown, until)
    with Relay(shown) as relay:
        launch(config.processes, _run, config, dataset, where, command, relay.remote, until)
    return zoo.load(where).info if (where / "result" / zoo.JSON).is_file() else None


def _with_networks(
    config: TrainConfig, init: str | Path | None, teacher: str | Path | None
) -> tuple[TrainConfig, dict[str, bytes]]:
    """The config that names the other networks of a run, and their files; refuse what does not fit."""
    files = {}
    if init is not None:
        files[initial.FILE] = weights = initial.read(init)
        initial.load_into(network(config), weights, init)
        config = config.model_copy(update={"init": hashlib.sha256(weights).hexdigest()})
    if teacher is not None:
        found, files[teachers.FILE] = teachers.source(teacher)
        config = validated(config.model_dump() | {"teacher": found})
        teachers.check(config)
    return config, files


def _run(
    team: Team,
    config: TrainConfig,
    dataset: Dataset,
    where: Path,
    command: str,
    progress: Progress,
    until: StageName | None,
) -> dict[str, Any] | None:
    """What each process of a team does."""
    started = time.monotonic()
    keep_freed()
    torch.set_num_threads(config.threads)
    torch.set_flush_denormal(True)  # momentum of pruned weights fades into such numbers, 4x slower
    torch.use_deterministic_algorithms(True, warn_only=config.device != "cpu")
    deterministic: Any = torch.utils.deterministic
    deterministic.fill_uninitialized_memory = False  # a check, at a price in speed
    spec = models.spec(config.model)
    material = prepare(dataset, config, spec.input_scale, spec.input_shape[:2])
    saved = checkpoint.load(where / "checkpoint")
    init = where / initial.FILE if config.init else None
    state = from_checkpoint(config, saved) if saved else fresh(config, init)
    state.teacher = teachers.load(where, config)
    material.batches.layout = layout(state.model)
    last = STAGES.index(until) if until else len(STAGES) - 1
    _train_stages(state, material, where, progress if team.leads else Silent(), last, team)
    if not state.done or not team.leads:
        return None
    return finish.write(state, dataset, where, command, time.monotonic() - started)


def prepare(dataset: Dataset, config: TrainConfig, scale: float, size: tuple[int, int]) -> Material:
    """Split off the held-out images and take calibration images from the start of the rest.

    Training images are cropped at random to ``size`` = (H, W), the others at their centre.
    """
    used, held = dataset.train[: -config.holdout], dataset.train[-config.holdout :]
    held = datasets.centre(held, size).loaded()
    calibration = to_nchw(datasets.centre(used[: config.calibration], size).loaded().images)
    return Material(
        batches=Batches(used, config, scale, size),
        held_images=to_nchw(held.images),
        held_labels=torch.tensor(held.labels),
        calibration=to_float(calibration, scale),
        scale=scale,
    )


def _train_stages(
    state: RunState, material: Material, where: Path, progress: Progress, last: int, team: Team
) -> None:
    """All epochs that are left up to stage ``last``, with a checkpoint and a row after each."""
    shown = -1
    while state.stage <= last:
        stage = STAGES[state.stage]
        stages.enter(state)
        if shown != state.stage:
            epochs = state.config.stage(stage).epochs
            progress.stage(stage, epochs, state.epoch, len(material.batches))
            shown = state.stage
        row = _epoch(state, material, progress, team)
        state.history.append(row)
        if team.leads:
            _save(state, where, ends=state.epoch == 0)
            progress.epoch(row)


def _epoch(state: RunState, material: Material, progress: Progress, team: Team) -> Row:
    """One epoch; its row of figures on held-out images."""
    row: Row = {"stage": STAGES[state.stage], "epoch": state.epoch + 1}
    started = time.monotonic()
    images = to_float(material.held_images, material.scale)
    material.batches.cut(state.config.stage(row["stage"]).crop_at(state.epoch))
    with stages.quantized(state, material.calibration):
        row["loss"] = stages.run_epoch(state, material.batches, progress.step, team)
    stages.leave_epoch(state, material.calibration, (images, material.held_labels))
    with stages.quantized(state, material.calibration):
        held = measure(
            state.model,
            state.layers,
            material.held_images,
            material.held_labels,
            material.scale,
            counted=COUNTED,
        )
    return row | _figures(held) | {"seconds": round(time.monotonic() - started, 2)}


def _save(state: RunState, where: Path, *, ends: bool) -> None:
    """Write the checkpoint and metrics; after a stage also its plots, and the dense baseline."""
    now = to_checkpoint(state)
    tag = str(len(state.history))
    checkpoint.save(where / "checkpoint", now.tensors, now.data, tag)
    checkpoint.write_text(where / "metrics.csv", _csv(state.history))
    if not ends:
        return
    if state.stage == 1:
        checkpoint.save(where / "dense", now.tensors, now.data, tag)
    if state.analyses:
        text = json.dumps(state.analyses, indent=1)
        checkpoint.write_text(where / "sensitivity.json", text + "\n")
    if state.done or state.stage == 2:
        plots.draw(where, state.history, state.analyses)


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


def _check(dataset: Dataset, config: TrainConfig) -> None:
    """Refuse a holdout that leaves nothing to train on, and classes that the network lacks."""
    if len(dataset.train) <= config.holdout:
        raise JpHwError(
            f"holdout {config.holdout} leaves none of {len(dataset.train)} training images: "
            "lower it"
        )
    if config.device == "cuda" and not torch.cuda.is_available():
        raise JpHwError("device is cuda, but torch finds no GPU here: give --set device=cpu")
    classes = int(config.model_args.get("classes", models.spec(config.model).classes))
    if int(dataset.train.labels.max()) >= classes:
        raise JpHwError(
            f"the data have {dataset.classes} classes, {config.model} has {classes}: "
            f"give --set model_args.classes={dataset.classes}"
        )
