"""Thresholds agree with the golden model everywhere, and accumulators never overflow."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from networks import Convolution, chain, mlp, pooled, residual

from jp_hw import golden
from jp_hw.ir import MULTIPLIER_BITS, Input, Int, Layer, Network, Requantize, Shape, Source
from jp_hw.schedule import thresholds
from jp_hw.schedule.build import Placement, layer_design

TOP = (1 << (MULTIPLIER_BITS - 1)) - 1

rules = st.builds(
    lambda positive, negative, shift, signed, bits, theta: Requantize(
        np.array([positive]),
        np.array([negative]),
        shift,
        -(1 << (bits - 1)) if signed else 0,
        (1 << (bits - signed)) - 1,
        theta,
    ),
    positive=st.one_of(st.sampled_from([0, 1, TOP]), st.integers(0, TOP)),
    negative=st.one_of(st.sampled_from([0, 1, TOP]), st.integers(0, TOP)),
    shift=st.integers(1, 24),
    signed=st.booleans(),
    bits=st.integers(2, 8),
    theta=st.integers(0, 300),
)


def one(positive: int, negative: int, shift: int, low: int, high: int, theta: int) -> Requantize:
    return Requantize(np.array([positive]), np.array([negative]), shift, low, high, theta)


@settings(max_examples=400, derandomize=True, deadline=None)
@given(rules, st.integers(-3000, 3000), st.integers(0, 3000), st.integers(0, 3000))
@example(one(0, 0, 1, 0, 255, 1), 0, 100, 100)  # nothing ever wins
@example(one(TOP, 0, 1, -128, 127, 128), 5, 100, 100)  # theta above the highest activation
@example(one(TOP, TOP, 1, -128, 127, 128), 5, 100, 100)  # ... which the lowest one reaches
@example(one(1, 1, 24, -128, 127, 1), 0, 3000, 3000)  # too small to round to 1
@example(one(TOP, TOP, 1, -128, 127, 1), 3000, 0, 100)  # everything wins
@example(one(TOP, TOP, 1, -128, 127, 1), -3000, 100, 0)
@example(one(8, 8, 3, -8, 7, 4), 0, 0, 0)
def test_thresholds_agree_on_every_accumulator(
    rule: Requantize, bias: int, below: int, above: int
) -> None:
    low, high = -below, above
    bits = thresholds.accumulator_bits(low, high)
    keep_from = thresholds.keep_from(rule, 0, bias, bits)
    keep_to = thresholds.keep_to(rule, 0, bias, bits)
    accumulators = np.arange(low, high + 1)
    activations = golden.requantize(rule, accumulators[:, None], np.array([bias]))[:, 0]
    assert np.array_equal(accumulators >= keep_from, activations > 0)
    assert np.array_equal(accumulators <= keep_to, activations < 0)
    least, most = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    assert least <= keep_from <= most
    assert least <= keep_to <= most
    assert least < low
    assert high < most


@settings(max_examples=200, derandomize=True, deadline=None)
@given(
    rules,
    st.integers(-3000, 3000),
    st.integers(-40, 0),
    st.integers(1, 40),
    st.integers(0, 1 << 16),
)
def test_thresholds_agree_where_a_table_follows(
    rule: Requantize, bias: int, low: int, high: int, seed: int
) -> None:
    """Any table that never falls, also one that is above or below zero everywhere."""
    rng = np.random.default_rng(seed)
    reach = sorted(rng.integers(-128, 128, 2))
    table = np.sort(rng.integers(reach[0], reach[1] + 1, high - low + 1))
    rule = replace(rule, low=low, high=high, table=table, theta=rule.theta % 130)
    bits = thresholds.accumulator_bits(-3000, 3000)
    accumulators = np.arange(-3000, 3001)
    activations = golden.requantize(rule, accumulators[:, None], np.array([bias]))[:, 0]
    keep_from = thresholds.keep_from(rule, 0, bias, bits)
    keep_to = thresholds.keep_to(rule, 0, bias, bits)
    assert np.array_equal(accumulators >= keep_from, activations > 0)
    assert np.array_equal(accumulators <= keep_to, activations < 0)


def test_sentinels_are_out_of_reach() -> None:
    for low, high in ((0, 0), (-1, 0), (0, 1), (-2, 1), (-127, 126), (-128, 127), (0, 255)):
        bits = thresholds.accumulator_bits(low, high)
        assert thresholds.always(bits) < low <= high < thresholds.never(bits)
        fewer = bits - 1
        assert bits == 2 or not thresholds.always(fewer) < low <= high < thresholds.never(fewer)


@pytest.mark.parametrize(
    ("low", "high", "bits"),
    [(0, 0, 2), (-1, 0, 2), (0, 1, 3), (-6, 6, 4), (-7, 6, 4), (-8, 0, 5), (0, 7, 5), (0, 126, 8)],
)
def test_widths_worked_by_hand(low: int, high: int, bits: int) -> None:
    assert thresholds.accumulator_bits(low, high) == bits


# --- overflow ----------------------------------------------------------------------------------


def wrapped(products: Int, bits: int) -> tuple[int, bool]:
    """Sum in two's complement of `bits`, one product at a time; and whether it ever wrapped."""
    half, total, did = 1 << (bits - 1), 0, False
    for product in products.tolist():
        exact = total + product
        total = (exact + half) % (2 * half) - half
        did |= total != exact
    return total, did


def weights_of(layer: Layer, k: int) -> Int:
    """All weights of channel k, of all sources one after another."""
    return np.concatenate([source.weights[k].reshape(-1) for source in layer.sources])


def worst_images(network: Network, layer: Layer, k: int) -> list[Int]:
    """Values for these weights that take channel k to its two extremes."""
    limits = np.concatenate(
        [
            np.tile(network.tensor_limits(source.tensor), (source.weights[k].size, 1))
            for source in layer.sources
        ]
    )
    (low, high), flat = limits.T, weights_of(layer, k)
    return [np.where(flat > 0, high, low), np.where(flat > 0, low, high)]


NETWORKS = {
    "mlp": mlp(5, (20, 12, 8, 4)),
    "leaky": mlp(6, (20, 12, 8, 4), leaky=True),
    "conv": chain(7, Shape(5, 5, 3), (Convolution(6, groups=3), Convolution(4, stride=(2, 2)))),
    "one weight": mlp(8, (6, 4, 3), density=0.0),
    "residual": residual(9),
    "pooled": pooled(10),
}


@pytest.mark.parametrize("kind", NETWORKS)
def test_accumulators_never_overflow_whatever_the_order(kind: str) -> None:
    network = NETWORKS[kind]
    rng = np.random.default_rng(0)
    for layer in network.layers:
        low, high = network.layer_limits(layer)
        bits = thresholds.accumulator_bits(int(low.min()), int(high.max()))
        extremes = []
        for k in range(layer.output.channels):
            flat = weights_of(layer, k)
            for values in worst_images(network, layer, k):
                products = flat * values
                extremes.append(int(products.sum()))
                orders = [np.sort(products), np.sort(products)[::-1], products]
                orders += [rng.permutation(products) for _ in range(3)]
                for order in orders:
                    assert wrapped(order, bits) == (int(products.sum()), False)
        # the bound is reached: without the spare values either side it would be exact
        assert (min(extremes), max(extremes)) == (int(low.min()), int(high.max()))


def test_the_layer_design_uses_these_widths() -> None:
    for network in NETWORKS.values():
        designs = {}
        for layer in network.layers:
            low, high = network.layer_limits(layer)
            channels = np.arange(layer.output.channels)[None]
            design = layer_design(network, layer, Placement(channels), designs)
            designs[layer.name] = design
            bits = thresholds.accumulator_bits(int(low.min()), int(high.max()))
            assert design.accumulator_bits == bits
            sums = np.concatenate([low + layer.bias, high + layer.bias])
            assert -(1 << (design.sum_bits - 1)) < sums.min() <= sums.max()
            assert sums.max() < (1 << (design.sum_bits - 1)) - 1


@pytest.mark.parametrize("signs", [1, -1])
def test_one_bit_fewer_overflows(signs: int) -> None:
    """Unsigned activations: the extreme needs all bits but the spare value's, and there wraps."""
    table = signs * np.full((1, 5, 1, 1), 127)
    layer = Layer("fc", (Source("input", table),), np.zeros(1, np.int64), Shape(1, 1, 1), None)
    network = Network("n", Input(Shape(1, 1, 5)), (layer,), np.ones((1, 1, 1, 5), np.int64))
    design = layer_design(network, layer, Placement(np.zeros((1, 1), np.int64)), {})
    products = table.reshape(-1) * 255
    assert wrapped(products, design.accumulator_bits) == (signs * 127 * 255 * 5, False)
    assert wrapped(products, design.accumulator_bits - 1)[1]


def test_random_networks_with_one_bit_fewer_overflow() -> None:
    """On every layer of every network here whose range is not within a spare value of a power."""
    seen = 0
    for network in NETWORKS.values():
        for layer in network.layers:
            low, high = network.layer_limits(layer)
            bits = thresholds.accumulator_bits(int(low.min()), int(high.max()))
            half = 1 << (bits - 2)
            if int(low.min()) >= -half and int(high.max()) < half:
                continue  # only the spare value asks for the last bit
            k = int(low.argmin()) if -int(low.min()) > int(high.max()) else int(high.argmax())
            flat = weights_of(layer, k)
            assert any(wrapped(flat * v, bits - 1)[1] for v in worst_images(network, layer, k))
            seen += 1
    assert seen >= 8
