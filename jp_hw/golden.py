"""The golden model: dense int64 arithmetic, the definition of a correct result.

It knows nothing of sparsity, tokens or processing elements, so that no mistake in how those are
encoded can cancel out. Everything else is compared with it by `==`.
"""

import numpy as np
from numpy.typing import NDArray

from jp_hw.dense import Number, convolve
from jp_hw.errors import JpHwError
from jp_hw.ir import INPUT, Input, Int, Network, Pool, Requantize, Shape


def run(network: Network, images: np.ndarray) -> Int:
    """Logits of a batch.

    images: integers (n, height, width, channels), in the input's range.
    Returns int64 (n, classes): raw accumulators plus bias. Raises JpHwError for a wrong shape or
    values out of range.
    """
    return tensors(network, images)[network.layers[-1].name].reshape(len(images), -1)


def tensors(network: Network, images: np.ndarray) -> dict[str, Int]:
    """Every tensor of a batch by name, int64 (n, height, width, channels), the input included."""
    values = {INPUT: read_input(network.input, images)}
    for layer in network.layers:
        size = layer.map
        total = np.zeros((len(images), size.height, size.width, size.channels), np.int64)
        for source in layer.sources:
            total += convolve(
                values[source.tensor],
                source.weights,
                (size.height, size.width),
                source.stride,
                source.padding,
                source.dilation,
                source.groups,
                source.spread,
            )
        if layer.pool is not None:
            total = pool(layer.pool, total, layer.output)
        if layer.requantize is None:
            values[layer.name] = total + layer.bias
        else:
            values[layer.name] = requantize(layer.requantize, total, layer.bias)
    return values


def read_input(spec: Input, images: np.ndarray) -> Int:
    """Check a batch of images and drop what is under the input's threshold.

    A network whose input is a vector (1x1xN) reads images of any shape with N values, in order.
    """
    shape = spec.shape
    if shape.height == shape.width == 1 and images[:1].size == shape.size:
        images = images.reshape(len(images), 1, 1, shape.channels)
    if images.ndim != 4 or images.shape[1:] != (shape.height, shape.width, shape.channels):
        raise JpHwError(f"images of shape {images.shape}; the network reads (n, {shape})")
    if not np.issubdtype(images.dtype, np.integer):
        raise JpHwError(f"images of type {images.dtype}; the network reads integers")
    low, high = spec.limits
    if len(images) and (images.min() < low or images.max() > high):
        raise JpHwError(f"images hold values outside the input's range {low}..{high}")
    values = images.astype(np.int64)
    return np.where(np.abs(values) >= spec.theta, values, 0)


def pool(rule: Pool, totals: NDArray[Number], output: Shape) -> NDArray[Number]:
    """Greatest value of every window; totals: integers or floats (n, height, width, channels)."""
    totals = totals.reshape(*totals.shape[:3], -1, rule.across).max(-1)
    rows, columns = rule.taps(0, output.height), rule.taps(1, output.width)
    tall = np.stack([totals[:, taps[0] : taps[-1] + 1].max(1) for taps in rows], axis=1)
    return np.stack([tall[:, :, taps[0] : taps[-1] + 1].max(2) for taps in columns], axis=2)


def requantize(rule: Requantize, accumulators: Int, bias: Int) -> Int:
    """Activations of accumulators; the last axis of both is the output channel."""
    total = accumulators + bias
    product = total * np.where(total < 0, rule.negative, rule.multiplier)
    value = np.clip((product + (1 << (rule.shift - 1))) >> rule.shift, rule.low, rule.high)
    if rule.table is not None:
        value = rule.table[value - rule.low]
    return np.where(np.abs(value) >= rule.theta, value, 0)


def accuracy(logits: Int, labels: np.ndarray) -> float:
    """Share of images whose largest logit (the first of equals) is the label's."""
    return float(np.mean(logits.argmax(1) == labels))
