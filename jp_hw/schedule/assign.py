"""Which PE computes which output channel."""

from collections.abc import Mapping
from functools import lru_cache
from hashlib import blake2b

import numpy as np

from jp_hw.ir import Int, Layer, Network
from jp_hw.macs import executed, kept

SWAPS = 400
"""So many swaps and attempts at most, which suffices."""
STUCK = 8
"""So many of the PEs that cost most are tried before swapping ends."""
DOUBLINGS = 4
"""Costs are loads to the power of two to this."""
CHANCE = 1000
"""MACs of a PE per frame under which the samples are no guide: what is even for them is so by chance."""
EVEN = 1.005
"""Swaps end when the busiest PE has no more to do than this, against the mean; and what gives it no more
than this, against another way, is as even."""


def column_work(network: Network, layer: Layer, tensors: Mapping[str, Int], beside: int = 0) -> Int:
    """MACs of every column and output channel kept on each sample, (samples, columns, channels).

    beside: of tokens with so many taps beside the map at most, on a side, those MACs count, too, unless
    it is 0, in columns beside the others (`macs.executed`).
    """
    work: Int = sum(
        (
            (
                executed(network, layer, source, tensors[source.tensor], beside)
                if beside
                else kept(network, layer, source, tensors[source.tensor])
            ).sum(1)
            for source in layer.sources
        ),
        start=np.zeros(1, np.int64),
    )
    of_outputs: Int = work.reshape(*work.shape[:2], layer.output.channels, -1).sum(-1)
    return of_outputs


def channel_work(
    network: Network, layer: Layer, tensors: Mapping[str, Int], beside: int = 0
) -> Int:
    """MACs that every output channel keeps on each sample, int64 (samples, out channels)."""
    work: Int = column_work(network, layer, tensors, beside).sum(1)
    return work


def assign(work: Int, pes: int) -> Int:
    """Spread output channels over PEs: the same number of slots each, work as even as can be.

    What counts is the busiest PE of every frame. Longest first, then swaps (a p-norm in the place of
    the maximum: Alon et al., "Approximation schemes for scheduling on parallel machines", 1998).
    Channels are dealt out in turn if that is as even, as it is where they were pruned in balance: then
    every single token costs all PEs the same, which no sum over a frame can tell.

    work: int64 (samples, channels). Returns channel_of, int64 (pes, slots), -1 for unused slots. What
    was asked for before is remembered.
    """
    return _assigned(_Work(work), pes).copy()


class _Work:
    """An array that can be a key."""

    def __init__(self, values: Int) -> None:
        self.values = values
        self.key = (values.shape, blake2b(values.tobytes()).digest())

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Work) and self.key == other.key


@lru_cache(maxsize=4096)
def _assigned(work: _Work, pes: int) -> Int:
    channel_of = longest_first(work.values, pes)
    if 1 < pes < work.values.shape[1]:
        _swap(work.values, channel_of)
        turns = in_turn(work.values.shape[1], pes)
        if busiest(work.values, turns) <= EVEN * busiest(work.values, channel_of):
            return turns
    return channel_of


def in_turn(channels: int, pes: int) -> Int:
    """Channel k to PE k % pes, as balanced pruning has it; int64 (pes, slots), -1 for unused slots."""
    places = np.arange(-(-channels // pes) * pes).reshape(-1, pes).T
    return np.where(places < channels, places, -1)


def busiest(work: Int, channel_of: Int) -> float:
    """MACs of the busiest PE, mean over samples. work: int64 (samples, channels)."""
    return float(busiest_of(work, channel_of).mean())


def busiest_of(work: Int, channel_of: Int) -> Int:
    """MACs of the busiest PE on every sample, int64 (samples,). work: int64 (samples, channels)."""
    padded = np.concatenate([work, np.zeros((len(work), 1), np.int64)], axis=1)
    most: Int = padded[:, channel_of].sum(2).max(1)
    return most


def longest_first(work: Int, pes: int) -> Int:
    """Each channel to the PE where the sum over samples of squared load grows least: that evens out
    the load within single frames, not only on average."""
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


def _swap(work: Int, channel_of: Int) -> None:
    """Exchange channels of one PE for others, as long as the sum of the PEs' costs falls by it.

    Of the PEs that cost most, the first one that can be improved, by its best exchange. A PE's cost is
    a high power of its loads, relative to the mean, summed over samples: nearly what the busiest PE of
    each sample has to do; but a swap also counts where several PEs are equally busy.
    """
    padded = np.concatenate([work, np.zeros((len(work), 1), np.int64)], axis=1).T.astype(float)
    ideal = padded.sum() / (len(channel_of) * len(work))
    if ideal < CHANCE:
        return
    from jp_hw.schedule.assign_kernel import swap  # numba is heavy

    of = padded[channel_of] / ideal
    cost, stuck = np.zeros(len(of)), np.zeros(len(of), np.bool_)
    swap(of, of.sum(1), cost, stuck, channel_of, SWAPS, STUCK, EVEN, DOUBLINGS)
