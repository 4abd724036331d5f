"""The search for the best allocation: interleaved columns, deep queues, and what a full board does best.

PEs are allocated by what their layers have to do, but what they lose by waiting for one another only the
cycle simulation of a few samples tells. So that judges.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import Any

import numpy as np

from jp_hw.boards import Board, Budget
from jp_hw.ir import Network
from jp_hw.macs import ANY
from jp_hw.schedule import parallel
from jp_hw.schedule.allocate import (
    Allocation,
    Candidates,
    DoesNotFit,
    Queues,
    Samples,
    allocate,
    candidates,
)
from jp_hw.schedule.buffers import with_buffers
from jp_hw.schedule.build import FIFO_DEPTH, MAP_FIFO_DEPTH, WINNER_DEPTH, input_memories
from jp_hw.schedule.cycles import run_traffic
from jp_hw.schedule.design import LayerDesign
from jp_hw.schedule.estimate import estimate, with_memories
from jp_hw.schedule.exchange import exchange
from jp_hw.schedule.interleave import wider
from jp_hw.schedule.memories import LUT_QUEUE
from jp_hw.schedule.traffic import Traffic, of_layers

Arrange = Callable[[Queues], Allocation]
"""An allocation with some queues' words; raises DoesNotFit."""
TRIES = 8
"""So many ways to interleave columns are tried at most."""
FULL_TRIES = 4
"""On a full board, where layers exchange what they have anyway, so many."""
DEEP_TRIES = 3
"""So many layers are tried with deep queues at most."""
DEEP = 512
"""Words of a deep queue: one block RAM of them."""
QUEUES = (0, FIFO_DEPTH, MAP_FIFO_DEPTH, LUT_QUEUE, DEEP)
"""All words that a place's queues can have."""
SLACKS = (0, 1024, 4096)
"""Tokens that may find room before a layer's lanes in block RAM, beside the usual ones in LUTs."""
WINNERS = (0, WINNER_DEPTH, LUT_QUEUE, DEEP)
"""All words that the queue of a group's winners can have."""
ROOM_TRIES = 8
"""So many layers are given more room at most, the slowest ones,"""
ROOM_ROUNDS = 2
"""so many times,"""
ROOM_GAIN = 0.997
"""if no more of the cycles is left than that: it takes nothing but what nothing else has a use for."""
ROOM: tuple[tuple[str, int], ...] = (
    ("winner_depth", DEEP),
    ("winner_depth", LUT_QUEUE),
    *(("slack", tokens) for tokens in SLACKS[1:]),
    ("fifo_depth", LUT_QUEUE),
    ("fifo_depth", DEEP),
)
"""What is tried: words for the winners of a group, tokens before a lane, words of a PE's queue."""
BLOCK_MERGE = 4
"""So many groups at most may have their queues of winners in block RAM: it answers late, and a merge
chooses in the same cycle."""
GAIN = 0.99
"""Deeper queues must leave no more of the cycles than that."""
HOPELESS = 1.05
"""An allocation that would cost so many times as much as another one is not given more room."""
IMAGES = 12
"""Samples whose cycles are simulated, at most."""
CYCLES = 200_000
"""Cycles that a simulation may have. Where not even two samples fit, the predicted load judges."""
PE_CYCLES = 60_000_000
"""Cycles of single PEs that it may have: what it takes grows with both."""


@dataclass(frozen=True)
class Found:
    """An allocation, and its cycles per image."""

    allocation: Allocation
    cycles: float

    @property
    def cost(self) -> float:
        """What a better one has less of."""
        return self.allocation.price(self.cycles)


def search(network: Network, samples: Samples, board: Board, pes: int | None) -> Found:
    """The best allocation that is found.

    Columns are interleaved of the slowest layer, if only its channels keep it from more PEs, and of
    uneven ones; whatever is tried gets deep queues where they pay. Layers then `exchange` what they
    have. samples: `measured`. pes: at most so many in all, None for as many as help and fit. Raises
    JpHwError if the network does not fit.
    """
    try:
        best = _deepened(_allocating(candidates(network, samples, pes), board))
    except DoesNotFit:
        if network.dense:
            raise
        best = _deepened(_allocating(candidates(network, samples, pes, beside=ANY), board))
    tried: set[tuple[tuple[str, int], ...]] = set()
    queue = [] if network.dense else _worth_widening(best.allocation)
    while queue and len(tried) < (FULL_TRIES if best.allocation.full else TRIES):
        columns = wider(network, best.allocation.candidates.columns, queue.pop(0))
        key = tuple(sorted((columns or {}).items()))
        if columns is None or key in tried:
            continue
        tried.add(key)
        try:
            arrange = _allocating(candidates(network, samples, pes, columns), board)
            other = arrange({})
        except DoesNotFit:
            continue
        if other.price(other.cycles) >= best.cost:
            continue  # not even if nothing ever waited
        found = _deepened(arrange)
        if found.cost < best.cost:
            best, queue = found, _worth_widening(other)
    start = _allocating(best.allocation.candidates, board)({})
    return _roomiest(
        [best.allocation, exchange(network, samples, board, pes, start, _costs)], board
    )


def _roomiest(options: Sequence[Allocation], board: Board) -> Found:
    """The best of some allocations when they have got what room is left."""
    images, best = _images(options), None
    for option in sorted(options, key=_promise):
        if best is None or _promise(option) < HOPELESS * best.cost:
            roomy = _roomier(option, board, images)
            best = roomy if best is None or roomy.cost < best.cost else best
    assert best is not None
    return best


def _allocating(tried: Candidates, board: Board) -> Arrange:
    return lambda queues: allocate(tried, board, queues)


def _worth_widening(allocation: Allocation) -> list[str]:
    slowest = [] if allocation.slowest is None else [allocation.slowest]
    return slowest + [name for name in allocation.uneven if name not in slowest]


def _deepened(arrange: Arrange) -> Found:
    """An allocation with deeper queues, as far as that makes it faster than the best without: the
    deepest that LUTs hold in all layers, then block RAM in the slowest ones.

    They may cost PEs. And only neighbours on a map, which share their channels, keep some PEs busy
    while others wait.
    """
    best = arrange({})
    images = _images([best])
    if images < 2:
        return Found(best, best.cycles)
    sent = flow(best, images)
    cycles = _simulated(best, sent, images)
    maps = [name for name in best.order if _on_map(best.layers, name)]
    queues: dict[str, int] = {}
    deeper = [dict.fromkeys(maps, LUT_QUEUE), *({name: DEEP} for name in maps[:DEEP_TRIES])]
    if best.candidates.network.dense:
        deeper = []
    for more in deeper:
        wanted = queues | more
        free = _simulated(best, sent, images, _with_queues(best.layers, wanted))
        if free > GAIN * cycles:
            continue  # not even if they took nothing
        try:
            other = arrange(wanted)
        except DoesNotFit:
            continue
        if other.cycles > GAIN * cycles:
            continue  # not even if nothing ever waited
        others = flow(other, images)
        found = _simulated(other, others, images)
        if found <= GAIN * cycles:
            best, queues, sent, cycles = other, wanted, others, found
    return Found(best, cycles)


def _roomier(found: Allocation, board: Board, images: int) -> Found:
    """The allocation with more room for what waits in some layers, as far as that makes it faster.

    It takes what is left of the board. Layers then wait less for one another where they have more to do
    in one part of a frame than in another.
    """
    if images < 2:
        return Found(found, found.expected)
    sent, budget = flow(found, images), board.budget.usable
    cycles = _simulated(found, sent, images)
    judge = partial(_simulated, found, sent, images)
    for _ in range(0 if found.candidates.network.dense else ROOM_ROUNDS):
        before, choices, at = cycles, list(product(ROOM, found.order[:ROOM_TRIES])), 0
        while at < len(choices):
            tried: list[tuple[int, tuple[LayerDesign, ...]]] = []
            while at < len(choices) and len(tried) < parallel.CORES:
                (kind, size), name = choices[at]
                at += 1
                layers = _with_room(found, name, kind, size, budget)
                if layers is not None:
                    tried.append((at, layers))
            judged = parallel.each(lambda one: judge(one[1]), tried)
            for (behind, layers), faster in zip(tried, judged, strict=True):
                if faster <= ROOM_GAIN * cycles:  # the others are tried again, beside this one
                    found, cycles, at = _with_layers(found, layers), faster, behind
                    break
        if cycles == before:
            break
    return Found(found, cycles)


def _may_have(layer: LayerDesign, kind: str, size: int) -> bool:
    """Whether a layer may have more room of a kind: where block RAM answers, a merge must be small."""
    if kind == "winner_depth":
        return size <= LUT_QUEUE or max(map(len, layer.groups)) <= BLOCK_MERGE
    return _on_map([layer], layer.name)


def _with_room(
    found: Allocation, name: str, kind: str, size: int, budget: Budget
) -> tuple[LayerDesign, ...] | None:
    """The layers with more room for what waits in one of them; None where that cannot be."""
    own = next(layer for layer in found.layers if layer.name == name)
    if size <= getattr(own, kind) or not _may_have(own, kind, size):
        return None
    more: dict[str, Any] = {kind: size}
    roomy = tuple(
        replace(layer, block_ring=False, **(more if layer.name == name else {}))
        for layer in found.layers
    )
    layers = with_memories(with_buffers(found.candidates.network, roomy), budget)
    return None if estimate(layers).exceeds(budget) else layers


def _with_layers(found: Allocation, layers: tuple[LayerDesign, ...]) -> Allocation:
    """The allocation with the room that layers have."""
    places = [
        replace(place, slack=own.slack, queue=own.fifo_depth, winners=own.winner_depth)
        for place, own in zip(found.places, layers, strict=True)
    ]
    return replace(found, layers=layers, places=places)


def _costs(allocations: Sequence[Allocation]) -> list[float]:
    """What allocations cost that are to be compared."""
    return parallel.each(partial(_cost, images=_images(allocations)), allocations)


def _cost(allocation: Allocation, images: int) -> float:
    """What an allocation costs, by the cycles of so many samples; as predicted, if less than two."""
    if images < 2:
        return _promise(allocation)
    return allocation.price(_simulated(allocation, flow(allocation, images), images))


def _simulated(
    allocation: Allocation,
    sent: Traffic,
    images: int,
    layers: Sequence[LayerDesign] | None = None,
) -> float:
    """Cycles of a frame by the simulation of the first samples, times what is predicted of all samples
    over what is predicted of these, but the first one (a ratio estimate).

    sent: the `flow` of these. layers: simulated in the place of the allocation's.
    """
    cycles = run_traffic(sent, layers or allocation.layers).cycles_per_image
    return cycles * allocation.expected / float(allocation.frames[1:images].mean())


def _promise(allocation: Allocation) -> float:
    """What an allocation would cost if nothing ever waited."""
    return allocation.price(allocation.expected)


def _images(compared: Sequence[Allocation]) -> int:
    """How many samples the simulations of allocations may have: as many as the fastest one may."""
    most = [min(CYCLES, PE_CYCLES / each.pes) / max(each.cycles, 1.0) for each in compared]
    return min(IMAGES, len(compared[0].candidates.network.samples), int(max(most)))


def flow(allocation: Allocation, images: int) -> Traffic:
    """What the first samples send through the layers; they begin anew where there are not so many."""
    network = allocation.candidates.network
    keep, _ = input_memories(network)
    frames = np.resize(network.samples, (images, *network.samples.shape[1:]))
    return of_layers(network, allocation.layers, keep, frames)


def _on_map(layers: Sequence[LayerDesign], name: str) -> bool:
    return any(lane.height > 1 for layer in layers if layer.name == name for lane in layer.lanes)


def _with_queues(
    layers: Sequence[LayerDesign], queues: Mapping[str, int]
) -> tuple[LayerDesign, ...]:
    return tuple(
        replace(layer, fifo_depth=queues.get(layer.name, layer.fifo_depth)) for layer in layers
    )
