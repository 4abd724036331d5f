"""The dense twin: its own logits, by work of which nothing was skipped."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from back_ends import check_both
from networks import every_kind, mlp, residual
from test_cli import run
from test_macs import looked_at, products

from jp_hw import boards, golden, ir_file
from jp_hw.build import emit, open_build
from jp_hw.errors import JpHwError
from jp_hw.ir import Network
from jp_hw.macs import count
from jp_hw.schedule import schedule
from jp_hw.schedule.interleave import interleave
from jp_hw.simulators import icarus_version
from jp_hw.twin import dense_twin

KINDS = every_kind()
BOARD = boards.load("pynq-z2")


def inside(network: Network) -> int:
    """MACs of a dense inference of one image that lie on the maps, counted one at a time."""
    total = 0
    for layer in network.layers:
        for source in layer.sources:
            full = replace(source, weights=np.ones_like(source.weights))
            shape = network.tensor_shape(source.tensor)
            ones = np.ones((1, shape.height, shape.width, shape.channels), np.int64)
            total += int((products(full, ones, layer.map) * looked_at(layer)[:, :, None]).sum())
    return total


@pytest.mark.parametrize("kind", KINDS)
def test_every_weight_meets_every_activation(kind: str) -> None:
    network = KINDS[kind]
    twin = dense_twin(network)
    counts = count(twin, network.samples)
    assert sum(layer.macs for layer in counts) == len(network.samples) * inside(network)
    assert all(layer.tokens == layer.activations for layer in counts)
    assert all(layer.nonzero_weights == layer.weights for layer in counts)
    bare = replace(twin, dense=False)
    assert np.array_equal(golden.run(twin, network.samples), golden.run(bare, network.samples))


@pytest.mark.skipif(icarus_version() is None, reason="Icarus is not installed")
@pytest.mark.parametrize("kind", ["leaky", "residual", "pooled"])
def test_bit_exact_in_both_back_ends(kind: str, tmp_path: Path) -> None:
    twin = dense_twin(KINDS[kind])
    build = open_build(emit(schedule(twin, BOARD, 2 * len(twin.layers))).write(tmp_path / "build"))
    assert build.network.dense and not any(n != 1 for n in build.design.columns)
    # counters_exact: the accelerator did as many MACs as `count` says, none was skipped
    check_both(build)


def test_a_file_remembers_it(tmp_path: Path) -> None:
    network = residual()
    twin = dense_twin(network)
    ir_file.save(twin, tmp_path / "twin.safetensors")
    assert ir_file.load(tmp_path / "twin.safetensors").dense
    assert not network.dense
    assert ir_file.digest(twin) != ir_file.digest(replace(twin, dense=False))


def test_what_a_dense_network_cannot_have() -> None:
    network = mlp(4, (16, 5, 3), leaky=True)
    with pytest.raises(JpHwError, match="a dense network has no thresholds"):
        replace(network, dense=True)
    twin = dense_twin(KINDS["residual"])
    with pytest.raises(JpHwError, match="grown-dense is dense: interleaved kernels"):
        interleave(twin, {"b1": 2, "b2": 2})


def test_generate_dense(tmp_path: Path) -> None:
    done = run("generate", "--dense", "--pes", "6", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["build"] == "build/mlp3-dense-pynq-z2"
    # a token a cycle: all 784 pixels take at least as long
    assert result["predicted_cycles_per_image"] > 784
    told = run("generate", "--dense", "--pes", "6", "-o", "twin", cwd=tmp_path)
    assert told.returncode == 0 and told.stdout.count("100.0 %") == 3
