"""The golden model against loops and worked examples written out by hand."""

from dataclasses import replace
from typing import Any

import emulation
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from networks import every_kind, mlp, vector_layer, with_layers
from random_networks import networks

from jp_hw import dense, golden
from jp_hw.dense import convolve
from jp_hw.errors import JpHwError
from jp_hw.ir import INPUT, Input, Int, Layer, Network, Pool, Requantize, Shape, Source


def naive(
    values: Int,
    weights: Int,
    size: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
) -> Int:
    """A convolution as its definition says, one product at a time."""
    out = np.zeros((len(values), *size, len(weights)), np.int64)
    per_in, per_out = weights.shape[1], len(weights) // groups
    for n, y, x, k in np.ndindex(*out.shape):
        for c, i, j in np.ndindex(*weights.shape[1:]):
            row = y * stride[0] - padding[0] + i * dilation[0]
            column = x * stride[1] - padding[1] + j * dilation[1]
            if 0 <= row < values.shape[1] and 0 <= column < values.shape[2]:
                channel = k // per_out * per_in + c
                out[n, y, x, k] += int(weights[k, c, i, j]) * int(values[n, row, column, channel])
    return out


pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))


@settings(max_examples=60, derandomize=True, deadline=None)
@given(
    st.integers(0, 1000), st.tuples(st.integers(1, 5), st.integers(1, 5)), pairs, pairs,
    st.tuples(st.integers(0, 4), st.integers(0, 4)), pairs, st.integers(1, 3),
    st.tuples(st.integers(1, 4), st.integers(1, 4)),
)  # fmt: skip
def test_convolution_equals_its_definition(
    seed: int,
    shape: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
    size: tuple[int, int],
) -> None:
    """Any geometry, also outputs that lie in the padding altogether."""
    rng = np.random.default_rng(seed)
    values = rng.integers(-128, 256, (2, *shape, 2 * groups))
    weights = rng.integers(-127, 128, (2 * groups, 2, *kernel))
    geometry = (size, stride, padding, dilation, groups)
    result = convolve(values, weights, *geometry)
    assert result.dtype == np.int64
    assert np.array_equal(result, naive(values, weights, *geometry))


@settings(max_examples=60, derandomize=True, deadline=None)
@given(st.integers(0, 1000), pairs, pairs, st.sampled_from([1, 20, 37]))
def test_float64_and_int64_roads_agree(
    seed: int, kernel: tuple[int, int], stride: tuple[int, int], bits: int
) -> None:
    """Sums below 2**53 go by float64; both sides of the limit give what int64 gives."""
    rng = np.random.default_rng(seed)
    values = rng.integers(-(1 << bits), 1 << bits, (2, 5, 6, 3))
    weights = rng.integers(-127, 128, (4, 3, *kernel))
    geometry = ((4, 5), stride, (1, 2))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dense, "_fits_float64", lambda values, weights: False)
        exact = convolve(values, weights, *geometry)
    assert np.array_equal(convolve(values, weights, *geometry), exact)


def test_sums_beyond_53_bits_are_exact() -> None:
    """What float64 rounds: 2**53 + 1; its road may not be taken."""
    values = np.full((1, 1, 1, 2), 1 << 52)
    values[..., 1] = 1
    weights = np.array([2, 1]).reshape(1, 2, 1, 1)
    assert convolve(values, weights, (1, 1)).tolist() == [[[[(1 << 53) + 1]]]]
    assert int(float((1 << 53) + 1)) == 1 << 53


def test_convolution_of_floats_stays_float() -> None:
    result = convolve(np.full((1, 2, 2, 1), 0.5), np.full((1, 1, 2, 2), 0.25), (1, 1))
    assert result.dtype == np.float64
    assert result.tolist() == [[[[0.5]]]]


def rule(**changes: Any) -> Requantize:
    """y = (s * 3 + 4) >> 3 for s >= 0, (s * 1 + 4) >> 3 below."""
    base = Requantize(np.array([3]), np.array([1]), 3, -8, 7, 1)
    return replace(base, **changes)


WORKED = [
    # accumulator, bias, s, (s * m + 4) >> 3, clamped, kept
    (0, 0, 0),  # 4 >> 3 = 0
    (1, 0, 0),  # 7 >> 3 = 0
    (2, 0, 1),  # 10 >> 3 = 1: 0.75 rounds up
    (4, 0, 2),  # 16 >> 3 = 2: 1.5, a tie, rounds up
    (17, 0, 6),  # 55 >> 3 = 6: 6.375
    (18, 0, 7),  # 58 >> 3 = 7
    (1000, 0, 7),  # clamped
    (-1, 0, 0),  # (-1 + 4) >> 3 = 0
    (-4, 0, 0),  # 0 >> 3 = 0: -0.5, a tie, rounds up
    (-5, 0, -1),  # -1 >> 3 = -1
    (-12, 0, -1),  # -8 >> 3 = -1: -1.5, a tie, rounds up
    (-13, 0, -2),  # -9 >> 3 = -2
    (-1000, 0, -8),  # clamped
    (-3, 5, 1),  # s = 2 uses the positive multiplier
    (3, -8, -1),  # s = -5 uses the negative one
]


@pytest.mark.parametrize(("accumulator", "bias", "expected"), WORKED)
def test_requantization_worked_by_hand(accumulator: int, bias: int, expected: int) -> None:
    result = golden.requantize(rule(), np.array([[accumulator]]), np.array([bias]))
    assert result.tolist() == [[expected]]


def test_the_winner_rule_keeps_from_theta_on() -> None:
    totals = np.array([[18], [9], [8], [7], [0], [-20], [-21], [-28], [-29]])
    plain = golden.requantize(rule(), totals, np.array([0]))
    assert plain[:, 0].tolist() == [7, 3, 3, 3, 0, -2, -3, -3, -4]
    kept = golden.requantize(rule(theta=3), totals, np.array([0]))
    assert kept[:, 0].tolist() == [7, 3, 3, 3, 0, 0, -3, -3, -4]
    assert not golden.requantize(rule(theta=9), totals, np.array([0])).any()
    assert golden.requantize(rule(theta=0), totals, np.array([0])).tolist() == plain.tolist()


def test_relu_has_no_negative_side() -> None:
    relu = Requantize(np.array([8, 16]), np.array([0, 0]), 3, 0, 255)
    result = golden.requantize(relu, np.array([[-100, -1], [5, 5]]), np.array([0, 0]))
    assert result.tolist() == [[0, 0], [5, 10]]


def test_a_table_follows_the_clamp() -> None:
    """Indices -2..1 for sums of 3 and 1 eighths; the winner rule looks at what comes out."""
    curve = rule(low=-2, high=1, theta=2, table=np.array([-5, -1, 0, 7]))
    totals = np.array([[-1000], [-13], [-12], [-5], [0], [1], [2], [1000]])
    found = golden.requantize(curve, totals, np.array([0]))
    assert found[:, 0].tolist() == [-5, -5, 0, 0, 0, 0, 7, 7]
    assert curve.limits == (-5, 7)
    assert (curve.signed, curve.bits) == (True, 4)


def test_limits_and_bits_of_tables() -> None:
    def table(*entries: int) -> Requantize:
        return rule(low=0, high=len(entries) - 1, table=np.array(entries))

    assert (table(3, 200).limits, table(3, 200).bits) == ((0, 200), 8)  # 0 is what losers become
    assert (table(-8, -3).limits, table(-8, -3).bits) == ((-8, 0), 4)
    assert (table(0, 0).limits, table(0, 0).bits) == ((0, 0), 1)
    assert (table(-1, 1).limits, table(-1, 1).bits) == ((-1, 1), 2)


@pytest.mark.parametrize(
    ("pool", "shape", "expected"),
    [
        # rows of the map: 1 9 2 8 / 3 7 4 6 / 5 5 5 5
        (Pool((3, 4), (2, 2), (2, 2)), Shape(1, 2, 1), [[9, 8]]),
        (Pool((3, 4), (2, 2), (1, 1)), Shape(2, 3, 1), [[9, 9, 8], [7, 7, 6]]),
        (Pool((3, 4), (3, 3), (2, 2), (1, 1)), Shape(2, 2, 1), [[9, 9], [7, 7]]),
        (Pool((3, 4), (2, 2), (2, 2)), Shape(2, 2, 1), [[9, 8], [5, 5]]),  # ceil mode
        (Pool((3, 4), (1, 1), (2, 3)), Shape(2, 2, 1), [[1, 8], [5, 5]]),
        (Pool((3, 4), (1, 2), (3, 2), (0, 1)), Shape(1, 3, 1), [[1, 9, 8]]),
    ],
)
def test_pools_worked_by_hand(pool: Pool, shape: Shape, expected: list[list[int]]) -> None:
    totals = np.array([[1, 9, 2, 8], [3, 7, 4, 6], [5, 5, 5, 5]]).reshape(1, 3, 4, 1)
    assert golden.pool(pool, totals, shape)[0, :, :, 0].tolist() == expected
    below = golden.pool(pool, totals - 100, shape)[0, :, :, 0]  # outside the map is not zero
    assert below.tolist() == (np.array(expected) - 100).tolist()


def same_as_torch(network: Network) -> None:
    found = golden.tensors(network, network.samples)
    expected = emulation.tensors(network, network.samples)
    assert list(found) == list(expected)
    for name, values in expected.items():
        assert np.array_equal(found[name], values), name


@pytest.mark.parametrize("kind", every_kind())
def test_torch_computes_the_same(kind: str) -> None:
    same_as_torch(every_kind()[kind])


@settings(
    max_examples=200, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck)
)
@given(networks())
def test_torch_computes_the_same_of_any_network(network: Network) -> None:
    same_as_torch(network)


def tiny(theta: int = 1, *, signed: bool = False) -> Network:
    """Two inputs, a hidden layer of one, two logits: small enough to compute in the head."""
    hidden = vector_layer("hidden", INPUT, np.array([[2, -1]]), rule(low=0, high=255, theta=2))
    last = vector_layer("logits", "hidden", np.array([[5], [-3]]), None)
    hidden = replace(hidden, bias=np.array([4]))
    last = replace(last, bias=np.array([100, -100]))
    spec = Input(Shape(1, 1, 2), signed=signed, theta=theta)
    return Network("tiny", spec, (hidden, last), np.ones((1, 1, 1, 2), np.int64))


def test_a_network_worked_by_hand() -> None:
    images = np.array([[10, 4], [0, 0], [1, 0], [200, 0]]).reshape(4, 1, 1, 2)
    values = golden.tensors(tiny(), images)
    # s = 2a - b + 4 = 20, 4, 6, 404; (3s + 4) >> 3 = 8, 2, 2, 152
    assert values["hidden"].reshape(-1).tolist() == [8, 2, 2, 152]
    expected = [[140, -124], [110, -106], [110, -106], [860, -556]]
    assert golden.run(tiny(), images).tolist() == expected
    assert list(values) == [INPUT, "hidden", "logits"]
    assert golden.accuracy(golden.run(tiny(), images), np.array([0, 0, 1, 0])) == 0.75


def test_the_input_threshold_drops_small_bytes() -> None:
    images = np.array([[3, 2], [-3, -4]]).reshape(2, 1, 1, 2)
    network = tiny(theta=3, signed=True)
    assert golden.read_input(network.input, images).reshape(2, 2).tolist() == [[3, 0], [-3, -4]]
    # s = 2 * 3 - 0 + 4 = 10 -> 4; s = -6 + 4 + 4 = 2 -> 1, a loser
    assert golden.run(network, images).tolist() == [[120, -112], [100, -100]]


def test_two_sources_add_up() -> None:
    base = mlp(0, (4, 3, 2))
    table = np.array([[1, 0, 0, 0], [0, 1, 0, 0]])[:, :, None, None]
    both = replace(base.layers[1], sources=(*base.layers[1].sources, Source(INPUT, table)))
    joined = with_layers(base, base.layers[0], both)
    difference = golden.run(joined, base.samples) - golden.run(base, base.samples)
    assert np.array_equal(difference, base.samples[:, 0, 0, :2])


def test_a_vector_network_reads_images_of_any_shape_in_order() -> None:
    network = mlp(1, (12, 5, 3))
    flat = np.arange(24).reshape(2, 1, 1, 12)
    for shape in ((2, 12), (2, 2, 3, 2), (2, 1, 1, 12)):
        logits = golden.run(network, flat.reshape(shape).astype(np.uint8))
        assert np.array_equal(logits, golden.run(network, flat))


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((2, 13), int), r"images of shape \(2, 13\); the network reads \(n, 1x1x12\)"),
        (np.zeros((2, 1, 1, 12)), "images of type float64; the network reads integers"),
        (np.full((1, 1, 1, 12), 256), r"outside the input's range 0\.\.255"),
        (np.full((1, 1, 1, 12), -1), r"outside the input's range 0\.\.255"),
    ],
)
def test_images_that_do_not_fit_are_refused(images: np.ndarray, message: str) -> None:
    with pytest.raises(JpHwError, match=message):
        golden.run(mlp(1, (12, 5, 3)), images)


def test_a_map_is_read_in_its_own_shape_only() -> None:
    source = Source(INPUT, np.ones((1, 1, 2, 3), np.int64))
    layer = Layer("fc", (source,), np.zeros(1, np.int64), Shape(1, 1, 1), None)
    network = Network("map", Input(Shape(2, 3, 1)), (layer,), np.ones((1, 2, 3, 1), np.int64))
    assert golden.run(network, np.ones((5, 2, 3, 1), np.uint8)).tolist() == [[6]] * 5
    with pytest.raises(JpHwError, match="the network reads"):
        golden.run(network, np.ones((5, 6), np.uint8))
    with pytest.raises(JpHwError, match="the network reads"):
        golden.run(network, np.ones((5, 3, 2, 1), np.uint8))
