"""An integer network in torch's float64: the same numbers by other means than ours.

Every sum here is an integer below 2**53, so float64 is exact.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional

from jp_hw.ir import INPUT, Int, Layer, Network, Pool, Requantize, Shape


def tensors(network: Network, images: Int) -> dict[str, Int]:
    """Every tensor, int64 (n, height, width, channels)."""
    pixels = torch.from_numpy(images.astype(np.float64)).permute(0, 3, 1, 2)
    values = {INPUT: torch.where(pixels.abs() >= network.input.theta, pixels, 0.0)}
    for layer in network.layers:
        total = sums(layer, values)
        total += torch.from_numpy(layer.bias.astype(np.float64))[:, None, None]
        rule = layer.requantize
        values[layer.name] = total if rule is None else requantize(rule, total)
    return {
        name: value.permute(0, 2, 3, 1).numpy().astype(np.int64) for name, value in values.items()
    }


def logits(network: Network, images: Int) -> Int:
    return tensors(network, images)[network.layers[-1].name].reshape(len(images), -1)


def framed(
    value: torch.Tensor, needed: Sequence[int], before: tuple[int, int], fill: float
) -> torch.Tensor:
    """A map with `before` rows and columns of fill above and to the left, cut or filled to a size."""
    after = [max(0, needed[i] - before[i] - value.shape[2 + i]) for i in range(2)]
    padded = functional.pad(value, (before[1], after[1], before[0], after[0]), value=fill)
    return padded[:, :, : needed[0], : needed[1]]


def sums(layer: Layer, values: dict[str, torch.Tensor]) -> torch.Tensor:
    """Pooled sums, without bias; maps are (n, channels, height, width)."""
    total = torch.zeros(1, dtype=torch.float64)
    outputs = (layer.map.height, layer.map.width)
    for source in layer.sources:
        value = values[source.tensor]
        kernel = source.weights.shape[2:]
        needed = [
            (outputs[i] - 1) * source.stride[i] + (kernel[i] - 1) * source.dilation[i] + 1
            for i in range(2)
        ]
        total = total + functional.conv2d(
            framed(value, needed, source.padding, 0.0),
            torch.from_numpy(source.weights.astype(np.float64)), None, source.stride, 0,
            source.dilation, source.groups,
        )  # fmt: skip
    return total if layer.pool is None else pool(layer.pool, total, layer.output)


def pool(rule: Pool, total: torch.Tensor, output: Shape) -> torch.Tensor:
    outputs = (output.height, output.width)
    needed = [(outputs[i] - 1) * rule.stride[i] + rule.window[i] for i in range(2)]
    padded = framed(total, needed, rule.padding, -torch.inf)
    return functional.max_pool2d(padded, rule.window, rule.stride)


def requantize(rule: Requantize, total: torch.Tensor) -> torch.Tensor:
    positive, negative = (
        torch.from_numpy(table.astype(np.float64))[:, None, None]
        for table in (rule.multiplier, rule.negative)
    )
    product = total * torch.where(total < 0, negative, positive)
    scaled = torch.floor((product + 2.0 ** (rule.shift - 1)) / 2.0**rule.shift)
    value = scaled.clamp(rule.low, rule.high)
    if rule.table is not None:
        entries = torch.from_numpy(rule.table.astype(np.float64))
        value = entries[(value - rule.low).long()]
    return torch.where(value.abs() >= rule.theta, value, 0.0)
