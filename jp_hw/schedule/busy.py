"""The fastest design whose PEs are as busy as is wanted: what a search finds with fewer of them.

The last PEs that a board has room for save few cycles: layers have fewer channels for each of them to
even out, and less block RAM is left for what waits between layers. So PEs are the busier the fewer.
"""

from jp_hw.boards import Board
from jp_hw.errors import JpHwError
from jp_hw.ir import Network
from jp_hw.schedule.allocate import Allocation, Samples, candidates, measured
from jp_hw.schedule.search import Found, search

TRIES = 4
"""So many searches at most."""
STEEP = 4.0
"""Utilization is thought to fall with the number of PEs to the power of one in so many."""
NEAR = 1.01
"""A design that is so many times as busy as is wanted could be a faster one."""


def busy(network: Network, board: Board, pes: int | None, utilization: float) -> Allocation:
    """The fastest allocation that is found whose PEs do a MAC in so many of their cycles, 0..1.

    pes: at most so many in all. Raises JpHwError if the network does not fit, or is never so busy.
    """
    if not 0.0 < utilization < 1.0:
        raise JpHwError(f"a utilization of {utilization} is outside 0..1 (--utilization)")
    samples = measured(network)
    found: dict[int, Found] = {}
    most = _promising(network, samples, pes, utilization)
    while len(found) < TRIES and most not in found:
        found[most] = search(network, samples, board, most)
        times = _share(found[most], samples) / utilization
        if 1.0 <= times <= NEAR:
            break
        most = round(found[most].allocation.pes * min(times**STEEP, 2.0))
        most = max(most if pes is None else min(most, pes), len(network.layers))
    enough = [one for one in found.values() if _share(one, samples) >= utilization]
    if not enough:
        best = max(found.values(), key=lambda one: _share(one, samples))
        raise JpHwError(
            f"no design of {network.name} for {board.name} was found whose PEs do a MAC in "
            f"{utilization:.1%} of their cycles; the best one has {best.allocation.pes} PEs and does in "
            f"{_share(best, samples):.1%} (--utilization)"
        )
    return min(enough, key=lambda one: one.cycles).allocation


def _share(found: Found, samples: Samples) -> float:
    """MACs within the maps per PE and cycle."""
    return samples.macs / (found.cycles * found.allocation.pes)


def _promising(network: Network, samples: Samples, pes: int | None, utilization: float) -> int:
    """The most PEs that were so busy if one after the other was given to the slowest layer, and nothing
    ever waited; else as many as are busiest like that."""
    grown = candidates(network, samples, pes)
    busy = [samples.macs / cycles for cycles in grown.pe_cycles]
    enough = [i for i, share in enumerate(busy) if share >= utilization]
    at = enough[-1] if enough else max(range(len(busy)), key=lambda i: busy[i])
    return sum(len(place.channel_of) for place in grown.states[at])
