"""`jp-hw schedule`: what bounds a design."""

import json
from pathlib import Path

import numpy as np
import pytest
from networks import Convolution, chain, mlp
from typer.testing import CliRunner

from jp_hw import boards, golden
from jp_hw.build import emit
from jp_hw.cli import app
from jp_hw.cli.schedule import _tell
from jp_hw.ir import Network, Shape
from jp_hw.macs import ANY, count
from jp_hw.schedule import Placement, place, schedule
from jp_hw.schedule.allocate import loads
from jp_hw.schedule.cycles import simulate_cycles
from jp_hw.schedule.explain import Explanation, LayerReport, explain

BOARD = boards.load("pynq-z2")
SAMPLES = 12


def busy() -> Network:
    """Two convolutions full of MACs."""
    kinds = (Convolution(8, padding=(1, 1)), Convolution(8, padding=(1, 1)))
    return chain(7, Shape(10, 10, 4), kinds, density=0.8, activity=0.8)


def many(network: Network) -> np.ndarray:
    return np.resize(network.samples, (SAMPLES, *network.samples.shape[1:]))


def test_figures_are_those_of_the_counts_and_of_the_cycle_simulation() -> None:
    network = busy()
    design, images = schedule(network, BOARD, pes=9), many(network)
    report = explain(design, images)
    cycles = simulate_cycles(design, images)
    assert report.cycles == cycles.cycles_per_image
    gaps = np.diff(cycles.end_cycles)
    assert report.worst == gaps.max() and gaps.min() <= report.cycles <= report.p99 <= report.worst
    for layer, counted in zip(report.layers, count(network, images), strict=True):
        assert layer.macs == counted.macs_per_image
        assert layer.utilization == layer.macs / (layer.pes * report.cycles)
        assert layer.busiest >= layer.macs / layer.pes
    assert report.utilization == sum(x.macs for x in report.layers) / (9 * report.cycles)
    slowest = max(report.layers, key=lambda layer: layer.cycles)
    assert report.slowest == slowest.name and slowest.bound == "MACs"
    # nothing is faster than its slowest layer (but for the first frame, which the mean leaves out)
    assert 0.97 * slowest.cycles <= report.cycles <= 1.15 * slowest.cycles


def test_one_more_pe_saves_what_it_says() -> None:
    network = busy()
    reports = [explain(schedule(network, BOARD, pes=n), many(network)) for n in (8, 9)]
    before, after = (next(x for x in r.layers if x.name == reports[0].slowest) for r in reports)
    assert after.pes == before.pes + 1
    assert before.one_more is not None and before.one_more > 0
    assert before.one_more == pytest.approx(1 - after.cycles / before.cycles)


def test_tokens_bound_a_layer_of_few_weights() -> None:
    kinds = (Convolution(32, padding=(1, 1)), Convolution(4, (1, 1)))
    network = chain(25, Shape(10, 10, 2), kinds, density=0.05, activity=0.9, theta=1)
    placements = [Placement(np.arange(n).reshape(-1, 1)) for n in (32, 4, network.classes)]
    report = explain(place(network, BOARD, 100.0, placements), many(network))
    thin = report.layers[1]
    assert thin.bound == "tokens" and thin.tokens > thin.busiest + thin.drain
    # twice the streams would help
    assert thin.one_more is not None and thin.one_more > 0
    vector = mlp(4, (64, 4, 3), density=0.05)
    first = explain(schedule(vector, BOARD), many(vector)).layers[0]
    assert first.bound == "tokens" and first.one_more is None  # the input has only one stream


def test_the_command(tmp_path: Path) -> None:
    network = busy()
    folder = emit(schedule(network, BOARD, pes=9), many(network).astype(np.uint8)).write(
        tmp_path / "build"
    )
    ran = CliRunner().invoke(app, ["schedule", str(folder), "--json"])
    assert ran.exit_code == 0, ran.output
    values = json.loads(ran.output)
    expected = explain(schedule(network, BOARD, pes=9), many(network)).to_json()
    assert {key: values[key] for key in expected} == json.loads(json.dumps(expected))
    told = CliRunner().invoke(app, ["schedule", str(folder), "--images", "3"]).output
    slowest = explain(schedule(network, BOARD, pes=9), many(network)[:3]).slowest
    assert f"{slowest} bounds it by MACs" in told and "over 3 images" in told


@pytest.mark.parametrize(
    ("channels", "uneven", "hinted"), [(1, 1.1, False), (1, 1.9, True), (2, 1.9, False)]
)
def test_a_layer_of_uneven_channels_gets_a_hint(
    channels: int, uneven: float, hinted: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    layer = LayerReport(
        "conv", 4, channels, 1, 1, 0, False, 400.0, 190.0, uneven, 20, 50.0, "MACs", 0.5, None
    )
    _tell(Explanation(2, 210.0, 220.0, 220, 30, 0.5, "conv", (layer,)))
    told = " ".join(capsys.readouterr().out.split())
    assert "conv bounds it by MACs: at least 210 cycles" in told
    assert ("its busiest channel has 1.9 times as much to do as the mean one" in told) == hinted


@pytest.mark.parametrize("beside", [0, ANY])
def test_unevenness_is_that_of_the_channels(beside: int) -> None:
    """With what lies beside the map, where that is computed."""
    network = busy()
    placements = [
        Placement(np.arange(n).reshape(-1, 1), beside=beside) for n in (8, 8, network.classes)
    ]
    images = many(network)
    report = explain(place(network, BOARD, 100.0, placements), images)
    limits = {layer.name: beside for layer in network.layers}
    every = loads(network, golden.tensors(network, images), limits)
    for layer, load in zip(report.layers, every, strict=True):
        assert layer.uneven == pytest.approx(load.work.max(1).mean() / load.work.mean())
        assert layer.uneven > 1.0
