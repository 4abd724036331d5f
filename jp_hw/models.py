"""Networks that can be trained here, as plain torch modules with Winner masks between layers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from jp_hw.errors import JpHwError
from jp_hw.nn import Winner


@dataclass(frozen=True)
class ModelSpec:
    """What a builder's network is for.

    ``input_shape`` is (H, W, C). The network's float input is (N, C, H, W) with values
    ``uint8 pixel * input_scale``: no mean is subtracted, so a zero pixel is exactly 0.
    ``mac_layers`` are the qualified names of its weight layers in processing order.
    """

    dataset: str
    input_shape: tuple[int, int, int]
    classes: int
    build: Callable[..., nn.Sequential]
    mac_layers: tuple[str, ...]
    input_scale: float = 1.0 / 255.0


def mlp3(
    hidden: tuple[int, ...] = (300, 100), inputs: int = 784, classes: int = 10
) -> nn.Sequential:
    """Fully connected ReLU network with a Winner on the input and after every hidden layer.

    Modules are named ``flatten, win0, fc1, relu1, win1, fc2, ...``. Input (N, C, H, W) or (N,
    inputs) float, output (N, classes) float. The default is LeNet-300-100, the paper's MLP-3.
    """
    model = nn.Sequential()
    model.add_module("flatten", nn.Flatten())
    model.add_module("win0", Winner())
    sizes = (inputs, *hidden, classes)
    for index in range(1, len(sizes)):
        model.add_module(f"fc{index}", nn.Linear(sizes[index - 1], sizes[index]))
        if index < len(sizes) - 1:
            model.add_module(f"relu{index}", nn.ReLU())
            model.add_module(f"win{index}", Winner())
    return model


MODELS: Mapping[str, ModelSpec] = {
    "mlp3": ModelSpec(
        dataset="mnist",
        input_shape=(28, 28, 1),
        classes=10,
        build=mlp3,
        mac_layers=("fc1", "fc2", "fc3"),
    ),
}


def spec(name: str) -> ModelSpec:
    """The spec of a registered model; raise JpHwError naming those that exist."""
    if name not in MODELS:
        raise JpHwError(f"model {name!r} is unknown: choose one of {', '.join(MODELS)}")
    return MODELS[name]


def build(name: str, args: Mapping[str, Any] | None = None) -> nn.Sequential:
    """A freshly initialized network of a registered name, with arguments for its builder.

    Raise JpHwError on an unknown name or on arguments that the builder does not take.
    """
    try:
        return spec(name).build(**(args or {}))
    except (TypeError, ValueError, RuntimeError) as error:
        raise JpHwError(
            f"model {name!r} cannot be built from {dict(args or {})}: {error}"
        ) from error
