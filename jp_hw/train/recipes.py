"""How the zoo's networks are trained."""

from collections.abc import Mapping
from typing import Any

from jp_hw.errors import JpHwError
from jp_hw.train.config import TrainConfig, validated

CIFAR10: Mapping[str, Any] = {
    "holdout": 5_000,
    "calibration": 2_000,
    "sensitivity": 1_000,
    "optimizer": "sgd",
    "weight_decay": 5e-4,
    "mac_measure": "channel",
    "distill": 0.7,
    "moments_every": 4,
    "shift_share": 1.0,
    "flip": True,
    "quantize": 8,
}

RECIPES: Mapping[str, Mapping[str, Any]] = {
    "mlp3": {
        "model": "mlp3",
        "dense": {"epochs": 20, "lr": 1e-3},
        "prune": {"epochs": 36, "lr": 2e-3},
        "dynamic": {"epochs": 5, "lr": 1e-3},
        "static": {"epochs": 15, "lr": 1e-3},
        "densities": (0.025, 0.06, 0.5),
        "winner_rates": (0.2, 0.3),
        "input_theta": 0.25,
        "input_channels": 0.5,
        "mac_penalty": 1e-3,
        "distill": 0.7,
        "shift": 1,
    },
    "convnet5": {
        **CIFAR10,
        "model": "convnet5",
        "optimizer": "muon",
        "weight_decay": 0.1,
        "dense": {"epochs": 32, "lr": 0.02, "warmup": 0.1},
        "prune": {"epochs": 12, "lr": 0.015},
        "dynamic": {"epochs": 1, "lr": 0.003},
        "static": {"epochs": 4, "lr": 0.003},
        "macs": 0.117,
        "weights": 0.12,
        "mac_penalty": 1e-7,
        "mac_every": 4,
        "winner_rates": (1.0, 1.0, 1.0, 1.0),
    },
    "resnet8": {
        **CIFAR10,
        "model": "resnet8",
        "optimizer": "muon",
        "weight_decay": 0.1,
        "dense": {"epochs": 45, "lr": 0.02, "warmup": 0.1},
        "prune": {"epochs": 16, "lr": 0.015},
        "dynamic": {"epochs": 1, "lr": 0.003},
        "static": {"epochs": 5, "lr": 0.005},
        "macs": 0.14,
        "mac_penalty": 1e-7,
        "winner_drop": 0.005,
        "shift": 2,
    },
    "resnet9": {
        **CIFAR10,
        "model": "resnet9",
        "model_args": {"width": 32},
        "optimizer": "muon",
        "weight_decay": 0.1,
        "dense": {"epochs": 18, "lr": 0.02, "warmup": 0.1, "crop": 24, "crop_share": 0.6},
        "prune": {"epochs": 8, "lr": 0.015, "crop": 24},
        "dynamic": {"epochs": 1, "lr": 0.003, "crop": 24, "crop_share": 1.0},
        "static": {"epochs": 3, "lr": 0.003, "crop": 24, "crop_share": 0.4},
        "macs": 0.117,
        "mac_penalty": 2e-8,
        "mac_every": 4,
        "winner_rates": (1.0,) * 8,
        "shift": 4,
    },
    "resnet32": {
        **CIFAR10,
        "model": "resnet32",
        "optimizer": "muon",
        "weight_decay": 0.1,
        "dense": {"epochs": 16, "lr": 0.02, "warmup": 0.1, "crop": 24, "crop_share": 0.7},
        "prune": {"epochs": 6, "lr": 0.015, "crop": 24, "crop_share": 0.7},
        "dynamic": {"epochs": 1, "lr": 0.003, "crop": 24, "crop_share": 1.0},
        "static": {"epochs": 3, "lr": 0.003, "crop": 24, "crop_share": 0.4},
        "macs": 0.117,
        "mac_penalty": 2e-8,
        "mac_every": 4,
        "winner_rates": (1.0,) * 31,
        "shift": 2,
    },
    "alexnet": {
        **CIFAR10,
        "model": "alexnet",
        "holdout": 10_000,
        "precision": "bfloat16",
        "dense": {"epochs": 60, "lr": 0.05, "warmup": 0.1},
        "prune": {"epochs": 30, "lr": 0.01},
        "dynamic": {"epochs": 2, "lr": 0.005},
        "static": {"epochs": 8, "lr": 0.005},
        "macs": 0.25,
        "mac_penalty": 5e-10,
    },
}


def recipe(name: str, **changes: Any) -> TrainConfig:
    """The recipe of a model with some values changed (None: unchanged; a dict merges).

    Densities given take the place of the recipe's share of MACs, and the other way round. Raise
    JpHwError on a name without recipe and, naming the field, on a value out of range.
    """
    if name not in RECIPES:
        raise JpHwError(
            f"model {name!r} has no training recipe: choose one of {', '.join(RECIPES)}"
        )
    values = dict(RECIPES[name])
    exclude = (("densities", "macs"), ("densities", "weights"), ("macs", "densities"))
    for one, other in exclude:
        if changes.get(one) is not None and changes.get(other) is None:
            values.pop(other, None)
    for key, value in changes.items():
        if isinstance(value, Mapping):
            value = {**values.get(key, {}), **value}
        if value is not None:
            values[key] = value
    return validated(values)
