"""Neighbouring columns as channels: the same network for everything above and below."""

import json
from pathlib import Path

import numpy as np
import pytest
from back_ends import check_both
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from networks import Builder, Convolution, doubled, mlp, pooled, residual
from random_networks import networks

from jp_hw import boards, golden
from jp_hw.build import emit, open_build
from jp_hw.errors import JpHwError
from jp_hw.ir import INPUT, Network, Pool, Shape
from jp_hw.macs import ANY, count
from jp_hw.schedule import Placement, place, schedule
from jp_hw.schedule.assign import assign, channel_work
from jp_hw.schedule.cycles import simulate_cycles
from jp_hw.schedule.interleave import interleave, tensor, wider
from jp_hw.simulators import icarus_version

BOARD = boards.load("pynq-z2")


def few_channels() -> Network:
    """A wide map of three channels, all of whose work is in one layer: PEs enough, but for channels."""
    grown = Builder(3, Shape(8, 16, 3))
    wide = grown.layer("wide", (INPUT, Convolution(3, (5, 5), padding=(2, 2))), density=1.0)
    down = grown.layer("down", (wide, Convolution(4, stride=(2, 2))), density=0.3)
    return grown.network(down)


def tiled() -> Network:
    """Pools whose windows lie side by side, one by one column; a reader of each, and one of both."""
    grown = Builder(5, Shape(8, 16, 2), signed=True)
    wide = Convolution(3, (5, 5), padding=(2, 2))
    one = grown.layer(
        "one", (INPUT, wide), pool=Pool((8, 16), (2, 2), (2, 2)), output=Shape(4, 8, 3)
    )
    rows = Pool((4, 8), (3, 1), (1, 1), (1, 0))
    two = grown.layer(
        "two", (one, Convolution(4, padding=(1, 1))), pool=rows, output=Shape(4, 8, 4), leaky=True
    )
    both = Pool((4, 8), (2, 4), (1, 4), (1, 0))
    three = grown.layer(
        "three", (two, Convolution(5, padding=(1, 1))), (one, Convolution(5, (1, 1))), pool=both,
        output=Shape(5, 2, 5),
    )  # fmt: skip
    return grown.network(three)


@given(networks(), st.integers(0, 1 << 20))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_logits_tensors_and_macs_stay(network: Network, seed: int) -> None:
    columns = doubled(network, seed)
    other = interleave(network, columns)
    values, changed = (golden.tensors(n, network.samples) for n in (network, other))
    for name, value in values.items():
        assert np.array_equal(tensor(value, columns.get(name, 1)), changed[name])
    kept = [[layer.macs for layer in count(n, network.samples)] for n in (network, other)]
    assert kept[0] == kept[1]


def test_columns_of_pairs() -> None:
    """Column 2x + p of channel c is column x of channel 2c + p."""
    values = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    pairs = tensor(values, 2)
    assert pairs.shape == (2, 3, 2, 10)
    for x, p, c in np.ndindex(2, 2, 5):
        assert np.array_equal(pairs[:, :, x, 2 * c + p], values[:, :, 2 * x + p, c])


def test_every_layer_for_itself() -> None:
    """Only a layer's own output says what it can have: its readers see single columns of pairs."""
    network = few_channels()
    assert wider(network, {}, "wide") == {"wide": 2, "down": 1, "logits": 1}
    assert wider(network, {"wide": 2}, "wide") == {"wide": 4, "down": 1, "logits": 1}
    read = interleave(network, {"wide": 4}).layers[1].sources[0]
    assert (read.stride[1], read.spread) == (1, 2)
    # seven columns do not make pairs
    assert wider(residual(), {}, "stem") is None
    assert wider(residual(), {}, "b1") == dict.fromkeys(("stem", "a1", "a2", "b2", "logits"), 1) | {
        "b1": 2
    }


def test_what_cannot_be_interleaved_is_named() -> None:
    network = few_channels()
    with pytest.raises(JpHwError, match=r"layer wide: 3 columns .* its output has 16"):
        interleave(network, {"wide": 3})
    with pytest.raises(JpHwError, match=r"layer wide: 16 columns .* 1 to 8"):
        interleave(network, {"wide": 16})
    pools = next(layer.name for layer in pooled().layers if layer.pool is not None)
    with pytest.raises(JpHwError, match=f"layer {pools}: 2 columns .* do not lie side by side"):
        interleave(pooled(), {pools: 2})
    assert wider(tiled(), {}, "three") == {"one": 1, "two": 1, "three": 2, "logits": 1}
    assert wider(tiled(), {"three": 2}, "three") is None
    vectors = mlp(1, (8, 6, 4))
    assert wider(vectors, {}, vectors.layers[0].name) is None


def test_the_scheduler_gives_the_slowest_layer_more_pes_than_channels() -> None:
    network = few_channels()
    design = schedule(network, BOARD)
    assert design.columns[0] > 1 and design.layers[0].pes > 3
    assert design.network is network and design.computed is not network
    images = np.tile(network.samples, (3, 1, 1, 1))
    alone = schedule(network, BOARD, pes=6)
    faster = simulate_cycles(design, images).cycles_per_image
    assert faster < 0.7 * simulate_cycles(alone, images).cycles_per_image


def test_pools_of_interleaved_columns() -> None:
    """A window's columns of sums become channels that the pool looks across."""
    network, columns = tiled(), {"one": 4, "two": 2, "three": 2}
    other = interleave(network, columns)
    one, two, three = other.layers[:3]
    assert one.pool == Pool((8, 2), (2, 1), (2, 1), across=2)
    assert (one.map, one.output) == (Shape(8, 2, 24), Shape(4, 2, 12))
    assert two.pool == Pool((4, 4), (3, 1), (1, 1), (1, 0))
    assert three.pool is not None and three.pool.side_by_side.window == (2, 4)
    values, changed = (golden.tensors(n, network.samples) for n in (network, other))
    for name, value in values.items():
        assert np.array_equal(tensor(value, columns.get(name, 1)), changed[name])


@pytest.mark.skipif(icarus_version() is None, reason="Icarus is not installed")
@pytest.mark.parametrize("beside", [0, ANY])
def test_pools_of_interleaved_columns_are_bit_exact(tmp_path: Path, beside: int) -> None:
    network, columns = tiled(), {"one": 4, "two": 2, "three": 2}
    computed = interleave(network, columns)
    tensors = golden.tensors(computed, computed.samples)
    places = [
        Placement(
            assign(channel_work(computed, layer, tensors), 2 + i),
            streams=1 if layer is computed.layers[-1] else 2,
            columns=columns.get(layer.name, 1),
            beside=beside,
        )
        for i, layer in enumerate(computed.layers)
    ]
    design = place(network, BOARD, 100.0, places)
    build = open_build(emit(design).write(tmp_path / "build"))
    check_both(build)


@pytest.mark.skipif(icarus_version() is None, reason="Icarus is not installed")
def test_bit_exact_in_both_back_ends_and_read_back(tmp_path: Path) -> None:
    network = few_channels()
    design = schedule(network, BOARD)
    build = open_build(emit(design).write(tmp_path / "build"))
    assert build.design.columns == design.columns
    assert np.array_equal(build.network.layers[0].bias, network.layers[0].bias)
    check_both(build)


def test_a_damaged_factor_is_found(tmp_path: Path) -> None:
    folder = emit(schedule(few_channels(), BOARD)).write(tmp_path / "build")
    manifest = json.loads((folder / "build.json").read_text())
    for factor in (0, 1, 16, 10**12):
        manifest["placement"][0]["columns"] = factor
        (folder / "build.json").write_text(json.dumps(manifest))
        with pytest.raises(JpHwError, match="wide"):
            open_build(folder)
