"""Designs whose PEs are as busy as is wanted (`generate --utilization`)."""

from pathlib import Path

import pytest
from networks import residual, wide
from test_cli import fails

from jp_hw import boards
from jp_hw.errors import JpHwError
from jp_hw.ir import Network
from jp_hw.schedule import Design, schedule
from jp_hw.schedule.explain import explain

BOARD = boards.load("pynq-z2")
NETWORKS = {"residual": residual(), "wide": wide()}


def busy(network: Network, design: Design) -> float:
    return explain(design, network.samples).utilization


def test_fewer_pes_that_are_busier() -> None:
    network, wanted = NETWORKS["wide"], 0.75
    fastest = schedule(network, BOARD)
    assert busy(network, fastest) < wanted
    design = schedule(network, BOARD, utilization=wanted)
    assert busy(network, design) >= wanted
    assert design.pes < fastest.pes
    capped = schedule(network, BOARD, design.pes - 1, utilization=wanted)
    assert busy(network, capped) >= wanted
    assert capped.pes < design.pes


@pytest.mark.parametrize("name", NETWORKS)
def test_what_is_busy_anyway_stays_as_it_is(name: str) -> None:
    network = NETWORKS[name]
    fastest = schedule(network, BOARD)
    same = schedule(network, BOARD, utilization=0.9 * busy(network, fastest))
    assert [layer.pes for layer in same.layers] == [layer.pes for layer in fastest.layers]


def test_what_cannot_be_says_how_far_it_got() -> None:
    with pytest.raises(
        JpHwError,
        match=r"no design of grown for pynq-z2 .* 99\.9% of .* \d+ PEs and does in \d\d\.\d%",
    ):
        schedule(NETWORKS["residual"], BOARD, utilization=0.999)


@pytest.mark.parametrize("share", [0.0, 1.0, -0.5, 85.0, float("nan")])
def test_impossible_shares_are_refused(share: float) -> None:
    with pytest.raises(JpHwError, match=r"a utilization of .* is outside 0\.\.1 \(--utilization\)"):
        schedule(NETWORKS["wide"], BOARD, utilization=share)


def test_the_command_says_so_too(tmp_path: Path) -> None:
    said = fails("generate", "mlp3", "--utilization", "85", cwd=tmp_path)
    assert said == "error: a utilization of 85.0 is outside 0..1 (--utilization)"
    assert not list(tmp_path.iterdir())
