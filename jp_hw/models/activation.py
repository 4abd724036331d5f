"""The activations that a builder's ``activation`` argument may name."""

from collections.abc import Callable, Mapping

from torch import nn

ACTIVATIONS: Mapping[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": lambda: nn.LeakyReLU(0.1),
}


def activation(name: str) -> nn.Module:
    """A new activation module; raise ValueError on a name that is not in ``ACTIVATIONS``."""
    if name not in ACTIVATIONS:
        raise ValueError(f"activation {name!r} is unknown: use one of {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]()
