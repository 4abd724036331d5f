"""Quantization in the forward pass, so that finetuning feels what 8 bits do.

The rules are those of the integer network: weights symmetric with a scale per output channel (one
for all in the last layer), activations with a scale per tensor, the one of least squared error,
unsigned where nothing is negative. Batch normalization scales output channels, which the weights'
scales absorb, so it need not be folded for this. Gradients pass straight through (arXiv 1308.3432).
"""

from collections.abc import Mapping
from typing import Self

import torch
from torch import Tensor, nn

from jp_hw.nn import Winner
from jp_hw.train.data import device_of
from jp_hw.train.measure import Inputs
from jp_hw.train.pruning import refresh, weight_of

CLIPS = 17
BATCH = 500


class FakeQuantize:
    """While open, a network's weights and hidden activations are quantized to ``bits``.

    ``layers`` have masks; the scales of activations are found on ``images``, float (N, C, H, W),
    when it opens. With 0 bits nothing happens.
    """

    def __init__(
        self,
        model: nn.Module,
        layers: Mapping[str, nn.Module],
        hidden: Mapping[str, Winner],
        bits: int,
        images: Tensor,
    ) -> None:
        self._model, self._layers, self._hidden = model, layers, hidden
        self._bits, self._images = bits, images
        self._handles: list[torch.utils.hooks.RemovableHandle] = []

    def __enter__(self) -> Self:
        """Find the scales, then quantize."""
        if not self._bits:
            return self
        scales = activation_scales(self._model, self._hidden, self._bits, self._images)
        for index, layer in enumerate(self._layers.values()):
            last = index == len(self._layers) - 1

            def quantize_weight(module: nn.Module, _: object, last: bool = last) -> None:
                module.weight = fake_weight(weight_of(module), self._bits, per_tensor=last)

            self._handles.append(layer.register_forward_pre_hook(quantize_weight))
        for name, module in self._hidden.items():
            step, low, high = scales[name]

            def quantize_output(
                _: nn.Module,
                __: object,
                a: Tensor,
                step: float = step,
                low: int = low,
                high: int = high,
            ) -> Tensor:
                return _straight(a, (a / step).round().clamp(low, high) * step)

            self._handles.append(module.register_forward_hook(quantize_output))
        return self

    def __exit__(self, *_: object) -> None:
        """Back to full precision."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        refresh(dict(self._layers))


def fake_weight(weight: Tensor, bits: int, *, per_tensor: bool = False) -> Tensor:
    """A weight rounded to ``bits``, symmetric, scale per output channel or per tensor."""
    largest = weight.detach().abs().flatten(1).amax(1)
    largest = largest.max().expand_as(largest) if per_tensor else largest
    step = (largest / ((1 << (bits - 1)) - 1)).clamp(min=1e-12)
    step = step.reshape(-1, *[1] * (weight.dim() - 1))
    return _straight(weight, (weight / step).round() * step)


@torch.no_grad()
def activation_scales(
    model: nn.Module, hidden: Mapping[str, Winner], bits: int, images: Tensor
) -> dict[str, tuple[float, int, int]]:
    """Per Winner the step of least squared error over some images, and the limits in steps."""
    training = model.training
    model.eval()
    seen: dict[str, list[Tensor]] = {name: [] for name in hidden}
    with Inputs(hidden) as inputs:
        for start in range(0, len(images), BATCH):
            model(images[start : start + BATCH].to(device_of(model)))
            for name, module in hidden.items():
                a = module(inputs[name])
                seen[name].append(a[a != 0])
    model.train(training)
    return {name: _scale(torch.cat(parts), bits) for name, parts in seen.items()}


def _scale(values: Tensor, bits: int) -> tuple[float, int, int]:
    """Step, least and greatest code for non-zero values, as the integer network chooses them."""
    signed = bool((values < 0).any())
    high = (1 << (bits - 1 if signed else bits)) - 1
    low = -high if signed else 0
    if not len(values):
        return 1.0, low, high
    best, least = 1.0, float("inf")
    for clip in range(CLIPS):
        step = float(values.abs().max()) / high * 2.0 ** -(clip / 4)
        error = float(((values / step).round().clamp(low, high) * step - values).square().sum())
        if error < least:
            best, least = step, error
    return best, low, high


def _straight(value: Tensor, rounded: Tensor) -> Tensor:
    """``rounded`` in the forward pass, the gradient of ``value`` in the backward pass."""
    return value + (rounded - value).detach()
