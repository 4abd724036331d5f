"""Which ways of all layers together take the fewest cycles of a mean frame: local search.

A frame waits for the layer that has most to do with it, and that is not the same one for every frame.
So what counts is the mean over frames of the slowest layer's cycles, not the slowest layer's mean. Ways
of one or two layers are exchanged for others as long as that makes it less and the board holds them.
"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

MOVES = 200
"""So many exchanges at most."""
LEAST = 1e-4
"""An exchange must save so much of the cycles."""


def polish(
    cycles: Sequence[NDArray[np.float64]],
    needs: Sequence[NDArray[np.float64]],
    limits: NDArray[np.float64],
    chosen: Sequence[int],
) -> list[int]:
    """One way of every layer, of fewer cycles than those to start from.

    cycles: per layer (ways, frames). needs: per layer (ways, kinds), what each takes of everything that
    is limited. limits: (kinds,); where the ways to start from take more, they may go on to.
    """
    from jp_hw.schedule.polish_kernel import best_pair  # numba is heavy

    now = list(chosen)
    taken = np.sum([need[way] for need, way in zip(needs, now, strict=True)], axis=0)
    limits = np.maximum(limits, taken)
    nothing = np.zeros((1, cycles[0].shape[1])), np.zeros((1, len(limits)))
    for _ in range(MOVES):
        own = np.stack([each[way] for each, way in zip(cycles, now, strict=True)])
        most = float(own.max(axis=0).sum()) * (1.0 - LEAST)
        found = None
        for pair in combinations(range(len(now)), 2) if len(now) > 1 else [(0, 0)]:
            rest = _without(own, pair)
            if rest.sum() >= most:
                continue  # not even if these layers took nothing
            one, two = pair
            other = (cycles[two], needs[two]) if one != two else nothing
            left = limits - taken + sum(needs[layer][now[layer]] for layer in {one, two})
            first = np.maximum(rest, cycles[one])
            most, *ways = best_pair(first, other[0], needs[one], other[1], left, most)
            if ways[0] >= 0:
                found = [(one, ways[0])] + ([(two, ways[1])] if one != two else [])
        if found is None:
            break
        for layer, way in found:
            taken = taken - needs[layer][now[layer]] + needs[layer][way]
            now[layer] = way
    return now


def _without(own: NDArray[np.float64], pair: tuple[int, int]) -> NDArray[np.float64]:
    """Cycles of each frame in the slowest of all layers but a pair. own: (layers, frames)."""
    one, two = pair
    parts = [own[:one], own[one + 1 : two], own[two + 1 :]]
    most: NDArray[np.float64] = np.max([part.max(axis=0, initial=0.0) for part in parts], axis=0)
    return most
