"""All hyper-parameters of a training run, validated."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from jp_hw.errors import JpHwError

Share = Annotated[float, Field(gt=0.0, le=1.0)]
Part = Annotated[float, Field(ge=0.0, le=1.0)]
NonNegative = Annotated[float, Field(ge=0.0)]
StageName = Literal["dense", "prune", "dynamic", "static"]
STAGES: tuple[StageName, ...] = ("dense", "prune", "dynamic", "static")
DENSE_FIELDS = (
    "model", "model_args", "init", "teacher", "seed", "holdout", "batch_size", "optimizer", "momentum",
    "weight_decay", "label_smoothing", "precision", "dense", "shift", "shift_share", "flip",
)  # fmt: skip
"""What decides the dense stage: runs that agree in these share their dense baseline."""
TAUGHT_FIELDS = ("distill", "temperature")
"""What decides it, too, where a teacher takes part."""


class Stage(BaseModel):
    """One stage of training: ``epochs`` with a cosine learning rate from ``lr`` to 0.

    The rate rises linearly over the first ``warmup`` share of the stage's steps. In the first
    ``crop_share`` of its epochs, training images are windows of ``crop`` x ``crop`` pixels, which
    cost less: for networks that take any size.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    epochs: Annotated[int, Field(ge=1)]
    lr: Annotated[float, Field(gt=0.0)]
    warmup: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.05
    crop: Annotated[int, Field(ge=1)] | None = None
    crop_share: Part = 0.5

    def crop_at(self, epoch: int) -> int | None:
        """Size of the windows in an epoch from 0 on, None for whole images."""
        return self.crop if epoch < self.crop_share * self.epochs else None

    def lr_at(self, progress: float) -> float:
        """Learning rate at a progress 0..1 of the stage."""
        rise = min(1.0, progress / self.warmup) if self.warmup else 1.0
        return self.lr * rise * 0.5 * (1.0 + math.cos(math.pi * progress))


class Teacher(BaseModel):
    """The dense network of another run that teaches this one: what it is, its weights' digest."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    model: str
    model_args: dict[str, Any] = {}
    digest: str


class TrainConfig(BaseModel):
    """A training run: dense baseline, weight pruning, dynamic winners, static thresholds.

    Every list has one entry per weight layer (``densities``), or per Winner behind a hidden
    layer (``winner_rates``), in processing order.

    - ``init``: digest of the weights that the dense stage starts from (``initial``), None for random
      ones from the seed.
    - ``teacher``: network that teaches in all stages, the dense one included (see ``teachers``).
    - ``holdout``: training images, the last ones, kept out of training for all decisions;
      ``calibration``: training images, the first ones, that thresholds are set with.
    - ``weight_decay``: on weights, not on biases and normalization.
    - ``densities``: share of weights that the prune stage leaves in each layer.
    - ``macs``: instead, the share of the network's dense MACs that the prune stage leaves, counted
      with the activations as they come; densities follow from what each weight is worth per MAC,
      and none falls under ``density_floor`` (see ``budget``). With ``weights``, about that share
      of all weights survives at most, for networks that a device must also be able to store.
    - ``mac_shares``: of the MACs that ``macs`` leaves, the share of each weight layer, 0 where a layer
      competes for what the others leave: for layers whose PEs are given by their channels. Layers keep
      what ``density_floor`` says all the same, and of ``weights`` others get what those leave.
    - ``winner_rates``: share of activations that win. Without it, the sensitivity analysis chooses
      the least that costs at most ``winner_drop`` of accuracy before finetuning, layer by layer.
    - ``sensitivity``: held-out images for that analysis, 0 for none.
    - ``balance``: every input channel keeps as many weights in each of so many groups of output
      channels (channel k is in group k % balance); 1 leaves them free.
    - ``channel_caps``: when weights go, no output channel of a layer keeps what causes more than so
      many times the mean MACs of its channels, to the nearest weight; one value per weight layer,
      0 for any (see ``channels``).
    - ``input_theta``: static threshold of the input Winner (pixels as 0..1) after the baseline.
    - ``input_channels``: share of the network's input channels (pixels) that keep any weight.
    - ``trim``: at the end of the run, with the static thresholds in place, the weights worth least go
      until calibration images cost no more than ``macs`` (finetuning shifts activations a little).
    - ``criterion``: what a weight is worth. ``magnitude``: |w|, the paper's. ``conditional``:
      |w| * rms(a | a != 0), its effect on the output per expected MAC (Wanda's |w| * rms(a),
      arXiv 2306.11695, divided by the root of the chance that the MAC is executed at all).
    - ``prune_share``: share of the prune stage in which densities fall, on a cubic schedule
      (arXiv 1710.01878); masks change every ``prune_every`` steps of an epoch, and what is known
      of activations (``InputMoments``) is brought up to date every ``moments_every`` steps.
    - ``mac_penalty``: weight of the expected MACs of the hidden activations in the loss, as a
      differentiable, scale-free estimate, by ``mac_measure`` over each sample or over each
      channel of a batch (see ``losses``). It takes as long as a tenth of a step; with ``mac_every``,
      layers take turns, each in one of so many steps, with so many times the weight.
    - ``distill``: share of the distillation loss (arXiv 1503.02531, ``temperature``) from the
      ``teacher``, or else from the dense baseline in all later stages.
    - ``shift``: images move by up to so many pixels in x and y, a ``shift_share`` of them;
      ``flip``: half of them are mirrored.
    - ``dropout``: the paper's 0.5 * sqrt(winner rate) behind each Winner, dynamic stage only;
      ``sampled``: thresholds predicted on a sample there instead of the exact top-k.
    - ``quantize``: bits of weights and activations in the static stage's forward pass, 0 for none.
    - ``equalize``: hidden channels whose range exceeds so many times their layer's median are
      scaled down at the end, without a change of the function (see ``equalize.equalize``).
    - ``recalibrate_share``: share of the static stage's epochs before which thetas are set anew.
    - ``threads``, ``precision`` of the arithmetic, ``device`` it runs on, and ``processes`` that
      share each batch, on a GPU each with device cuda. Runs are the same, bit for bit, only on
      the same kind of device.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    model: str
    model_args: dict[str, Any] = {}
    init: str | None = None
    teacher: Teacher | None = None
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    holdout: Annotated[int, Field(ge=1)] = 10_000
    calibration: Annotated[int, Field(ge=1)] = 10_000
    batch_size: Annotated[int, Field(ge=1)] = 128
    optimizer: Literal["adam", "sgd", "adadelta", "muon"] = "adam"
    momentum: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.9
    weight_decay: NonNegative = 0.0
    label_smoothing: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    threads: Annotated[int, Field(ge=1)] = 1
    processes: Annotated[int, Field(ge=1)] = 1
    precision: Literal["float32", "bfloat16"] = "float32"
    device: Literal["cpu", "cuda"] = "cpu"
    dense: Stage
    prune: Stage
    dynamic: Stage
    static: Stage
    densities: tuple[Share, ...] | None = None
    macs: Share | None = None
    weights: Share | None = None
    mac_shares: tuple[Part, ...] | None = None
    density_floor: Part = 0.03
    trim: bool = False
    winner_rates: tuple[Share, ...] | None = None
    winner_drop: Part = 0.01
    sensitivity: Annotated[int, Field(ge=0)] = 0
    balance: Annotated[int, Field(ge=1)] = 1
    channel_caps: tuple[NonNegative, ...] | None = None
    input_theta: NonNegative = 0.0
    input_channels: Share = 1.0
    criterion: Literal["magnitude", "conditional"] = "conditional"
    prune_share: Share = 0.6
    prune_every: Annotated[int, Field(ge=1)] = 50
    moments_every: Annotated[int, Field(ge=1)] = 1
    mac_penalty: NonNegative = 0.0
    mac_measure: Literal["sample", "channel"] = "sample"
    mac_every: Annotated[int, Field(ge=1)] = 1
    distill: Part = 0.0
    temperature: Annotated[float, Field(gt=0.0)] = 3.0
    shift: Annotated[int, Field(ge=0, le=16)] = 0
    shift_share: Part = 0.5
    flip: bool = False
    dropout: bool = False
    sampled: bool = False
    quantize: Annotated[int, Field(ge=0, le=8)] = 0
    equalize: Annotated[float, Field(ge=1.0)] = 2.0
    recalibrate_share: Part = 0.5

    @model_validator(mode="after")
    def _fits_the_model(self) -> Self:
        """The lists must fit the model's layers, and each must be given or be found."""
        layers, hidden = sizes(self.model, self.model_args)
        per_layer = ("densities", "mac_shares", "channel_caps")
        for name, wanted in *((name, layers) for name in per_layer), ("winner_rates", hidden):
            given = getattr(self, name)
            if given is not None and len(given) != wanted:
                raise ValueError(
                    f"{name} needs {wanted} values for {self.model}, {len(given)} given"
                )
        if (self.densities is None) == (self.macs is None):
            raise ValueError("give densities or macs, one of the two")
        if self.weights is not None and self.macs is None:
            raise ValueError("weights goes with macs: densities say how many weights survive")
        if self.trim and self.macs is None:
            raise ValueError("trim goes with macs: densities say how many weights survive")
        if self.mac_shares is not None:
            self._shares_fit(self.mac_shares)
        if self.winner_rates is None and not self.sensitivity:
            raise ValueError("without winner_rates, sensitivity must say with how many images")
        if any(0.0 < cap < 1.0 for cap in self.channel_caps or ()):
            raise ValueError("channel_caps are 1 or more, times the mean; 0 for none")
        if self.channel_caps is not None and self.balance > 1:
            raise ValueError("channel_caps do without balance, which evens out channels already")
        if self.teacher is not None and not self.distill:
            raise ValueError("a teacher needs a share of the loss: set distill, e.g. to 0.7")
        if self.quantize == 1:
            raise ValueError("quantize needs 2 to 8 bits, or 0 for none")
        if self.sensitivity > self.holdout:
            raise ValueError(f"sensitivity takes more than the {self.holdout} held-out images")
        return self

    def _shares_fit(self, shares: tuple[float, ...]) -> None:
        """Shares of MACs must be of something, and leave something to layers without one."""
        if self.macs is None:
            raise ValueError("mac_shares go with macs: densities say how many weights survive")
        rest, free = 1.0 - sum(shares), 0.0 in shares
        if rest < -1e-9 or (free and rest <= 0.0) or not (free or abs(rest) < 1e-9):
            raise ValueError(
                f"mac_shares add up to {sum(shares):.4g}: give less than 1 and leave the rest to "
                "layers of share 0, or give every layer one and 1 in all"
            )

    def stage(self, name: StageName) -> Stage:
        """The settings of a stage by name."""
        stage: Stage = getattr(self, name)
        return stage

    @property
    def epochs(self) -> int:
        """Epochs of all stages together."""
        return sum(self.stage(name).epochs for name in STAGES)


def sizes(model: str, args: Mapping[str, Any]) -> tuple[int, int]:
    """Number of weight layers and of Winners behind hidden layers of a model."""
    import torch

    from jp_hw import models
    from jp_hw.nn import winners

    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        network = models.build(model, args)
    return len(models.mac_layers(network)), len(winners(network)) - 1


def validated(values: Mapping[str, Any]) -> TrainConfig:
    """A config from plain values; raise JpHwError naming the first bad field."""
    try:
        return TrainConfig.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise JpHwError(f"training config: {where + ': ' if where else ''}{message}") from error
