"""`polish`: it never makes a mix slower, keeps the limits, and ends where no two ways are better."""

from itertools import combinations, product

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from jp_hw.schedule.polish import LEAST, polish

Arrays = list[NDArray[np.float64]]


def problem(seed: int, layers: int) -> tuple[Arrays, Arrays, NDArray[np.float64], list[int]]:
    """Ways whose needs rise as their cycles fall, limits of about half of all, the cheapest ways."""
    rng = np.random.default_rng(seed)
    cycles, needs = [], []
    for _ in range(layers):
        ways = int(rng.integers(1, 6))
        pes = np.sort(rng.integers(1, 20, ways))
        work = rng.integers(50, 150, 7)
        cycles.append(work / pes[:, None])
        needs.append(np.stack([pes, rng.integers(1, 9, ways)], axis=1).astype(float))
    limits = np.sum([need.max(0) for need in needs], axis=0) * 0.6
    return cycles, needs, limits, [0] * layers


def mean(cycles: Arrays, ways: list[int]) -> float:
    return float(np.max([own[way] for own, way in zip(cycles, ways, strict=True)], axis=0).mean())


def taken(needs: Arrays, ways: list[int]) -> NDArray[np.float64]:
    total: NDArray[np.float64] = np.sum(
        [own[way] for own, way in zip(needs, ways, strict=True)], axis=0
    )
    return total


@settings(deadline=None)  # the first time compiles
@given(st.integers(0, 2**31), st.integers(1, 5))
def test_it_ends_where_no_exchange_of_two_is_better(seed: int, layers: int) -> None:
    cycles, needs, limits, start = problem(seed, layers)
    found = polish(cycles, needs, limits, start)
    limits = np.maximum(limits, taken(needs, start))
    assert mean(cycles, found) <= mean(cycles, start)
    assert (taken(needs, found) <= limits + 1e-9).all()
    for a, b in combinations(range(layers), 2):
        for one, two in product(range(len(cycles[a])), range(len(cycles[b]))):
            other = list(found)
            other[a], other[b] = one, two
            if (taken(needs, other) <= limits).all():
                assert mean(cycles, other) >= mean(cycles, found) * (1.0 - LEAST) - 1e-9


def test_it_looks_at_frames_and_not_at_layers_means() -> None:
    """Two layers of equal means: the one whose frames vary gets the faster way."""
    even = np.array([[10.0, 10.0], [9.0, 9.0]])
    varied = np.array([[0.0, 20.0], [0.0, 18.0]])
    needs = [np.array([[1.0], [2.0]])] * 2
    assert polish([even, varied], needs, np.array([3.0]), [0, 0]) == [0, 1]
