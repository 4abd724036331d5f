"""Channels that are always zero take no PE, and nothing else changes."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from back_ends import check_both
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from networks import Builder, Convolution, chain, mlp, pooled, residual
from random_networks import networks

from jp_hw import boards, golden
from jp_hw.build import emit, open_build
from jp_hw.csim import csim
from jp_hw.ir import Layer, Network, Shape, Source
from jp_hw.macs import count
from jp_hw.schedule import Placement, place, schedule
from jp_hw.schedule.silent import balanced, without_silent
from jp_hw.simulators import icarus_version
from jp_hw.twin import dense_twin

BOARD = boards.load("pynq-z2")


def without_weights(layer: Layer, channels: Sequence[int], bias: int) -> Layer:
    """The layer with no weights that lead to some output channels, which have a bias of their own."""
    sources = []
    for source in layer.sources:
        weights = source.weights.copy()
        weights[list(channels)] = 0
        sources.append(replace(source, weights=weights))
    biases = layer.bias.copy()
    biases[list(channels)] = bias
    return replace(layer, sources=tuple(sources), bias=biases)


def changed(network: Network, name: str, channels: Sequence[int], bias: int) -> Network:
    """The network with some channels of one layer that have no weights."""
    return replace(
        network,
        layers=tuple(
            without_weights(layer, channels, bias) if layer.name == name else layer
            for layer in network.layers
        ),
    )


def channels_of(network: Network) -> dict[str, int]:
    return {layer.name: layer.output.channels for layer in network.layers}


def agree(one: Network, other: Network) -> None:
    """Logits and MACs are the same."""
    assert np.array_equal(golden.run(one, one.samples), golden.run(other, one.samples))
    for before, after in zip(count(one, one.samples), count(other, one.samples), strict=True):
        assert (before.name, before.macs) == (after.name, after.macs)


@pytest.mark.parametrize("network", [residual(), pooled()], ids=["residual", "pooled"])
def test_only_silent_channels_go(network: Network) -> None:
    assert without_silent(network) is network
    sizes = channels_of(network)
    for layer in network.layers[:-1]:
        rule = layer.requantize
        assert rule is not None
        if rule.table is not None:
            continue  # whether anything gives zero there depends on the table
        silent = changed(network, layer.name, (1, 2), 0 if rule.signed else -(1 << 20))
        found = without_silent(silent)
        assert channels_of(found) == sizes | {layer.name: sizes[layer.name] - 2}
        agree(silent, found)
        firing = changed(network, layer.name, (1, 2), 1 << 20)
        assert without_silent(firing) is firing


def test_what_nobody_reads_goes_and_what_only_silent_channels_feed() -> None:
    network = mlp(3, (24, 12, 9, 5), density=0.5)
    first, second, last = network.layers
    unread = second.sources[0].weights.copy()
    unread[:, 4] = 0
    second = replace(second, sources=(replace(second.sources[0], weights=unread),))
    constant = without_weights(first, (4,), 1 << 20)
    found = without_silent(replace(network, layers=(constant, second, last)))
    assert channels_of(found) == {"layer0": 11, "layer1": 9, "layer2": 5}
    # a channel whose only weights come from a silent one is silent itself
    only = second.sources[0].weights.copy()
    only[7], only[7, 3] = 0, 5
    second = replace(second, sources=(replace(second.sources[0], weights=only),))
    second = replace(second, bias=np.where(np.arange(9) == 7, -100, second.bias))
    silent = replace(network, layers=(without_weights(first, (3,), -100), second, last))
    found = without_silent(silent)
    assert channels_of(found) == {"layer0": 11, "layer1": 8, "layer2": 5}
    agree(silent, found)


def test_a_layer_of_silent_channels_keeps_one() -> None:
    network = changed(mlp(3, (24, 12, 9, 5)), "layer0", range(12), -100)
    found = without_silent(network)
    assert channels_of(found)["layer0"] == 1
    agree(network, found)


def test_channels_pruned_in_balance_stay() -> None:
    """Channel k is for PE k % 4: none may go, or the others would be dealt out to other PEs."""
    network = mlp(3, (24, 12, 8, 5), density=0.5)
    rng = np.random.default_rng(0)
    weights = np.zeros((12, 24, 1, 1), np.int64)
    for column in range(24):
        for pe in range(4):
            weights[pe + 4 * rng.integers(1, 3), column] = rng.integers(1, 100)
    first = replace(network.layers[0], sources=(Source("input", weights),), bias=np.full(12, -100))
    assert balanced(first) and not any(balanced(layer) for layer in network.layers)
    even = replace(network, layers=(first, *network.layers[1:]))
    assert without_silent(even) is even


def test_dense_columns_are_not_balanced() -> None:
    """Where all channels that have weights have as many of every input, any dealing is even."""
    network = mlp(3, (24, 12, 8, 5), density=1.0)
    silent = changed(network, "layer0", (2, 5), -(1 << 22))
    assert not balanced(silent.layers[0])
    assert channels_of(without_silent(silent))["layer0"] == 10


def test_places_may_name_all_channels(tmp_path: Path) -> None:
    """As in builds from before silent channels were left out."""
    network = changed(mlp(3, (24, 12, 9, 5)), "layer0", (2, 5), -100)
    every = [Placement(np.arange(n)[None]) for n in channels_of(network).values()]
    some = [Placement(np.arange(n)[None]) for n in channels_of(without_silent(network)).values()]
    for places, silent in ((every, {}), (some, {"layer0": 2})):
        design = place(network, BOARD, 100.0, places)
        assert design.silent == silent
        folder = emit(design).write(tmp_path / f"build{len(silent)}")
        assert open_build(folder).design.silent == silent
        assert np.array_equal(csim(folder, network.samples), golden.run(network, network.samples))


def test_a_dense_twin_keeps_all() -> None:
    silent = changed(mlp(3, (24, 12, 9, 5)), "layer0", (2, 5), -100)
    twin = dense_twin(silent)
    assert without_silent(twin) is twin


@given(networks(), st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_logits_and_macs_of_any_network_stay(network: Network, data: st.DataObject) -> None:
    for layer in network.layers[:-1]:
        gone = data.draw(st.lists(st.integers(0, layer.map.channels - 1), max_size=3, unique=True))
        if layer.pool is None or layer.pool.across == 1:
            network = changed(
                network, layer.name, gone, data.draw(st.sampled_from((-5000, 0, 5000)))
            )
    agree(network, without_silent(network))


@pytest.mark.skipif(icarus_version() is None, reason="Icarus is not installed")
def test_no_pe_for_a_silent_channel_in_both_back_ends(tmp_path: Path) -> None:
    """Also where a shortcut reads it, in groups; and the build is read back."""
    grown = Builder(3, Shape(8, 8, 3))
    same = Convolution(8, padding=(1, 1))
    stem = grown.layer("stem", ("input", same), density=0.8)
    first = grown.layer("first", (stem, same), density=0.8)
    block = grown.layer(
        "block", (first, same), (stem, Convolution(8, (1, 1), groups=8)), density=1.0
    )
    network = changed(grown.network(block), "stem", (0, 5), -(1 << 20))
    network = changed(network, "first", (7,), -(1 << 20))
    design = schedule(network, BOARD)
    assert [layer.channel_of.max() + 1 for layer in design.layers] == [
        (8 - gone) * columns for gone, columns in zip((2, 1, 0), design.columns, strict=False)
    ] + [4]
    assert design.silent == {"stem": 2, "first": 1}
    build = open_build(emit(design).write(tmp_path / "build"))
    assert build.design.layers[0].channel_of.tolist() == design.layers[0].channel_of.tolist()
    check_both(build)


def test_wide_chain_of_groups() -> None:
    """Convolutions in groups lose their channels, too."""
    network = chain(4, Shape(6, 6, 4), (Convolution(8, groups=2), Convolution(8, (1, 1), groups=8)))
    silent = changed(network, "layer0", (0, 6), -(1 << 20))
    found = without_silent(silent)
    assert channels_of(found)["layer0"] == 6
    agree(silent, found)
