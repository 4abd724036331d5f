"""Designs whose PEs are as busy as is wanted (`generate --utilization`)."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from networks import Convolution, chain, residual, wide
from test_cli import fails

from jp_hw import boards
from jp_hw.boards import Board
from jp_hw.errors import JpHwError
from jp_hw.ir import Network, Shape
from jp_hw.macs import ANY
from jp_hw.schedule import Design, busy, schedule
from jp_hw.schedule.allocate import Samples, loads, measured
from jp_hw.schedule.explain import explain
from jp_hw.schedule.interleave import interleave

BOARD = boards.load("pynq-z2")
NETWORKS = {"residual": residual(), "wide": wide()}


def busyness(network: Network, design: Design) -> float:
    return explain(design, network.samples).utilization


def test_fewer_pes_that_are_busier() -> None:
    network, wanted = NETWORKS["wide"], 0.75
    fastest = schedule(network, BOARD)
    assert busyness(network, fastest) < wanted
    design = schedule(network, BOARD, utilization=wanted)
    assert busyness(network, design) >= wanted
    assert design.pes < fastest.pes
    capped = schedule(network, BOARD, design.pes - 1, utilization=wanted)
    assert busyness(network, capped) >= wanted
    assert capped.pes <= design.pes - 1


@pytest.mark.parametrize("name", NETWORKS)
def test_what_is_busy_anyway_stays_as_it_is(name: str) -> None:
    network = NETWORKS[name]
    fastest = schedule(network, BOARD)
    same = schedule(network, BOARD, utilization=0.9 * busyness(network, fastest))
    assert [layer.pes for layer in same.layers] == [layer.pes for layer in fastest.layers]
    assert explain(same, network.samples).cycles <= explain(fastest, network.samples).cycles


def test_what_cannot_be_says_how_far_it_got() -> None:
    with pytest.raises(
        JpHwError,
        match=r"no design of grown for pynq-z2 .* 99\.9% of .* \d+ PEs and does in \d\d\.\d%$",
    ):
        schedule(NETWORKS["residual"], BOARD, utilization=0.999)


@pytest.mark.parametrize("share", [0.0, 1.0, -0.5, 85.0, float("nan")])
def test_impossible_shares_are_refused(share: float) -> None:
    with pytest.raises(JpHwError, match="--utilization must lie between 0 and 1, and not be"):
        schedule(NETWORKS["wide"], BOARD, utilization=share)


def test_the_command_says_so_too(tmp_path: Path) -> None:
    said = fails("generate", "mlp3", "--utilization", "85", cwd=tmp_path)
    assert said == "error: --utilization must lie between 0 and 1, and not be 85.0"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("helping", [6, 40, 200])
@pytest.mark.parametrize("steep", [0.2, 0.35, 0.9])
@pytest.mark.parametrize("wanted", [0.45, 0.6, 0.75])
def test_the_number_of_pes_is_found(
    monkeypatch: pytest.MonkeyPatch, wanted: float, steep: float, helping: int
) -> None:
    """With a search whose designs are the less busy the more PEs they have, of which so many help."""
    network = NETWORKS["wide"]

    def share(found: SimpleNamespace, _: object) -> float:
        return float(0.9 * (4 / found.allocation.pes) ** steep)

    def search(_: Network, samples: Samples, board: Board, most: int) -> SimpleNamespace:
        assert len(network.layers) <= most <= board.budget.dsp
        pes = min(most, helping)
        found = SimpleNamespace(allocation=SimpleNamespace(pes=pes))
        found.cycles = samples.macs / (pes * share(found, samples))
        return found

    monkeypatch.setattr(busy, "search", search)
    monkeypatch.setattr(busy, "_share", share)
    found = busy.busy(network, BOARD, None, wanted).pes
    best = max(p for p in range(4, helping + 1) if 0.9 * (4 / p) ** steep >= wanted)
    assert 0.94 * best <= found <= best


def test_work_beside_the_map_is_what_the_loads_say() -> None:
    """Of columns that are not interleaved; of others nothing or all is known."""
    network = chain(9, Shape(6, 12, 3), (Convolution(6, kernel=(3, 5), padding=(1, 2)),))
    samples = measured(network)
    for beside in (0, 1, ANY):
        limits = {layer.name: beside for layer in network.layers}
        expected = loads(network, samples.tensors, limits)
        for one, other in zip(samples.loads(network, {}, limits), expected, strict=True):
            assert np.array_equal(one.work, other.work)
    columns = {"layer0": 2}
    with pytest.raises(ValueError, match="layer0: 1 taps beside a map of interleaved columns"):
        samples.loads(interleave(network, columns), columns, {"layer0": 1})
