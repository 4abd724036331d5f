"""The end of a run: drop what never fires, fold, equalize, measure on test images, and save."""

from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from jp_hw import datasets, models, zoo
from jp_hw.datasets import Dataset, Split
from jp_hw.errors import JpHwError
from jp_hw.nn import set_winner_mode, winners
from jp_hw.train import pruning, wiring
from jp_hw.train.data import to_float, to_nchw
from jp_hw.train.equalize import equalize
from jp_hw.train.measure import Inputs, Measure, measure
from jp_hw.train.stages import dense_model, quantized, set_modes, trim
from jp_hw.train.state import RunState

SAMPLES = 64
CALIBRATION = 256
SEEN = 50_000
"""Training images on which a channel must fire at least once."""
BATCH = 1000
PACKAGES = ("torch", "numpy", "safetensors")


def write(
    state: RunState, dataset: Dataset, folder: Path, command: str, seconds: float
) -> dict[str, Any]:
    """Write RUN/result from a finished state and return its model.json.

    The test split is used here for the first time, and only for the reported figures.
    """
    config, spec = state.config, models.spec(state.config.model)
    size = spec.input_shape[:2]
    train, test = (datasets.centre(s, size) for s in (dataset.train, dataset.test))
    if not state.done:
        raise JpHwError(f"the run in {folder} is not finished: run the same command again")
    model, layers = state.model.cpu().eval(), state.layers
    set_modes(state, "static")
    images = to_nchw(train[: -config.holdout][:SEEN].loaded().images)
    test = test.loaded()
    with torch.no_grad():
        never = remove_silent(model, layers, images, spec.input_scale, balanced=config.balance > 1)
    trimmed = 0
    if config.trim:
        trimmed = trim(state, to_float(images[: config.calibration], spec.input_scale))
    with quantized(state, to_float(images[:CALIBRATION], spec.input_scale)):
        eight_bit = _measured(model, layers, test, spec.input_scale)
    pruning.fold(layers)
    scaled = equalize(model, layers, images, spec.input_scale, config.equalize)
    held = train[-config.holdout :].loaded()
    metrics = {
        "jpnet": _measured(model, layers, test, spec.input_scale).summary(),
        "fake_quantized": {"bits": config.quantize, "accuracy": eight_bit.accuracy},
        "held_out": _measured(model, layers, held, spec.input_scale).summary(),
        "dense": _dense(state, test, spec.input_scale).summary(),
        "held_out_images": config.holdout,
        "removed_silent_channels": never,
        "trimmed_weights": trimmed,
        "equalized_channels": scaled,
        "thetas": [float(module.theta) for module in winners(model).values()],
        "winner_rates_wanted": state.rates,
        "last_session_seconds": round(seconds, 1),
    }
    record = _record(state, dataset, command, metrics)
    return zoo.save(
        folder / "result",
        record,
        {name: tensor.detach() for name, tensor in model.state_dict().items()},
        samples=test[:SAMPLES],
        calibration=train[:CALIBRATION].loaded(),
    )


def _record(
    state: RunState, dataset: Dataset, command: str, metrics: dict[str, Any]
) -> dict[str, Any]:
    """What goes into model.json."""
    config, spec = state.config, models.spec(state.config.model)
    return {
        "name": config.model,
        "model": {"builder": config.model, "args": dict(config.model_args)},
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
        "classes": int(config.model_args.get("classes", spec.classes)),
        "seed": config.seed,
        "command": command,
        "config": config.model_dump(mode="json"),
        "packages": {name: metadata.version(name) for name in PACKAGES},
        "metrics": metrics,
    }


def _measured(
    model: nn.Module, layers: dict[str, nn.Module], split: Split, scale: float
) -> Measure:
    """A model's figures on a split."""
    return measure(model, layers, to_nchw(split.images), torch.tensor(split.labels), scale)


def _dense(state: RunState, test: Split, scale: float) -> Measure:
    """The dense baseline's figures."""
    model = dense_model(state.config, state.baseline).cpu()
    set_winner_mode(model, "off")
    return _measured(model, models.mac_layers(model), test, scale)


def remove_silent(
    model: nn.Module,
    layers: dict[str, nn.Module],
    images: Tensor,
    scale: float,
    *,
    balanced: bool = False,
) -> dict[str, int]:
    """Prune the weights from and to hidden channels that never fire on training images.

    Returns how many channels of each layer's input never fire. Input channels that are always
    zero (border pixels) lose their weights as well: no MAC of theirs was ever executed. Weights
    to dead channels stay where masks are ``balanced``.
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
    pruning.refresh(layers)
    if not balanced:
        wiring.remove_dead(model, layers)
    return {name: int((seen == 0).sum()) for name, seen in fired.items()}
