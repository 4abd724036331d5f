"""A small budget of fuzzing with a fixed seed, and the fuzzer's own bookkeeping."""

import os
from dataclasses import replace
from pathlib import Path

import fuzz
import numpy as np
import pytest
from fuzz import Campaign
from networks import residual

from jp_hw import golden, ir_file
from jp_hw.ir import Network
from jp_hw.schedule import place
from jp_hw.simulators import icarus_version

SEED = 11


@pytest.mark.parametrize("check", ["emulation", "decoder"])
def test_twenty_networks(check: str) -> None:
    campaign = Campaign({check: 1})
    campaign.run(20, SEED, shrink=False)
    assert campaign.done[check] == 20
    assert min(campaign.kinds[kind] for kind in ("sums", "pools", "tables")) > 0


def test_five_networks_in_hls() -> None:
    campaign = Campaign({"csim": 4})
    campaign.run(20, SEED, shrink=False)
    assert campaign.done["csim"] == 5


@pytest.mark.skipif(icarus_version() is None, reason="Icarus is not installed")
def test_three_networks_in_rtl() -> None:
    campaign = Campaign({"rtl": 7})
    campaign.run(20, SEED, shrink=False)
    assert campaign.done["rtl"] == 3


def test_a_seed_gives_the_same_networks() -> None:
    digests: list[list[str]] = []
    for _ in range(2):
        seen: list[str] = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(fuzz.CHECKS, "emulation", lambda n, s=seen: s.append(ir_file.digest(n)))
            Campaign({"emulation": 1}).run(10, 5)
        digests.append(seen)
    assert digests[0] == digests[1]
    assert len(set(digests[0])) > 5


def test_a_failure_is_shrunk_saved_and_replayed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A golden model that forgets the winner rule: the smallest network that shows it has one layer."""

    def wrong(rule: object, accumulators: np.ndarray, bias: np.ndarray) -> np.ndarray:
        value = right(rule, accumulators, bias)
        return np.where(value == 0, 1, value)

    right = golden.requantize
    monkeypatch.setattr("sys.argv", ["fuzz.py", "--networks", "60", "--seed", "3", "--csim", "0",
                                     "--rtl", "0", "--out", str(tmp_path)])  # fmt: skip
    environment = dict(os.environ)
    with monkeypatch.context() as patch:
        patch.setattr(golden, "requantize", wrong)
        assert fuzz.main() == 1
    assert dict(os.environ) == environment, "Verilator's builds read CXXFLAGS too"
    said = capsys.readouterr().out
    assert "seed 3: again with python tests/fuzz.py --networks 60" in said
    path = tmp_path / "emulation.safetensors"
    assert f"again with: python tests/fuzz.py --replay {path}" in said
    small: Network = ir_file.load(path)
    assert len(small.layers) == 2
    assert small.input.shape.size == 1
    fuzz.check_emulation(small)
    with monkeypatch.context() as patch:
        patch.setattr(golden, "requantize", wrong)
        with pytest.raises(AssertionError, match="torch has another"):
            fuzz.check_emulation(small)


def test_every_check_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    network = residual()
    fuzz.check_decoder(network)
    monkeypatch.setattr(golden, "run", lambda network, images: np.zeros((len(images), 4), int))
    with pytest.raises(AssertionError, match="decoder differs"):
        fuzz.check_decoder(network)


@pytest.mark.skipif(icarus_version() is None, reason="Icarus is not installed")
def test_rtl_of_lanes_that_share_a_bus_takes_the_predicted_cycles(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = residual(7)  # whose cycles also depend on the lanes' turns
    placements = [replace(own, joined=True) for own in fuzz.placed(network, {}, 4)]
    design = place(network, fuzz.BOARD, 100.0, placements)
    assert any(layer.joined for layer in design.layers)
    monkeypatch.setattr(fuzz, "scheduled", lambda _: design)
    fuzz.check_rtl(network)
