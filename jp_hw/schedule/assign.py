"""Which PE computes which output channel."""

from collections.abc import Mapping

import numpy as np

from jp_hw.ir import Int, Layer, Network
from jp_hw.macs import kept


def column_work(network: Network, layer: Layer, tensors: Mapping[str, Int]) -> Int:
    """MACs of every column and output channel kept on each sample, (samples, columns, channels)."""
    return sum(
        (kept(network, layer, source, tensors[source.tensor]).sum(1) for source in layer.sources),
        start=np.zeros(1, np.int64),
    )


def channel_work(network: Network, layer: Layer, tensors: Mapping[str, Int]) -> Int:
    """MACs that every output channel keeps on each sample, int64 (samples, out channels)."""
    work: Int = column_work(network, layer, tensors).sum(1)
    return work


def assign(work: Int, pes: int) -> Int:
    """Spread output channels over PEs: the same number of slots each, work as even as can be.

    Longest first, each to the PE where the sum over samples of squared load grows least: that evens
    out the load within single frames, not only on average.

    work: int64 (samples, channels). Returns channel_of, int64 (pes, slots), -1 for unused slots.
    """
    channels = work.shape[1]
    slots = -(-channels // pes)
    channel_of = np.full((pes, slots), -1, np.int64)
    used = np.zeros(pes, np.int64)
    load = np.zeros((pes, work.shape[0]))
    order = sorted(range(channels), key=lambda k: (-int(work[:, k].sum()), k))
    for channel in order:
        growth = load @ work[:, channel].astype(float)
        growth[used == slots] = np.inf
        # equal growth (no work at all, say): the emptier PE, then the first one
        least = np.flatnonzero(growth == growth.min())
        best = least[np.argmin(used[least])]
        channel_of[best, used[best]] = channel
        used[best] += 1
        load[best] += work[:, channel]
    return channel_of
