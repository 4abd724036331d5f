"""How many PEs every layer gets: the slowest layer gets the next one, as long as that pays."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jp_hw.boards import Board
from jp_hw.errors import JpHwError
from jp_hw.ir import Int, Network
from jp_hw.schedule.assign import assign, channel_work
from jp_hw.schedule.build import build_layers, channels_read
from jp_hw.schedule.design import LayerDesign
from jp_hw.schedule.estimate import estimate

WORTH = 0.15
"""A PE is added only if it brings at least this part of the speed-up that its share would be."""


@dataclass
class Load:
    """One layer's work on every sample.

    work: int64 (samples, out channels) MACs; tokens: int64 (samples,), markers included; rows and
    row_length: output rows, and outputs of a row per channel.
    """

    work: Int
    tokens: Int
    rows: int
    row_length: int

    def cycles(self, channel_of: Int) -> float:
        """Mean cycles per frame if the PEs compute these channels: the busiest PE, or the tokens."""
        padded = np.concatenate([self.work, np.zeros((len(self.work), 1), np.int64)], axis=1)
        macs = padded[:, channel_of].sum(2).max(1)
        drain = self.rows * (self.row_length * channel_of.shape[1] + 1)
        return float(np.maximum(macs + drain, self.tokens).mean())


def loads(network: Network, tensors: dict[str, Int]) -> list[Load]:
    """Work of every layer on the tensors that the samples make."""
    result = []
    for layer in network.layers:
        tokens = sum(_tokens(network, s.tensor, tensors[s.tensor]) for s in layer.sources)
        work = channel_work(layer, tensors)
        result.append(Load(work, np.asarray(tokens), layer.output.height, layer.output.width))
    return result


def _tokens(network: Network, tensor: str, values: Int) -> Int:
    """Tokens and markers per sample; what no weight reads is never sent."""
    sent = values * channels_read(network, tensor)
    return np.asarray(np.count_nonzero(sent, axis=(1, 2, 3)) + values.shape[1])


def allocate(
    network: Network, tensors: dict[str, Int], board: Board, pes: int | None
) -> tuple[LayerDesign, ...]:
    """Layers with as many PEs as help, within the board's budget and at most `pes` in all.

    Raises JpHwError if not even one PE per layer fits.
    """
    every = loads(network, tensors)
    if pes is not None and pes < len(every):
        raise JpHwError(f"{pes} PEs are too few: {len(every)} layers need one each (--pes)")
    placements = [assign(load.work, 1) for load in every]
    layers = build_layers(network, placements)
    excess = estimate(layers).exceeds(board.budget)
    if excess:
        raise JpHwError(
            f"{network.name} does not fit {board.name} even with one PE per layer: "
            f"it would take {', '.join(excess)}; prune it further or choose a larger board"
        )
    while True:
        better = _improve(every, placements, pes)
        if better is None:
            return layers
        grown = build_layers(network, better)
        if estimate(grown).exceeds(board.budget):
            return layers
        placements, layers = better, grown


def _improve(every: Sequence[Load], placements: Sequence[Int], pes: int | None) -> list[Int] | None:
    """Placements with more PEs for the slowest layer, None where that brings nothing."""
    cycles = [load.cycles(place) for load, place in zip(every, placements, strict=True)]
    slowest = int(np.argmax(cycles))
    load, now = every[slowest], len(placements[slowest])
    total = sum(len(place) for place in placements)
    most = load.work.shape[1] if pes is None else min(load.work.shape[1], now + pes - total)
    for count in range(now + 1, min(most, 2 * now) + 1):
        place = assign(load.work, count)
        gain = 1.0 - load.cycles(place) / cycles[slowest]
        if gain >= WORTH * (count - now) / (total + count - now):
            return [place if i == slowest else old for i, old in enumerate(placements)]
    return None
