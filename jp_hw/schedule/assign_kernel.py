"""The compiled part of `assign`: swaps of channels between PEs."""

# mypy: disable-error-code="no-untyped-def"

import numpy as np

from jp_hw.schedule.compiled import jit


@jit
def power(load, doublings):
    """A load to the power of two to the doublings."""
    for _ in range(doublings):
        load *= load
    return load


@jit
def cost_of(load, pe, doublings):
    """A PE's cost: a high power of its loads, summed over samples."""
    total = 0.0
    for s in range(load.shape[1]):
        total += power(load[pe, s], doublings)
    return total


@jit
def exchanged(of, load, one, own, other, its, doublings):
    """What two PEs would cost if they exchanged a slot each."""
    total = 0.0
    for s in range(load.shape[1]):
        more = of[other, its, s] - of[one, own, s]
        total += power(load[one, s] + more, doublings) + power(load[other, s] - more, doublings)
    return total


@jit
def evenness(load):
    """Mean over samples of the greatest load."""
    total = 0.0
    for s in range(load.shape[1]):
        most = load[0, s]
        for pe in range(1, load.shape[0]):
            most = max(most, load[pe, s])
        total += most
    return total / load.shape[1]


@jit
def dearest(cost, stuck):
    """The PE that costs most of those that are not stuck, -1 if all are."""
    one = -1
    for pe in range(len(cost)):
        if not stuck[pe] and (one < 0 or cost[pe] > cost[one]):
            one = pe
    return one


@jit
def swap(of, load, cost, stuck, channel_of, swaps, most_stuck, even, doublings):
    """Exchange slots as long as that makes PEs cheaper (`assign`), in place.

    of: float64 (pes, slots, samples), what every slot has to do against the mean of PEs; load: its sum
    over slots; cost: float64 (pes,); stuck: bool (pes,), all False; channel_of: int64 (pes, slots).
    """
    pes, slots, _ = of.shape
    for pe in range(pes):
        cost[pe] = cost_of(load, pe, doublings)
    for _ in range(swaps):
        one = dearest(cost, stuck)
        if one < 0 or stuck.sum() == most_stuck or evenness(load) <= even:
            return
        best, best_other, best_own, best_slot = np.inf, -1, -1, -1
        for other in range(pes):
            if other == one:
                continue
            for own in range(slots):
                for its in range(slots):
                    change = exchanged(of, load, one, own, other, its, doublings)
                    change -= cost[one] + cost[other]
                    if change < best:
                        best, best_other, best_own, best_slot = change, other, own, its
        if best >= -1e-9 * cost[one]:
            stuck[one] = True
            continue
        for s in range(load.shape[1]):
            mine, its = of[one, best_own, s], of[best_other, best_slot, s]
            load[one, s] += its - mine
            load[best_other, s] -= its - mine
            of[one, best_own, s], of[best_other, best_slot, s] = its, mine
        cost[one] = cost_of(load, one, doublings)
        cost[best_other] = cost_of(load, best_other, doublings)
        kept = channel_of[one, best_own]
        channel_of[one, best_own] = channel_of[best_other, best_slot]
        channel_of[best_other, best_slot] = kept
        stuck[:] = False
