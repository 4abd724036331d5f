"""More PEs for a layer than it has channels: neighbouring columns of a map as channels of their own.

A layer with few channels and a large map cannot use more PEs than it has channels. So a map of width
W and C channels may be seen as one of width W/n and C*n channels: column n*x + p of channel c is
column x of channel c*n + p (space to depth in one direction). A convolution between such maps is a
convolution again, of the same non-zero weights for every output; only its kernel's width, stride and
padding change. Where a reader tells columns apart that are one in its source, it is a transposed
convolution (`Source.spread`). All of that ends in the dispatchers' tables: neither the RTL nor the C++
knows of it.
"""

from collections.abc import Mapping
from dataclasses import replace
from math import gcd

import numpy as np

from jp_hw.errors import JpHwError
from jp_hw.ir import Int, Layer, Network, Pool, Requantize, Shape, Source

Factors = Mapping[str, int]
"""Columns interleaved, by layer; 1 unless given. The input always has 1."""
MOST = 8
"""So many columns are interleaved at most."""


def interleave(network: Network, factors: Factors) -> Network:
    """The network whose layers' outputs have neighbouring columns as channels.

    Its logits are the network's, and so are the MACs that every layer keeps. Raises JpHwError, naming
    the layer, where a factor does not fit.
    """
    if all(factor == 1 for factor in factors.values()):
        return network
    if network.dense:
        raise JpHwError(
            f"{network.name} is dense: interleaved kernels have zeros it would multiply"
        )
    for layer in network.layers:
        found = fault(layer, factors.get(layer.name, 1))
        if found is not None:
            raise JpHwError(found)
    layers = tuple(_layer(layer, factors) for layer in network.layers)
    return replace(network, layers=layers)


def wider(network: Network, factors: Factors, name: str) -> dict[str, int] | None:
    """The factors with twice as many columns of a layer interleaved; None if that cannot be."""
    result = {layer.name: factors.get(layer.name, 1) for layer in network.layers}
    result[name] *= 2
    layer = next(layer for layer in network.layers if layer.name == name)
    return None if fault(layer, result[name]) is not None else result


def tensor(values: Int, factor: int) -> Int:
    """A tensor (n, height, width, channels) with columns interleaved."""
    count, height, width, channels = values.shape
    pairs = values.reshape(count, height, width // factor, factor, channels)
    return pairs.swapaxes(3, 4).reshape(count, height, width // factor, channels * factor)


def fault(layer: Layer, factor: int) -> str | None:
    """Why a layer cannot have a factor."""
    where = f"layer {layer.name}: {factor} columns cannot be interleaved"
    if not 1 <= factor <= MOST:
        return f"{where}, but 1 to {MOST}"
    if factor > 1 and not _tiled(layer):
        return f"{where}: its pooling windows do not lie side by side"
    if layer.output.width % factor:
        return f"{where}: its output has {layer.output.width}"
    return None


def sums_per_column(layer: Layer) -> int:
    """Columns of sums that make one of a layer's output, where its windows lie side by side."""
    return 1 if layer.pool is None else layer.pool.window[1]


def _tiled(layer: Layer) -> bool:
    """Whether every column of sums belongs to just one output column."""
    pool = layer.pool
    if pool is None:
        return True
    window, stride, padding = pool.window[1], pool.stride[1], pool.padding[1]
    return window == stride and padding == 0 and pool.size[1] == window * layer.output.width


def _layer(layer: Layer, factors: Factors) -> Layer:
    own, shape = factors.get(layer.name, 1), layer.output
    sums = 1 if own == 1 else own * sums_per_column(layer)
    return replace(
        layer,
        sources=tuple(
            _source(source, factors.get(source.tensor, 1), sums, layer.map.width // sums)
            for source in layer.sources
        ),
        bias=np.repeat(layer.bias, own),
        output=Shape(shape.height, shape.width // own, shape.channels * own),
        requantize=_rule(layer.requantize, own),
        pool=layer.pool if layer.pool is None or own == 1 else _pool(layer.pool, sums),
    )


def _pool(pool: Pool, sums: int) -> Pool:
    """The pool of interleaved columns: a window's columns have become channels, too."""
    height, width = pool.size
    return Pool(
        (height, width // sums),
        (pool.window[0], 1),
        (pool.stride[0], 1),
        (pool.padding[0], 0),
        across=pool.window[1],
    )


def _rule(rule: Requantize | None, own: int) -> Requantize | None:
    if rule is None:
        return None
    return replace(
        rule, multiplier=np.repeat(rule.multiplier, own), negative=np.repeat(rule.negative, own)
    )


def _source(source: Source, before: int, own: int, width: int) -> Source:
    """The convolution between interleaved maps; width: of the layer's, interleaved.

    Column `before * i + part` of the source reaches column `own * x + phase` by a tap if
    `stride * own * x + column == before * i + part`. What both sides have in common is divided out.
    """
    out, within, height, taps = source.weights.shape
    common = before if width == 1 else gcd(before, source.stride[1] * own)
    # where output column `phase` and a tap read, for every phase and tap, while x is 0
    phases, kernel = np.indices((own, taps))
    column = source.stride[1] * phases - source.padding[1] + source.dilation[1] * kernel
    first = int(column.min() // common) - before // common + 1  # never positive: minus the padding
    size = int(column.max() // common) - first + 1
    weights = np.zeros((out, own, within, before, height, size), np.int64)
    for phase, tap in np.ndindex(own, taps):
        for part in range(int(column[phase, tap]) % common, before, common):
            place = (int(column[phase, tap]) - part) // common
            weights[:, phase, :, part, :, place - first] = source.weights[..., tap]
    return replace(
        source,
        weights=weights.reshape(out * own, within * before, height, size),
        stride=(source.stride[0], source.stride[1] * own // common if width > 1 else 1),
        padding=(source.padding[0], -first),
        dilation=(source.dilation[0], 1),
        spread=before // common,
    )
