"""The scheduler's entry point."""

from collections.abc import Sequence

import numpy as np

from jp_hw.boards import Board
from jp_hw.errors import JpHwError
from jp_hw.ir import Network
from jp_hw.schedule.allocate import measured
from jp_hw.schedule.build import Placement, build_layers, input_memories
from jp_hw.schedule.busy import busy
from jp_hw.schedule.design import Design, LayerDesign
from jp_hw.schedule.estimate import with_memories
from jp_hw.schedule.interleave import Factors, interleave
from jp_hw.schedule.search import search
from jp_hw.schedule.silent import without_silent


def schedule(
    network: Network,
    board: Board,
    pes: int | None = None,
    clock_mhz: float | None = None,
    utilization: float | None = None,
) -> Design:
    """Schedule a network for a board.

    pes: at most so many PEs in all; as many as help and fit unless given. clock_mhz: the board's
    default unless given. utilization: the PEs do a MAC in at least this share of their cycles, on the
    network's samples; no more PEs than are that busy. Where the slowest layer could use more PEs than
    its channels allow, its columns are interleaved, and where a slow layer's PEs have uneven work and
    that evens it out. The slowest layers get deep queues where the cycle simulation of samples says
    that it pays. Channels that are always zero get no place. Deterministic. Raises JpHwError if the
    network does not fit, or cannot keep its PEs that busy.
    """
    clock = board.clock_mhz if clock_mhz is None else clock_mhz
    if not 1.0 <= clock <= 1000.0:
        raise JpHwError(f"a clock of {clock} MHz is outside 1..1000 (--clock)")
    computed = without_silent(network)
    if utilization is None:
        best = search(computed, measured(computed), board, pes).allocation
    else:
        best = busy(computed, board, pes, utilization)
    tried = best.candidates
    return _design(network, tried.network, board, clock, tried.columns, best.layers)


class Misplaced(JpHwError):
    """Places that do not compute every channel of a layer once."""


def place(
    network: Network, board: Board, clock_mhz: float, placements: Sequence[Placement]
) -> Design:
    """The design whose layers are computed at given places: all channels, or all but silent ones.

    Raises Misplaced, naming the layer, where its PEs do not compute each of them once.
    """
    columns = {
        layer.name: placement.columns
        for layer, placement in zip(network.layers, placements, strict=True)
    }
    whole = _computes(network, placements)
    for layer, own in zip(whole.layers, placements, strict=True):
        used = np.sort(own.channel_of[own.channel_of >= 0])
        every = layer.output.channels * own.columns
        if len(used) != every or not np.array_equal(used, np.arange(every)):
            raise Misplaced(f"layer {layer.name} is placed wrongly")
    computed = interleave(whole, columns)
    layers = with_memories(build_layers(computed, placements), board.budget.usable)
    return _design(network, computed, board, clock_mhz, columns, layers)


def _computes(network: Network, placements: Sequence[Placement]) -> Network:
    """What places compute of a network: all its channels if they name so many, else those that are not
    silent."""
    every = zip(network.layers, placements, strict=True)
    whole = all(
        np.count_nonzero(place.channel_of >= 0) == layer.output.channels * place.columns
        for layer, place in every
    )
    return network if whole else without_silent(network)


def _design(
    network: Network,
    computed: Network,
    board: Board,
    clock_mhz: float,
    columns: Factors,
    layers: tuple[LayerDesign, ...],
) -> Design:
    keep, byte_map = input_memories(computed)
    factors = tuple(columns.get(layer.name, 1) for layer in network.layers)
    return Design(network, computed, factors, board, clock_mhz, keep, byte_map, layers)
