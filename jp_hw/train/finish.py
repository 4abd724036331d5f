"""The end of a run: drop what never fires, fold, equalize, measure on test images, and save."""

from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from jp_hw import models, zoo
from jp_hw.datasets import Dataset, Split
from jp_hw.errors import JpHwError
from jp_hw.nn import set_winner_mode
from jp_hw.train import pruning
from jp_hw.train.data import to_nchw
from jp_hw.train.equalize import equalize
from jp_hw.train.measure import Inputs, Measure, measure
from jp_hw.train.stages import dense_model, set_modes
from jp_hw.train.state import RunState

SAMPLES = 64
CALIBRATION = 256
BATCH = 1000
PACKAGES = ("torch", "numpy", "safetensors")


def write(
    state: RunState, dataset: Dataset, folder: Path, command: str, seconds: float
) -> dict[str, Any]:
    """Write RUN/result from a finished state and return its model.json.

    The test split is used here for the first time, and only for the reported figures.
    """
    config, spec = state.config, models.spec(state.config.model)
    if not state.done:
        raise JpHwError(f"the run in {folder} is not finished: run the same command again")
    model, layers = state.model.eval(), state.layers
    set_modes(state, "static")
    images = to_nchw(dataset.train[: -config.holdout].images)
    with torch.no_grad():
        never = remove_silent(model, layers, images, spec.input_scale)
    pruning.fold(layers)
    fronts = dict(zip(layers, state.winners, strict=True))
    scaled = equalize(model, layers, fronts, images, spec.input_scale, config.equalize)
    held = dataset.train[-config.holdout :]
    metrics = {
        "jpnet": _measured(model, layers, dataset.test, spec.input_scale).summary(),
        "held_out": _measured(model, layers, held, spec.input_scale).summary(),
        "dense": _dense(state, dataset.test, spec.input_scale).summary(),
        "held_out_images": config.holdout,
        "removed_silent_channels": never,
        "equalized_channels": scaled,
        "thetas": [float(module.theta) for module in state.winners],
        "winner_rates_wanted": list(config.winner_rates),
        "last_session_seconds": round(seconds, 1),
    }
    record = {
        "name": config.model,
        "model": {"builder": config.model, "args": {}},
        "dataset": {
            "name": dataset.name,
            "train_images": len(dataset.train),
            "test_images": len(dataset.test),
        },
        "input": {
            "shape": list(spec.input_shape),
            "layout": "HWC",
            "dtype": "uint8",
            "scale": spec.input_scale,
        },
        "classes": spec.classes,
        "seed": config.seed,
        "command": command,
        "config": config.model_dump(mode="json"),
        "packages": {name: metadata.version(name) for name in PACKAGES},
        "metrics": metrics,
    }
    return zoo.save(
        folder / "result",
        record,
        {name: tensor.detach() for name, tensor in model.state_dict().items()},
        samples=dataset.test[:SAMPLES],
        calibration=dataset.train[:CALIBRATION],
    )


def _measured(
    model: nn.Module, layers: dict[str, nn.Module], split: Split, scale: float
) -> Measure:
    """A model's figures on a split."""
    return measure(model, layers, to_nchw(split.images), torch.tensor(split.labels), scale)


def _dense(state: RunState, test: Split, scale: float) -> Measure:
    """The dense baseline's figures."""
    model = dense_model(state.config, state.teacher)
    set_winner_mode(model, "off")
    return _measured(model, pruning.mac_layers(model, list(state.layers)), test, scale)


def remove_silent(
    model: nn.Module, layers: dict[str, nn.Module], images: Tensor, scale: float
) -> dict[str, int]:
    """Prune the weights from and to hidden channels that never fire on training images.

    Returns how many channels of each layer's input never fire. Input channels that are always
    zero (border pixels) lose their weights as well: no MAC of theirs was ever executed.
    """
    fired = {name: torch.zeros_like(pruning.fanout(layer)) for name, layer in layers.items()}
    with Inputs(layers) as inputs:
        for start in range(0, len(images), BATCH):
            model(images[start : start + BATCH].float() * scale)
            for name, seen in fired.items():
                live = (inputs[name] != 0).transpose(0, 1).flatten(1).any(1)
                seen.copy_(torch.maximum(seen, live.float()))
    for name, layer in layers.items():
        pruning.prune_inputs(layer, fired[name])
    pruning.remove_dead(layers)
    return {name: int((seen == 0).sum()) for name, seen in fired.items()}
