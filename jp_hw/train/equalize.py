"""Scale channels of huge range down, without any change of the function, for 8-bit quantization."""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from jp_hw.train.measure import Inputs
from jp_hw.train.pruning import weight_of
from jp_hw.train.wiring import Wiring

BATCH = 1000


@dataclass
class Ranges:
    """Per channel over a set of images: largest and smallest non-zero magnitude, float (C,)."""

    largest: Tensor
    smallest: Tensor

    @classmethod
    def of(cls, channels: int) -> "Ranges":
        """Before any image."""
        return cls(torch.zeros(channels), torch.full((channels,), torch.inf))

    def update(self, a: Tensor) -> None:
        """Take in activations (N, C, ...)."""
        magnitude = a.abs().transpose(0, 1).flatten(1)
        alive = torch.where(magnitude > 0, magnitude, torch.inf)
        self.largest = torch.maximum(self.largest, magnitude.amax(1))
        self.smallest = torch.minimum(self.smallest, alive.amin(1))


@torch.no_grad()
def equalize(
    model: nn.Module,
    layers: dict[str, nn.Module],
    images: Tensor,
    scale: float,
    ratio: float,
) -> dict[str, int]:
    """Bring the ranges of hidden channels within ``ratio`` times their layer's median range.

    A channel of a (leaky) ReLU may be divided by s > 1 when the next layer's weights for it are
    multiplied by s: cross-layer equalization (arXiv 1906.04721). Only Linear layers with unmasked
    (folded) weights are treated, and only where nothing between the two depends on the scale. s
    stays so small that every value that won against the Winner's theta on ``images``, uint8
    (N, C, H, W), still wins; smaller values lose as before. Returns channels scaled per layer.
    """
    wires = Wiring.of(model)
    pairs = [
        (before, after)
        for before, after in pairwise(layers)
        if all(isinstance(layers[name], nn.Linear) for name in (before, after))
        and wires.chained(before, after)
    ]
    if not pairs:
        return {}
    ranges = {name: Ranges.of(weight_of(layer).shape[1]) for name, layer in layers.items()}
    with Inputs(layers) as inputs:
        for start in range(0, len(images), BATCH):
            model(images[start : start + BATCH].float() * scale)
            for name, seen in ranges.items():
                seen.update(inputs[name])
    counts = {}
    for before, after in pairs:
        front = wires.front(after)
        theta = float(model.get_submodule(front).get_buffer("theta")) if front else 0.0
        factor = factors(ranges[after], theta, ratio)
        _rescale(layers[before], layers[after], factor)
        counts[after] = int((factor > 1).sum())
    return counts


def factors(ranges: Ranges, theta: float, ratio: float) -> Tensor:
    """By how much each channel may be divided, float (C,), 1 where it should stay."""
    alive = ranges.largest > 0
    if not bool(alive.any()):
        return torch.ones_like(ranges.largest)
    wanted = ranges.largest / (ratio * ranges.largest[alive].median())
    if theta > 0.0:
        wanted = torch.minimum(wanted, 0.99 * ranges.smallest / theta)
    return torch.where(alive, wanted.clamp(min=1.0), torch.ones_like(wanted))


def _rescale(before: nn.Module, after: nn.Module, factor: Tensor) -> None:
    """Divide the output channels of one Linear layer, multiply the next one's columns."""
    weight_of(before).div_(factor[:, None])
    if isinstance(before.bias, Tensor):
        before.bias.div_(factor)
    weight_of(after).mul_(factor)
