"""The fastest design whose PEs are as busy as is wanted: what a search finds with fewer of them.

The last PEs that a board has room for save few cycles: layers have fewer channels for each of them to
even out, and less block RAM is left for what waits between layers. So PEs are the busier the fewer.
"""

import math
from collections.abc import Mapping

import numpy as np

from jp_hw.boards import Board
from jp_hw.errors import JpHwError
from jp_hw.ir import Network
from jp_hw.schedule.allocate import Allocation, Samples, candidates, measured
from jp_hw.schedule.cycles import run_traffic
from jp_hw.schedule.search import Found, flow, search

TRIES = 5
"""So many searches at most."""
STEEP = 4.0
"""Utilization is thought to fall with the number of PEs to the power of one in so many, at first."""
NEAR = 1.01
"""A design that is so many times as busy as is wanted could be a faster one."""


def busy(network: Network, board: Board, pes: int | None, utilization: float) -> Allocation:
    """The fastest allocation that is found whose PEs do a MAC in so many of their cycles, 0..1.

    pes: at most so many in all. Raises JpHwError if the network does not fit, or none is that busy.
    """
    if not 0.0 < utilization < 1.0:
        raise JpHwError(f"--utilization must lie between 0 and 1, and not be {utilization}")
    samples = measured(network)
    shares: dict[int, float] = {}
    enough: list[Found] = []
    cap = _promising(network, samples, pes, utilization)
    most = board.budget.dsp if pes is None else pes
    for _ in range(TRIES):
        found = search(network, samples, board, cap)
        count, share = found.allocation.pes, _share(found, samples)
        shares[count] = share
        if share >= utilization:
            enough.append(found)
            if share <= NEAR * utilization or count < cap:
                break  # it is as fast as can be, or has all the PEs that help
        cap = min(max(_guess(shares, utilization, count), len(network.layers)), most)
        if cap in shares:
            break
    if not enough:
        best = max(shares, key=lambda count: shares[count])
        raise JpHwError(
            f"no design of {network.name} for {board.name} was found whose PEs do a MAC in "
            f"{utilization:.1%} of their cycles (--utilization); the best one has {best} PEs and does "
            f"in {shares[best]:.1%}"
        )
    return min(enough, key=lambda one: one.cycles).allocation


def _guess(shares: Mapping[int, float], utilization: float, last: int) -> int:
    """PEs that may be just busy enough, from the share of what was tried: between the most that were
    and the fewest that were not; if all were or none was, from the last one."""
    low = max((pes for pes, share in shares.items() if share >= utilization), default=0)
    high = min(
        (pes for pes, share in shares.items() if share < utilization and pes > low), default=0
    )
    if not low or not high:
        guess = int(last * (shares[last] / utilization) ** STEEP + 0.5)
        return max(guess, last + 1) if low else min(guess, last - 1)
    steep = math.log(high / low) / math.log(shares[low] / shares[high])
    guess = int(low * (shares[low] / utilization) ** steep + 0.5)
    return min(max(guess, low + 1), high - 1)


def _share(found: Found, samples: Samples) -> float:
    """MACs within the maps per PE and cycle, by the simulation of all samples, one after the other."""
    own = found.allocation
    report = run_traffic(flow(own, max(len(samples.network.samples), 2)), own.layers)
    return samples.macs / (report.cycles_per_image * own.pes)


def _promising(network: Network, samples: Samples, pes: int | None, utilization: float) -> int:
    """The most PEs that were so busy if one after the other was given to the slowest layer, and nothing
    ever waited; else as many as are busiest like that."""
    grown = candidates(network, samples, pes)
    shares = [samples.macs / cycles for cycles in grown.pe_cycles]
    enough = [i for i, share in enumerate(shares) if share >= utilization]
    at = enough[-1] if enough else int(np.argmax(shares))
    return sum(len(place.channel_of) for place in grown.states[at])
