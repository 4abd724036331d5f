"""The search for the best allocation: interleaved columns, deep queues, and what a full board does best.

PEs are allocated by what their layers have to do, but what they lose by waiting for one another only the
cycle simulation of a few samples tells. So that judges.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from jp_hw.boards import Board
from jp_hw.ir import Network
from jp_hw.schedule.allocate import (
    WORTH,
    Allocation,
    Candidates,
    DoesNotFit,
    Queues,
    allocate,
    candidates,
    measured,
    queued,
)
from jp_hw.schedule.buffers import with_buffers
from jp_hw.schedule.build import FIFO_DEPTH, MAP_FIFO_DEPTH, input_memories
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
LONGER_TRIES = 8
"""Of so many layers, the slowest ones,"""
LONGER = 2
"""so many at most get the longest queues that LUTs hold while the others keep theirs."""
DEEP = 512
"""Words of a deep queue: one block RAM of them."""
QUEUES = (0, FIFO_DEPTH, MAP_FIFO_DEPTH, LUT_QUEUE, DEEP)
"""All words that a place's queues can have."""
SLACKS = (0, 1024, 4096)
"""Tokens that may find room before a layer's lanes in block RAM, beside the usual ones in LUTs."""
SLACK_TRIES = 8
"""So many layers are tried with those at most, the slowest ones."""
SLACK_GAIN = 0.997
"""They must leave no more of the cycles than that: they take nothing but block RAM that is left."""
GAIN = 0.99
"""Deeper queues must leave no more of the cycles than that."""
IMAGES = 6
"""Samples whose cycles are simulated, at most."""
CYCLES = 200_000
"""Cycles that a simulation may have. Where not even two samples fit, the predicted load judges."""


@dataclass(frozen=True)
class Found:
    """An allocation, and what a better one has less of.

    cost: cycles per image, and PEs to the power that they are worth.
    """

    allocation: Allocation
    cost: float


def search(network: Network, board: Board, pes: int | None) -> Allocation:
    """The best allocation that is found.

    Columns are interleaved of the slowest layer, if only its channels keep it from more PEs, and of
    uneven ones; whatever is tried gets deep queues where they pay. pes: at most so many in all, None
    for as many as help and fit. Layers then `exchange` what they have. Raises JpHwError if the network
    does not fit.
    """
    samples = measured(network)
    try:
        best = _deepened(_allocating(candidates(network, samples, pes), board))
    except DoesNotFit:
        if network.dense:
            raise
        best = _deepened(_allocating(candidates(network, samples, pes, trimmed=False), board))
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
        if other.cycles * _worth(other) >= best.cost:
            continue  # not even if nothing ever waited
        found = _deepened(arrange)
        if found.cost < best.cost:
            best, queue = found, _worth_widening(other)
    start = _allocating(best.allocation.candidates, board)
    plain = exchange(network, samples, board, pes, start({}))

    def exchanged(queues: Queues) -> Allocation:
        if not queues:
            return plain
        hub = replace(plain, places=queued(network, plain.places, queues))
        return exchange(network, samples, board, pes, start(queues), hub)

    found = _deepened(exchanged, alone=True)
    best = min(best, found, key=lambda found: found.cost)
    return _slackened(best.allocation, board)


def _allocating(tried: Candidates, board: Board) -> Arrange:
    return lambda queues: allocate(tried, board, queues)


def _worth_widening(allocation: Allocation) -> list[str]:
    slowest = [] if allocation.slowest is None else [allocation.slowest]
    return slowest + [name for name in allocation.uneven if name not in slowest]


def _deepened(arrange: Arrange, *, alone: bool = False) -> Found:
    """The allocation with deeper queues, as far as that makes it faster: the deepest that LUTs hold in
    all layers (before that, with `alone`, in those that gain most), then block RAM in the slowest ones.

    They may cost PEs. And only neighbours on a map, which share their channels, keep some PEs busy
    while others wait.
    """
    best = arrange({})
    images = _images(best)
    if images < 2:
        return Found(best, best.cycles * _worth(best))
    flow = _flow(best, images)
    cycles = run_traffic(flow, best.layers).cycles_per_image
    maps = [name for name in best.order if _on_map(best.layers, name)]
    queues: dict[str, int] = {}
    deeper = [dict.fromkeys(maps, LUT_QUEUE), *({name: DEEP} for name in maps[:DEEP_TRIES])]
    if best.candidates.network.dense:
        deeper = []
    elif alone and (some := _worth_lengthening(flow, best.layers, maps[:LONGER_TRIES], cycles)):
        deeper.insert(0, some)
    for more in deeper:
        wanted = queues | more
        free = run_traffic(flow, _with_queues(best.layers, wanted))
        if free.cycles_per_image > GAIN * cycles:
            continue  # not even if they took nothing
        try:
            other = arrange(wanted)
        except DoesNotFit:
            continue
        if other.cycles > GAIN * cycles:
            continue  # not even if nothing ever waited
        others = _flow(other, images)
        found = run_traffic(others, other.layers).cycles_per_image
        if found <= GAIN * cycles:
            best, queues, flow, cycles = other, wanted, others, found
    return Found(best, cycles * _worth(best))


def _worth_lengthening(
    flow: Traffic, layers: Sequence[LayerDesign], names: Sequence[str], cycles: float
) -> dict[str, int]:
    """Of some layers those whose longer queues would make the design faster, with their words: one after
    the other, always the one that brings most. cycles: per image, as it is."""
    queues: dict[str, int] = {}
    for _ in range(LONGER):
        others = {
            name: run_traffic(
                flow, _with_queues(layers, queues | {name: LUT_QUEUE})
            ).cycles_per_image
            for name in names
            if name not in queues
        }
        best = min(others, key=others.__getitem__, default=None)
        if best is None or others[best] > GAIN * cycles:
            break
        queues[best], cycles = LUT_QUEUE, others[best]
    return queues


def _slackened(found: Allocation, board: Board) -> Allocation:
    """The allocation with room for more tokens before some layers, as far as that makes it faster.

    It takes block RAM that nothing else has a use for. Layers then wait less for one another where they
    have more to do in one part of a frame than in another.
    """
    images = _images(found)
    if images < 2 or found.candidates.network.dense:
        return found
    flow, budget = _flow(found, images), board.budget.usable
    cycles = run_traffic(flow, found.layers).cycles_per_image
    for name in found.order[:SLACK_TRIES]:
        for tokens in SLACKS[1:]:
            roomy = tuple(
                replace(
                    layer,
                    slack=tokens if layer.name == name else layer.slack,
                    block_ring=False,  # chosen anew
                )
                for layer in found.layers
            )
            layers = with_memories(with_buffers(found.candidates.network, roomy), budget)
            if estimate(layers).exceeds(budget):
                break
            faster = run_traffic(flow, layers).cycles_per_image
            if faster <= SLACK_GAIN * cycles:
                places = [
                    replace(place, slack=layer.slack)
                    for place, layer in zip(found.places, layers, strict=True)
                ]
                found, cycles = replace(found, layers=layers, places=places), faster
    return found


def _worth(allocation: Allocation) -> float:
    return float(sum(layer.pes for layer in allocation.layers) ** WORTH)


def _images(allocation: Allocation) -> int:
    """How many samples the simulation may have."""
    samples = len(allocation.candidates.network.samples)
    return min(IMAGES, samples, int(CYCLES / max(allocation.cycles, 1.0)))


def _flow(allocation: Allocation, images: int) -> Traffic:
    """What the first samples send through the layers."""
    network = allocation.candidates.network
    keep, _ = input_memories(network)
    return of_layers(network, allocation.layers, keep, network.samples[:images])


def _on_map(layers: Sequence[LayerDesign], name: str) -> bool:
    return any(lane.height > 1 for layer in layers if layer.name == name for lane in layer.lanes)


def _with_queues(
    layers: Sequence[LayerDesign], queues: Mapping[str, int]
) -> tuple[LayerDesign, ...]:
    return tuple(
        replace(layer, fifo_depth=queues.get(layer.name, layer.fifo_depth)) for layer in layers
    )
