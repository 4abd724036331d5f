"""More PEs for a layer than it has channels: neighbouring columns of a map as channels of their own.

A layer with few channels and a large map cannot use more PEs than it has channels. So a map of width
W and C channels may be seen as one of width W/n and C*n channels: column n*x + p of channel c is
column x of channel c*n + p (space to depth in one direction). A convolution between such maps is a
convolution again, of the same non-zero weights for every output; only its kernel's width, stride and
padding change. Nothing below this transform knows of it: not the tables, not the RTL, not the C++.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from jp_hw.errors import JpHwError
from jp_hw.ir import Int, Layer, Network, Requantize, Shape, Source

Factors = Mapping[str, int]
"""Columns interleaved, by layer; 1 unless given. The input and what is pooled always have 1."""
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
        fault = _fault_of(layer, factors)
        if fault is not None:
            raise JpHwError(fault)
    layers = tuple(_layer(layer, factors) for layer in network.layers)
    return replace(network, layers=layers)


def wider(network: Network, factors: Factors, name: str) -> dict[str, int] | None:
    """The least factors with which a layer's is twice what it was; None if there are none.

    A reader of stride 1 cannot see single columns of a map of pairs, so its own factor grows too.
    """
    result = {layer.name: factors.get(layer.name, 1) for layer in network.layers}
    result[name] *= 2
    for layer in network.layers:
        while _fault_of(layer, result) is not None:
            result[layer.name] *= 2
            if _fault_alone(layer, result[layer.name]) is not None:
                return None
    return result


def tensor(values: Int, factor: int) -> Int:
    """A tensor (n, height, width, channels) with columns interleaved."""
    count, height, width, channels = values.shape
    pairs = values.reshape(count, height, width // factor, factor, channels)
    return pairs.swapaxes(3, 4).reshape(count, height, width // factor, channels * factor)


def _fault_alone(layer: Layer, factor: int) -> str | None:
    """Why a layer cannot have a factor, whatever others have."""
    where = f"layer {layer.name}: {factor} columns cannot be interleaved"
    if not 1 <= factor <= MOST:
        return f"{where}, but 1 to {MOST}"
    if factor > 1 and layer.pool is not None:
        return f"{where} where it pools"
    if layer.output.width % factor:
        return f"{where}: its output has {layer.output.width}"
    return None


def _fault_of(layer: Layer, factors: Factors) -> str | None:
    """Why a layer cannot have its factor, or not read what it reads."""
    own = factors.get(layer.name, 1)
    fault = _fault_alone(layer, own)
    if fault is not None:
        return fault
    for source in layer.sources:
        before = factors.get(source.tensor, 1)
        # neighbouring columns of the output are a whole number of the source's columns apart
        if layer.map.width // own > 1 and source.stride[1] * own % before:
            return (
                f"layer {layer.name}: with {own} columns interleaved it cannot read "
                f"{source.tensor}, which has {before}"
            )
    return None


def _layer(layer: Layer, factors: Factors) -> Layer:
    own, shape = factors.get(layer.name, 1), layer.output
    return replace(
        layer,
        sources=tuple(
            _source(source, factors.get(source.tensor, 1), own, layer.map.width // own)
            for source in layer.sources
        ),
        bias=np.repeat(layer.bias, own),
        output=Shape(shape.height, shape.width // own, shape.channels * own),
        requantize=_rule(layer.requantize, own),
    )


def _rule(rule: Requantize | None, own: int) -> Requantize | None:
    if rule is None:
        return None
    return replace(
        rule, multiplier=np.repeat(rule.multiplier, own), negative=np.repeat(rule.negative, own)
    )


def _source(source: Source, before: int, own: int, width: int) -> Source:
    """The convolution between interleaved maps; width: of the layer's, interleaved."""
    out, within, height, taps = source.weights.shape
    # column of the source that output column `phase` and a tap read, for every phase and tap
    phases, kernel = np.indices((own, taps))
    column = source.stride[1] * phases - source.padding[1] + source.dilation[1] * kernel
    first = int(column.min() // before)  # never positive, as the first is minus the padding
    weights = np.zeros(
        (out, own, within, before, height, int(column.max() // before) - first + 1), np.int64
    )
    for phase, tap in np.ndindex(own, taps):
        place, part = divmod(int(column[phase, tap]), before)
        weights[:, phase, :, part, :, place - first] = source.weights[..., tap]
    return replace(
        source,
        weights=weights.reshape(out * own, within * before, height, -1),
        stride=(source.stride[0], source.stride[1] * own // before if width > 1 else 1),
        padding=(source.padding[0], -first),
        dilation=(source.dilation[0], 1),
    )
