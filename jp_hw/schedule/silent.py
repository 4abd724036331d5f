"""Channels that are always zero: nothing of them is computed, and no PE waits for them.

Pruning can take all weights of an output channel. Where its bias does not make it fire, every reader
gets nothing from it; a layer with a PE per channel would give it a PE all the same.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from jp_hw import golden
from jp_hw.ir import INPUT, Int, Layer, Network, Requantize, Shape, Source
from jp_hw.schedule.build import channels_read

Kept = NDArray[np.bool_]
"""Which channels of a tensor remain, bool (channels,)."""


def without_silent(network: Network) -> Network:
    """The network without output channels that have no weights, and are zero or never read.

    Its logits are the network's, and so are the MACs of every layer: what is left out took part in none.
    Layers that were pruned in balance over PEs (`balanced`) keep their channels, so does a
    dense network, in which nothing is skipped, and every layer keeps one.
    """
    if network.dense:
        return network
    kept: dict[str, Kept] = {INPUT: np.ones(network.input.shape.channels, np.bool_)}
    layers = []
    for layer in network.layers:
        inner = replace(layer, sources=tuple(_reading(s, kept[s.tensor]) for s in layer.sources))
        own = np.ones(layer.output.channels, np.bool_)
        if layer.requantize is not None and not balanced(layer):
            own = _weighty(inner) | (
                _constant(layer, layer.requantize) & channels_read(network, layer.name)
            )
            own[0] |= not own.any()
        kept[layer.name] = own
        layers.append(inner if own.all() else _only(inner, own))
    if all(channels.all() for channels in kept.values()):
        return network
    return replace(network, layers=tuple(layers))


def balanced(layer: Layer) -> bool:
    """Whether a source's input channels each have as many weights in each of some groups of output
    channels, which are dealt out in turn (`assign.in_turn`)."""
    sources = map(_in_one_group, layer.sources)
    return any(_in_groups(np.count_nonzero(s.weights, axis=(2, 3))) for s in sources)


def _in_groups(counts: Int) -> bool:
    """Whether counts (out channels, in channels) sum up to the same in some groups of outputs, and would
    not in any."""
    some = counts[counts.any(1)]
    if not len(some) or (some == some[0]).all():
        return False
    totals = counts.sum(0)
    for groups in range(2, len(counts) // 2 + 1):
        share, rest = np.divmod(totals, groups)
        if not rest.any() and all(
            np.array_equal(counts[group::groups].sum(0), share) for group in range(groups)
        ):
            return True
    return False


def _weighty(layer: Layer) -> Kept:
    """Output channels that any weight leads to."""
    found = np.zeros(layer.output.channels, np.bool_)
    for source in layer.sources:
        found |= source.weights.any(axis=(1, 2, 3))
    return found


def _constant(layer: Layer, rule: Requantize) -> Kept:
    """Output channels that are not zero where all sums are."""
    nothing: Int = np.zeros((1, 1, 1, layer.output.channels), np.int64)
    fires: Kept = golden.requantize(rule, nothing, layer.bias).reshape(-1) != 0
    return fires


def _reading(source: Source, kept: Kept) -> Source:
    """The source that reads some of its tensor's channels."""
    if kept.all():
        return source
    source = _in_one_group(source)
    return replace(source, weights=source.weights[:, kept])


def _in_one_group(source: Source) -> Source:
    """The same convolution without groups: zeros lead from one to another."""
    if source.groups == 1:
        return source
    out, within, *kernel = source.weights.shape
    weights = np.zeros(
        (source.groups, out // source.groups, source.groups, within, *kernel), np.int64
    )
    for group, own in enumerate(source.weights.reshape(source.groups, -1, within, *kernel)):
        weights[group, :, group] = own
    return replace(source, weights=weights.reshape(out, -1, *kernel), groups=1)


def _only(layer: Layer, own: Kept) -> Layer:
    """The layer with some of its output channels."""
    rule, shape = layer.requantize, layer.output
    assert rule is not None
    return replace(
        layer,
        sources=tuple(
            replace(s, weights=s.weights[own]) for s in map(_in_one_group, layer.sources)
        ),
        bias=layer.bias[own],
        output=Shape(shape.height, shape.width, int(own.sum())),
        requantize=replace(rule, multiplier=rule.multiplier[own], negative=rule.negative[own]),
    )
