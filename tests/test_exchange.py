"""What layers exchange on a full board: never slower, never more than the board or --pes allow."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from itertools import product

import numpy as np
import pytest
from networks import Convolution, chain, residual, wide

from jp_hw import boards
from jp_hw.boards import Board
from jp_hw.ir import Network, Shape
from jp_hw.macs import count
from jp_hw.schedule import Placement, schedule
from jp_hw.schedule.allocate import Allocation, allocate, candidates, measured
from jp_hw.schedule.assign import assign, longest_first
from jp_hw.schedule.cycles import simulate_cycles
from jp_hw.schedule.estimate import Resources, estimate, layer_resources, ring_choices
from jp_hw.schedule.exchange import SHAPES, Way, cheapest, exchange
from jp_hw.schedule.explain import explain

BOARD = boards.load("pynq-z2")
NETWORKS = {"residual": residual(), "wide": wide()}
BUDGETS = {
    "logic": {"lut": 5600},
    "multipliers": {"dsp": 14},
    "block RAM": {"bram18": 12, "lut": 6600},
}


def small_board(**budget: int) -> Board:
    return BOARD.model_copy(update={"budget": BOARD.budget.model_copy(update=budget)})


def expected(allocations: Sequence[Allocation]) -> list[float]:
    return [each.expected for each in allocations]


@cache
def both(name: str, budget: str, pes: int | None) -> tuple[Allocation, Allocation]:
    """As `allocate` leaves it, and after the exchange."""
    network: Network = NETWORKS[name]
    samples, board = measured(network), small_board(**BUDGETS[budget])
    start = allocate(candidates(network, samples, pes), board)
    assert start.full
    return start, exchange(network, samples, board, pes, start, expected)


@pytest.mark.parametrize("pes", [None, 9])
@pytest.mark.parametrize("budget", BUDGETS)
@pytest.mark.parametrize("name", NETWORKS)
def test_no_exchange_is_slower_or_larger(name: str, budget: str, pes: int | None) -> None:
    start, found = both(name, budget, pes)
    assert found.expected <= start.expected
    limits = small_board(**BUDGETS[budget]).budget.usable
    assert not estimate(found.layers).exceeds(limits)
    assert sum(layer.pes for layer in found.layers) <= (pes or limits.dsp)


def test_an_exchange_makes_more_of_a_full_board() -> None:
    start, found = both("wide", "block RAM", None)
    assert found.expected < 0.9 * start.expected


def test_the_judge_has_the_last_word() -> None:
    start, found = both("wide", "block RAM", None)
    network, board = NETWORKS["wide"], small_board(**BUDGETS["block RAM"])
    seen: list[float] = []

    def unmoved(allocations: Sequence[Allocation]) -> list[float]:
        seen.extend(expected(allocations))
        return [1.0] * len(allocations)

    assert exchange(network, measured(network), board, None, start, unmoved) is start
    assert found is not start
    assert 1 < len(seen) <= 1 + 2 * SHAPES
    assert min(seen) < seen[0] == start.expected


def test_accumulators_are_priced_as_they_are_placed() -> None:
    for layer in both("residual", "logic", None)[1].layers:
        choices = [layer_resources(replace(layer, block_ring=block)) for block in (False, True)]
        assert list(ring_choices(layer)) == choices
        assert choices[1].bram18 > choices[0].bram18


def test_queues_stay_as_deep_as_they_were() -> None:
    network, board = NETWORKS["wide"], small_board(lut=7500, bram18=40)
    samples = measured(network)
    start = allocate(candidates(network, samples, None), board, {"layer1": 512})
    found = exchange(network, samples, board, None, start, expected)
    assert start.full
    assert [layer.fifo_depth for layer in found.layers] == [32, 512, 32, 32]


def test_the_cheapest_ways_are_those_of_a_search_through_all() -> None:
    rng = np.random.default_rng(3)
    place = Placement(np.zeros((1, 1), np.int64))
    for _ in range(20):
        needs = rng.integers(0, 9, (4, 3))
        ways = [
            [Way(place, 1.0, 1.0, np.ones(1), Resources(0, 0, 0, int(n))) for n in row]
            for row in needs
        ]
        costs = rng.random((4, 3))
        blocks = int(rng.integers(0, 30))
        every = [
            (sum(costs[i, j] for i, j in enumerate(mix)), mix)
            for mix in product(range(3), repeat=4)
            if sum(needs[i, j] for i, j in enumerate(mix)) <= blocks
        ]
        found = cheapest(ways, costs.tolist(), blocks)
        if not every:
            assert found is None
            continue
        assert found is not None
        assert all(
            way is ways[i][j] for i, (way, j) in enumerate(zip(found, min(every)[1], strict=True))
        )


def test_swaps_leave_the_busiest_pe_less_to_do() -> None:
    rng = np.random.default_rng(1)
    gains = []
    for channels, pes in ((24, 7), (48, 20), (30, 4), (9, 8)):
        work = rng.integers(0, 60, (6, channels)) * rng.integers(100, 2000, channels)
        padded = np.concatenate([work, np.zeros((6, 1), np.int64)], axis=1)
        before, after = (
            padded[:, place(work, pes)].sum(2).max(1).mean() for place in (longest_first, assign)
        )
        placed = assign(work, pes)
        assert sorted(placed[placed >= 0].tolist()) == list(range(channels))
        gains.append(after / before)
    assert max(gains) <= 1.0
    assert min(gains) < 0.97


KERNEL = Convolution(16, kernel=(5, 5), padding=(2, 2))


def test_a_layer_without_columns_for_its_borders_takes_less_memory() -> None:
    """On a board without room for the borders' weights they are done without."""
    network = chain(9, Shape(12, 12, 12), (KERNEL, KERNEL), density=0.6)
    large = schedule(network, BOARD)
    with_borders = allocate(candidates(network, measured(network), len(network.layers)), BOARD)
    blocks = estimate(with_borders.layers).bram18
    small = schedule(network, small_board(bram18=blocks * 2 // 3))
    assert {"layer0", "layer1"} & set(small.beside)
    assert not estimate(small.layers).exceeds(small.board.budget.usable)
    for design in (large, small):
        counts = count(network, network.samples, beside=design.beside, computed=design.computed)
        run = simulate_cycles(design, network.samples)
        assert [layer.executed for layer in counts] == run.macs.tolist()
        more = [layer.executed > layer.macs for layer in counts]
        wide = [any(lane.width > 1 for lane in layer.lanes) for layer in design.layers]
        assert more == [w and la.beside > 0 for w, la in zip(wide, design.layers, strict=True)]
    report = explain(small, network.samples)
    assert [layer.macs for layer in report.layers] == [
        layer.macs / len(network.samples) for layer in counts
    ]
