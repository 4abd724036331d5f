"""Convolution kernels that passes make: identities, averages, slices, and sums of kernels."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from jp_hw.errors import JpHwError
from jp_hw.graph import Float, Pair, Pool
from jp_hw.ir import Shape

Parts = Sequence[tuple[str, Shape]]
"""Names and shapes of tensors that lie one after another by channel."""


@dataclass(frozen=True)
class FloatSource:
    """One convolution of a tensor; weights: float64 (out, in / groups, kernel height, width)."""

    tensor: str
    weights: Float
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1

    def scaled(self, factors: Float) -> "FloatSource":
        """The same with a factor (out,) on every output channel."""
        return replace(self, weights=self.weights * factors[:, None, None, None])

    @property
    def geometry(self) -> tuple[object, ...]:
        """All but the weights; kernels of one geometry on one tensor can be added."""
        return (self.tensor, self.stride, self.padding, self.dilation, self.groups)


def dense(source: FloatSource) -> FloatSource:
    """The same convolution in a single group."""
    if source.groups == 1:
        return source
    out, per_in, *kernel = source.weights.shape
    per_out = out // source.groups
    weights = np.zeros((out, per_in * source.groups, *kernel))
    for g in range(source.groups):
        own = slice(g * per_out, (g + 1) * per_out)
        weights[own, g * per_in : (g + 1) * per_in] = source.weights[own]
    return replace(source, weights=weights, groups=1)


def cut(source: FloatSource, parts: Parts) -> tuple[FloatSource, ...]:
    """A convolution of a concatenation as convolutions of its parts."""
    if len(parts) == 1:
        return (replace(source, tensor=parts[0][0]),)
    whole, start, sources = dense(source), 0, []
    for tensor, shape in parts:
        weights = np.ascontiguousarray(whole.weights[:, start : start + shape.channels])
        sources.append(replace(whole, tensor=tensor, weights=weights))
        start += shape.channels
    return joined(sources)


def identity(parts: Parts) -> tuple[FloatSource, ...]:
    """Tensors as they are, one after another by channel."""
    return averaging(parts, (1, 1), (1, 1), (0, 0))


def averaging(parts: Parts, window: Pair, stride: Pair, padding: Pair) -> tuple[FloatSource, ...]:
    """Means of windows, channel by channel."""
    channels = sum(shape.channels for _, shape in parts)
    ones = np.full((channels, 1, *window), 1.0 / (window[0] * window[1]))
    return cut(FloatSource("", ones, stride, padding, groups=channels), parts)


def spread(mean: FloatSource, weights: Float, groups: int) -> FloatSource:
    """A 1x1 convolution of means of whole maps as a convolution of the maps.

    weights: (out, in / groups) or (out, in / groups, 1, 1), of all means. mean: what `averaging`
    made of one part, all means of other parts having weight 0.
    """
    table = weights.reshape(*weights.shape[:2], 1, 1)
    mixed = dense(FloatSource("", table, groups=groups)).weights[:, :, 0, 0]
    if mean.groups > 1:  # depthwise: output m is the mean of channel m
        kernel = mixed[:, :, None, None] * mean.weights[None, :, 0]
    else:
        kernel = np.einsum("om,mchw->ochw", mixed, mean.weights)
    return replace(mean, weights=kernel, groups=1)


def joined(sources: Iterable[FloatSource]) -> tuple[FloatSource, ...]:
    """Sources in order, those of one tensor and geometry added up."""
    found: dict[tuple[object, ...], FloatSource] = {}
    for source in sources:
        key = (*source.geometry, source.weights.shape[2:])
        known = found.get(key)
        added = source if known is None else replace(known, weights=known.weights + source.weights)
        found[key] = added
    return tuple(found.values())


def pooled_size(node: Pool, shape: Shape) -> tuple[Pair, Pair, Pair, Pair]:
    """Window, stride, padding and (height, width) of the result of a pool on a map."""
    sides = (shape.height, shape.width)
    if node.grid is not None:
        if any(side % count for side, count in zip(sides, node.grid, strict=True)):
            raise JpHwError(
                f"{node.name}: adaptive pooling to {node.grid[0]}x{node.grid[1]} does not divide "
                f"a map of {shape} evenly"
            )
        window = (sides[0] // node.grid[0], sides[1] // node.grid[1])
        return window, window, (0, 0), node.grid
    size = []
    for side, window_, stride, padding in zip(
        sides, node.window, node.stride, node.padding, strict=True
    ):
        if 2 * padding > window_:
            raise JpHwError(f"{node.name}: a padding of {padding} exceeds half of its window")
        steps, rest = divmod(side + 2 * padding - window_, stride)
        if node.ceil and rest and (steps + 1) * stride < side + padding:
            if node.kind == "average":
                raise JpHwError(f"{node.name}: ceil_mode of average pooling is not supported")
            steps += 1
        if steps < 0:
            raise JpHwError(f"{node.name}: its window does not fit on a map of {shape}")
        size.append(steps + 1)
    return node.window, node.stride, node.padding, (size[0], size[1])
