"""Deep queues in block RAM for the layers whose PEs would otherwise wait for their neighbours."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from jp_hw.boards import Board
from jp_hw.ir import Network
from jp_hw.schedule.allocate import Allocation, DoesNotFit, allocate
from jp_hw.schedule.build import input_memories
from jp_hw.schedule.cycles import run_traffic
from jp_hw.schedule.design import LayerDesign
from jp_hw.schedule.traffic import of_layers

DEEP = 512
"""Words of a deep queue: one block RAM of them."""
TRIES = 4
"""So many layers are tried at most."""
GAIN = 0.99
"""Deep queues must leave no more of the cycles than that."""
IMAGES = 4
"""Samples whose cycles are simulated."""


def deepened(best: Allocation, board: Board) -> Allocation:
    """The best allocation with deep queues in the slowest layers, as far as they make it faster.

    The cycle simulation of a few samples judges: a deep queue may cost PEs, and only neighbours on a
    map, which share their channels, keep some PEs busy while others wait.
    """
    network = best.candidates.network
    maps = [n for n in best.order if any(lane.height > 1 for lane in _named(best, n).lanes)]
    if network.dense or not maps:
        return best
    queues: dict[str, int] = {}
    cycles = _cycles(network, best.layers)
    for name in maps[:TRIES]:
        wanted = queues | {name: DEEP}
        if _cycles(network, _with_queues(best.layers, wanted)) > GAIN * cycles:
            continue  # not even if they took nothing
        try:
            other = allocate(best.candidates, board, wanted)
        except DoesNotFit:
            continue
        found = _cycles(network, other.layers)
        if found <= GAIN * cycles:
            best, queues, cycles = other, wanted, found
    return best


def _named(allocation: Allocation, name: str) -> LayerDesign:
    return next(layer for layer in allocation.layers if layer.name == name)


def _with_queues(
    layers: Sequence[LayerDesign], queues: Mapping[str, int]
) -> tuple[LayerDesign, ...]:
    return tuple(
        replace(layer, fifo_depth=queues.get(layer.name, layer.fifo_depth)) for layer in layers
    )


def _cycles(network: Network, layers: tuple[LayerDesign, ...]) -> float:
    """Simulated cycles per image of some samples."""
    keep, _ = input_memories(network)
    flow = of_layers(network, layers, keep, network.samples[:IMAGES])
    return run_traffic(flow, layers).cycles_per_image
