"""The golden model: dense int64 arithmetic, the definition of a correct result.

It knows nothing of sparsity, tokens or processing elements, so that no mistake in how those are
encoded can cancel out. Everything else is compared with it by `==`.
"""

import numpy as np

from jp_hw.errors import JpHwError
from jp_hw.ir import INPUT, Input, Int, Network, Requantize, Source


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
        shape = (len(images), layer.output.height, layer.output.width, layer.output.channels)
        total = np.zeros(shape, np.int64)
        for source in layer.sources:
            total += convolve(source, values[source.tensor], shape)
        if layer.requantize is None:
            values[layer.name] = total + layer.bias
        else:
            values[layer.name] = requantize(layer.requantize, total, layer.bias)
    return values


def read_input(spec: Input, images: np.ndarray) -> Int:
    """Check a batch of images and drop what is under the input's threshold."""
    shape = spec.shape
    if images.ndim != 4 or images.shape[1:] != (shape.height, shape.width, shape.channels):
        raise JpHwError(f"images of shape {images.shape}, the network reads (n, {shape})")
    if not np.issubdtype(images.dtype, np.integer):
        raise JpHwError(f"images of type {images.dtype}; the network reads integers")
    low, high = spec.limits
    if len(images) and (images.min() < low or images.max() > high):
        raise JpHwError(f"images hold values outside the input's range {low}..{high}")
    values = images.astype(np.int64)
    return np.where(np.abs(values) >= spec.theta, values, 0)


def convolve(source: Source, values: Int, shape: tuple[int, int, int, int]) -> Int:
    """Dense convolution. values: int64 (n, h, w, channels); returns int64 of the given shape."""
    count, height, width, channels = shape
    (stride_y, stride_x), (dilation_y, dilation_x) = source.stride, source.dilation
    kernel_y, kernel_x = source.weights.shape[2:]
    need_y = (height - 1) * stride_y + (kernel_y - 1) * dilation_y + 1
    need_x = (width - 1) * stride_x + (kernel_x - 1) * dilation_x + 1
    padded = np.zeros((count, need_y, need_x, values.shape[3]), np.int64)
    top, left = source.padding
    rows = min(values.shape[1], need_y - top)
    columns = min(values.shape[2], need_x - left)
    padded[:, top : top + rows, left : left + columns] = values[:, :rows, :columns]
    out = np.zeros(shape, np.int64)
    per_in, per_out = values.shape[3] // source.groups, channels // source.groups
    for y in range(kernel_y):
        for x in range(kernel_x):
            top_y, left_x = y * dilation_y, x * dilation_x
            window = padded[
                :,
                top_y : top_y + (height - 1) * stride_y + 1 : stride_y,
                left_x : left_x + (width - 1) * stride_x + 1 : stride_x,
            ]
            for g in range(source.groups):
                outs = slice(g * per_out, (g + 1) * per_out)
                inputs = window[..., g * per_in : (g + 1) * per_in]
                out[..., outs] += inputs @ source.weights[outs, :, y, x].T
    return out


def requantize(rule: Requantize, accumulators: Int, bias: Int) -> Int:
    """Activations of accumulators; the last axis of both is the output channel."""
    total = accumulators + bias
    product = total * np.where(total < 0, rule.negative, rule.multiplier)
    value = np.clip((product + (1 << (rule.shift - 1))) >> rule.shift, rule.low, rule.high)
    return np.where(np.abs(value) >= rule.theta, value, 0)


def accuracy(logits: Int, labels: np.ndarray) -> float:
    """Share of images whose largest logit (the first of equals) is the label's."""
    return float(np.mean(logits.argmax(1) == labels))


