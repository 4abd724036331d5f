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
    now = list(chosen)
    taken = np.sum([need[way] for need, way in zip(needs, now, strict=True)], axis=0)
    limits = np.maximum(limits, taken)
    for _ in range(MOVES):
        best = float(_slowest(cycles, now, ()).mean()) * (1.0 - LEAST)
        found = None
        for pair in combinations(range(len(now)), 2) if len(now) > 1 else [(0, 0)]:
            score, ways = _exchanged(cycles, needs, limits, taken, now, pair)
            if score < best:
                best, found = score, (pair, ways)
        if found is None:
            break
        for layer, way in zip(*found, strict=True):
            taken = taken - needs[layer][now[layer]] + needs[layer][way]
            now[layer] = way
    return now


def _slowest(
    cycles: Sequence[NDArray[np.float64]], now: Sequence[int], without: Sequence[int]
) -> NDArray[np.float64]:
    """Cycles of each frame in the slowest of the layers."""
    own = [
        each[way] for i, (each, way) in enumerate(zip(cycles, now, strict=True)) if i not in without
    ]
    most: NDArray[np.float64] = np.max([np.zeros(cycles[0].shape[1]), *own], axis=0)
    return most


def _exchanged(
    cycles: Sequence[NDArray[np.float64]],
    needs: Sequence[NDArray[np.float64]],
    limits: NDArray[np.float64],
    taken: NDArray[np.float64],
    now: Sequence[int],
    pair: tuple[int, int],
) -> tuple[float, tuple[int, int]]:
    """The best ways of two layers while the others stay: mean cycles, and the ways."""
    one, two = pair
    left = limits - taken + needs[one][now[one]]
    if one != two:
        left = left + needs[two][now[two]]
    rest = _slowest(cycles, now, pair)
    first = np.maximum(rest, cycles[one])
    if one == two:
        fits = (needs[one] <= left).all(axis=1)
        means = np.where(fits, first.mean(axis=1), np.inf)
        way = int(means.argmin())
        return float(means[way]), (way, way)
    fits = (needs[one][:, None] + needs[two][None] <= left).all(axis=2)
    means = np.where(fits, np.maximum(first[:, None], cycles[two][None]).mean(axis=2), np.inf)
    a, b = np.unravel_index(int(means.argmin()), means.shape)
    return float(means[a, b]), (int(a), int(b))
