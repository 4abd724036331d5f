"""What the PyTorch front end reads with: errors, and tensors as arrays."""

import numpy as np
import torch

from jp_hw.errors import JpHwError
from jp_hw.graph import Float, Pair

SUPPORTED = (
    "Linear, Conv2d, BatchNorm1d, BatchNorm2d, ReLU, LeakyReLU, PReLU, ReLU6 and other activations "
    "that never fall (Sigmoid, Tanh, ELU, Softplus...), Winner, MaxPool2d, AvgPool2d, "
    "AdaptiveAvgPool2d, AdaptiveMaxPool2d, +, cat, mean over the map, Flatten, Dropout, Identity"
)


def unsupported(place: str, kind: str, why: str = "") -> JpHwError:
    """The error for a layer that cannot be read."""
    reason = f" ({why})" if why else ""
    return JpHwError(f"{place}: {kind} is not supported{reason}; supported are {SUPPORTED}")


def array(tensor: torch.Tensor) -> Float:
    """A tensor as float64."""
    return np.asarray(tensor.detach().cpu().double().numpy(), np.float64)


def pair(value: object, place: str, kind: str) -> Pair:
    """A number, or one for each direction, as (vertical, horizontal)."""
    numbers = tuple(value) if isinstance(value, tuple | list | torch.Size) else (value, value)
    if len(numbers) == 1:
        numbers = numbers * 2
    if len(numbers) != 2 or not all(isinstance(number, int) for number in numbers):
        raise unsupported(place, kind, f"sizes must be one or two numbers, not {value}")
    return int(str(numbers[0])), int(str(numbers[1]))
