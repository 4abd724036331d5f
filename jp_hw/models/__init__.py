"""Networks that can be trained here, as plain torch modules with Winner masks between layers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from jp_hw.errors import JpHwError
from jp_hw.models.convnet import alexnet, convnet5
from jp_hw.models.mlp import mlp3
from jp_hw.models.resnet import resnet8, resnet32
from jp_hw.models.resnet9 import resnet9

__all__ = ["MODELS", "ModelSpec", "build", "mac_layers", "spec"]


@dataclass(frozen=True)
class ModelSpec:
    """What a builder's network is for.

    ``dataset``: where it comes from by default. ``input_shape`` is (H, W, C); larger images are
    cropped to it. The network's float input is (N, C, H, W) with values
    ``uint8 pixel * input_scale``: no mean is subtracted, so a zero pixel is exactly 0.
    """

    dataset: str
    input_shape: tuple[int, int, int]
    classes: int
    build: Callable[..., nn.Module]
    input_scale: float = 1.0 / 255.0


MODELS: Mapping[str, ModelSpec] = {
    "mlp3": ModelSpec("mnist", (28, 28, 1), 10, mlp3),
    "convnet5": ModelSpec("cifar10", (24, 24, 3), 10, convnet5),
    "resnet8": ModelSpec("cifar10", (32, 32, 3), 10, resnet8),
    "resnet9": ModelSpec("cifar10", (32, 32, 3), 10, resnet9),
    "resnet32": ModelSpec("cifar10", (32, 32, 3), 10, resnet32),
    "alexnet": ModelSpec("imagefolder", (227, 227, 3), 1000, alexnet),
}


def mac_layers(model: nn.Module) -> dict[str, nn.Module]:
    """The layers with weights that multiply (Linear, Conv2d) by name, in processing order."""
    kinds = (nn.Linear, nn.Conv2d)
    return {name: module for name, module in model.named_modules() if isinstance(module, kinds)}


def spec(name: str) -> ModelSpec:
    """The spec of a registered model; raise JpHwError naming those that exist."""
    if name not in MODELS:
        raise JpHwError(f"model {name!r} is unknown: choose one of {', '.join(MODELS)}")
    return MODELS[name]


def build(name: str, args: Mapping[str, Any] | None = None) -> nn.Module:
    """A freshly initialized network of a registered name, with arguments for its builder.

    Raise JpHwError on an unknown name or on arguments that the builder does not take.
    """
    try:
        return spec(name).build(**(args or {}))
    except (TypeError, ValueError, RuntimeError) as error:
        raise JpHwError(
            f"model {name!r} cannot be built from {dict(args or {})}: {error}"
        ) from error
