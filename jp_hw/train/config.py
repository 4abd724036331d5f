"""All hyper-parameters of a training run, validated, and the recipes of the zoo's networks."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from jp_hw.errors import JpHwError

Share = Annotated[float, Field(gt=0.0, le=1.0)]
NonNegative = Annotated[float, Field(ge=0.0)]
StageName = Literal["dense", "prune", "dynamic", "static"]
STAGES: tuple[StageName, ...] = ("dense", "prune", "dynamic", "static")


class Stage(BaseModel):
    """One stage of training: ``epochs`` with a cosine learning rate from ``lr`` to 0.

    The rate rises linearly over the first ``warmup`` share of the stage's steps.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: Annotated[int, Field(ge=1)]
    lr: Annotated[float, Field(gt=0.0)]
    warmup: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.05

    def lr_at(self, progress: float) -> float:
        """Learning rate at a progress 0..1 of the stage."""
        rise = min(1.0, progress / self.warmup) if self.warmup else 1.0
        return self.lr * rise * 0.5 * (1.0 + math.cos(math.pi * progress))


class TrainConfig(BaseModel):
    """A training run: dense baseline, weight pruning, dynamic winners, static thresholds.

    Every list has one entry per weight layer (``densities``), or per Winner behind a hidden
    layer (``winner_rates``), in processing order.

    - ``holdout``: training images, the last ones, kept out of training for all decisions.
    - ``densities``: share of weights that the prune stage leaves in each layer.
    - ``input_theta``: static threshold of the input Winner (pixels as 0..1) after the baseline.
    - ``input_channels``: share of the network's input channels (pixels) that keep any weight.
    - ``criterion``: what a weight is worth. ``magnitude``: |w|, the paper's. ``conditional``:
      |w| * rms(a | a != 0), its effect on the output per expected MAC (Wanda's |w| * rms(a),
      arXiv 2306.11695, divided by the root of the chance that the MAC is executed at all).
    - ``prune_share``: share of the prune stage in which densities fall, on a cubic schedule
      (arXiv 1710.01878); masks change every ``prune_every`` steps
      of an epoch.
    - ``mac_penalty``: weight of the expected MACs of the hidden activations in the loss, as a
      differentiable, scale-free estimate (see ``losses.expected_macs``).
    - ``distill``: share of the distillation loss (arXiv 1503.02531, ``temperature``) from the
      dense baseline in all later stages.
    - ``shift``: images move by up to so many pixels in x and y, a ``shift_share`` of them.
    - ``dropout``: the paper's 0.5 * sqrt(winner rate) behind each Winner, dynamic stage only.
    - ``equalize``: hidden channels whose range exceeds so many times their layer's median are
      scaled down at the end, without a change of the function (see ``equalize.equalize``).
    - ``recalibrate_share``: share of the static stage's epochs before which thetas are set anew.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    holdout: Annotated[int, Field(ge=1)] = 10_000
    batch_size: Annotated[int, Field(ge=1)] = 128
    optimizer: Literal["adam", "sgd", "adadelta"] = "adam"
    threads: Annotated[int, Field(ge=1)] = 1
    dense: Stage
    prune: Stage
    dynamic: Stage
    static: Stage
    densities: tuple[Share, ...]
    winner_rates: tuple[Share, ...]
    input_theta: NonNegative = 0.0
    input_channels: Share = 1.0
    criterion: Literal["magnitude", "conditional"] = "conditional"
    prune_share: Share = 0.6
    prune_every: Annotated[int, Field(ge=1)] = 50
    mac_penalty: NonNegative = 0.0
    distill: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    temperature: Annotated[float, Field(gt=0.0)] = 3.0
    shift: Annotated[int, Field(ge=0, le=4)] = 0
    shift_share: Annotated[float, Field(ge=0.0, le=1.0)] = 0.5
    dropout: bool = False
    equalize: Annotated[float, Field(ge=1.0)] = 2.0
    recalibrate_share: Annotated[float, Field(ge=0.0, le=1.0)] = 0.5

    @model_validator(mode="after")
    def _known_model(self) -> Self:
        """The lists must fit the model's layers."""
        from jp_hw import models

        layers = len(models.spec(self.model).mac_layers)
        for name, wanted in (("densities", layers), ("winner_rates", layers - 1)):
            given = len(getattr(self, name))
            if given != wanted:
                raise ValueError(f"{name} needs {wanted} values for {self.model}, {given} given")
        return self

    def stage(self, name: StageName) -> Stage:
        """The settings of a stage by name."""
        stage: Stage = getattr(self, name)
        return stage

    @property
    def epochs(self) -> int:
        """Epochs of all stages together."""
        return sum(self.stage(name).epochs for name in STAGES)


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
}


def recipe(name: str, **changes: Any) -> TrainConfig:
    """The recipe of a model with some values changed (None: unchanged; a dict merges).

    Raise JpHwError on a name without recipe and, naming the field, on a value out of range.
    """
    if name not in RECIPES:
        raise JpHwError(
            f"model {name!r} has no training recipe: choose one of {', '.join(RECIPES)}"
        )
    values = dict(RECIPES[name])
    for key, value in changes.items():
        if isinstance(value, Mapping):
            value = {**values.get(key, {}), **value}
        if value is not None:
            values[key] = value
    return validated(values)


def validated(values: Mapping[str, Any]) -> TrainConfig:
    """A config from plain values; raise JpHwError naming the first bad field."""
    try:
        return TrainConfig.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise JpHwError(f"training config: {where + ': ' if where else ''}{message}") from error
