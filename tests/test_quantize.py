"""Quantization: integer networks stay within a derived bound of torch; bad models are refused.

The bound is propagated element by element, `e` being the error of a layer's input in real units:

- a weight is off by at most half a step, a bias by half an accumulator step, so a sum is off by at
  most `conv(|W|, e) + conv(step / 2, |input as quantized|) + accumulator step / 2`;
- a multiplier is off by half of its last bit (twice that on a leaky side), requantization rounds
  by half an output step, and what exceeds the range is clipped;
- a value that wins on one side only is off by the thresholds at most, and only values within the
  error of a threshold can do that.
"""

import copy
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from networks import accumulators
from torch import nn
from torch_networks import (
    CHAINS,
    MODELS,
    flat_mlp,
    float_tensors,
    photos,
    settle,
    torch_logits,
    winner,
)

from jp_hw import golden
from jp_hw.dense import convolve
from jp_hw.errors import JpHwError
from jp_hw.frontends.torch_fx import read
from jp_hw.graph import Curve, Float, Graph, Scatter
from jp_hw.ir import INPUT, Input, Layer, Network, Shape
from jp_hw.passes import FloatLayer, lower
from jp_hw.quantize import SAMPLES, quantize

torch.set_num_threads(1)


def scales(network: Network, layers: list[FloatLayer]) -> dict[str, float]:
    """Real value of a step of every tensor, recovered from the integer network alone."""
    found = {INPUT: network.input.scale}
    for layer, exact in zip(network.layers, layers, strict=True):
        rule, source = layer.requantize, layer.sources[0]
        if rule is None:
            break
        step = weight_steps(layer, exact) * found[source.tensor]
        found[layer.name] = float(np.median(step * 2.0**rule.shift / rule.multiplier))
    return found


def weight_steps(layer: Layer, exact: FloatLayer) -> Float:
    """Real value of a weight step per channel: largest float weight over largest integer."""
    integer, real = np.abs(layer.sources[0].weights), np.abs(exact.sources[0].weights)
    if layer.requantize is None:
        return np.full(len(real), real.max() / integer.max())
    return real.max((1, 2, 3)) / integer.max((1, 2, 3))


def bounds(network: Network, model: nn.Module, images: np.ndarray) -> tuple[Float, Float]:
    """Float logits and the bound on their error, (n, classes) each."""
    lowered = lower(read(model, Shape(*images.shape[1:])))
    real = float_tensors(lowered, images)
    integer = golden.tensors(network, images)
    steps = scales(network, lowered.layers)
    error: dict[str, Float] = {INPUT: np.zeros(integer[INPUT].shape)}
    assert np.allclose(integer[INPUT] * steps[INPUT], real[INPUT], rtol=1e-12)
    for layer, exact in zip(network.layers, lowered.layers, strict=True):
        source, (scatter,) = layer.sources[0], exact.sources
        size = (layer.output.height, layer.output.width)
        place = (size, scatter.stride, scatter.padding, scatter.dilation, scatter.groups)
        step = weight_steps(layer, exact)
        half = np.broadcast_to(step[:, None, None, None] / 2, scatter.weights.shape)
        seen = np.abs(integer[source.tensor]) * steps[source.tensor]
        unit = step * steps[source.tensor]
        off = convolve(error[source.tensor], np.abs(scatter.weights), *place)
        off += convolve(seen, half, *place) + unit / 2
        if layer.requantize is None:
            assert np.allclose(unit, network.logit_scale, rtol=1e-4, atol=0)
            count = len(images)
            return real[layer.name].reshape(count, -1), off.reshape(count, -1)
        rule, out = layer.requantize, steps[layer.name]
        sums = np.abs(accumulators(source, integer[source.tensor], layer.output) + layer.bias)
        off += out * (0.5 + sums * 2.0**-rule.shift)
        off += np.maximum(np.abs(real[layer.name]) - rule.high * out, 0.0)
        lowest, highest = sorted((exact.theta, (rule.theta - 0.5) * out))
        losers = np.abs(real[layer.name])
        near = (losers <= highest + off) & (losers + off >= lowest) | (losers == 0.0)
        error[layer.name] = np.where(near, highest + off, off) if exact.theta else off
        found = np.abs(integer[layer.name] * out - real[layer.name])
        assert (found <= error[layer.name] + 1e-9).all()
    raise AssertionError("the last layer emits raw accumulators")


@pytest.mark.parametrize("kind", CHAINS)
@pytest.mark.parametrize(("bits", "agreement"), [(8, 0.97), (6, 0.93), (4, 0.8)])
def test_integer_networks_stay_within_the_bound(kind: str, bits: int, agreement: float) -> None:
    build, shape = MODELS[kind]
    model, images = settle(build()), photos(shape, 200)
    network = quantize(model, images[:100], weight_bits=bits, activation_bits=bits)
    exact, bound = bounds(network, model, images)
    assert np.allclose(exact, torch_logits(model, images), rtol=1e-9, atol=1e-9)
    found = golden.run(network, images) * network.logit_scale
    assert (np.abs(found - exact) <= bound).all()
    if bits == 8 and kind != "cnn":  # the bound of all worst cases at once still says something
        assert bound.max() < 2 * exact.std()
    same = found.argmax(1) == exact.argmax(1)
    assert same.mean() >= agreement
    rows, best = np.arange(len(exact)), exact.argmax(1)
    margin = exact[rows, best][:, None] - exact - bound - bound[rows, best][:, None]
    margin[rows, best] = 1.0
    sure = margin.min(1) > 0
    assert same[sure].all()


# share of the logits' variance that is explained, at 8 and 5 bits; sums of sigmoids differ little
CORRELATION = {"curves": (0.97, 0.8)}


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("bits", [8, 5])
def test_integer_networks_follow_torch(kind: str, bits: int) -> None:
    build, shape = MODELS[kind]
    model, images = settle(build()), photos(shape, 200)
    network = quantize(model, images[:100], weight_bits=bits, activation_bits=bits)
    exact = torch_logits(model, images).ravel()
    found = (golden.run(network, images) * network.logit_scale).ravel()
    lowest = CORRELATION.get(kind, (0.99, 0.9))[bits != 8]
    correlation = float(np.corrcoef(found, exact)[0, 1])
    assert correlation > lowest
    slope = float(found @ exact / (exact @ exact))  # real units, not only the same direction
    assert 0.9 < slope < 1.1 or bits < 8


def test_a_shortcut_is_a_whole_number_of_steps() -> None:
    """The identity's weights are one integer per channel, exactly the ratio of the scales."""
    build, shape = MODELS["residual"]
    network = quantize(settle(build()), photos(shape, 100))
    layer = next(layer for layer in network.layers if layer.name == "a_3")
    (shortcut,) = (s.weights for s in layer.sources if s.tensor == "stem_0")
    assert shortcut.shape == (6, 1, 1, 1)
    assert (shortcut > 0).all()
    assert layer.requantize is not None
    # value * weight * multiplier >> shift: the same real factor for every channel
    factor = shortcut[:, 0, 0, 0] * layer.requantize.multiplier
    assert factor.max() / factor.min() < 1.0001


def test_pools_and_selections_keep_every_value() -> None:
    """A layer that only copies has its source's scale, and its numbers."""
    model = nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2, 1), nn.MaxPool2d(2, 1), nn.Flatten(),
        nn.Linear(6, 3),
    )  # fmt: skip
    images = photos((4, 3, 2), 50)
    network = quantize(settle(model), images)
    first, second, _ = network.layers
    assert second.requantize is not None
    values = golden.tensors(network, images)
    assert np.array_equal(
        values[second.name], golden.pool(second.pool, values[first.name], second.output)
    )
    assert values[second.name].any()


def test_curves_become_tables() -> None:
    build, shape = MODELS["curves"]
    network = quantize(settle(build()), photos(shape, 100))
    tanh, sigmoid, elu = (layer.requantize for layer in network.layers[:-1])
    assert tanh is not None and sigmoid is not None and elu is not None
    assert [len(rule.table) for rule in (tanh, sigmoid, elu)] == [1024] * 3
    assert (tanh.signed, sigmoid.signed, elu.signed) == (True, False, True)
    assert (sigmoid.table[0], sigmoid.table[-1], sigmoid.table[512]) == (0, 255, 128)
    assert tanh.table[512] == 0


def test_the_bound_can_be_broken() -> None:
    """One weight off by three steps leaves the bound of a layer."""
    build, shape = MODELS["functions"]
    model, images = settle(build()), photos(shape, 50)
    network = quantize(model, images)
    first = network.layers[0]
    weights = first.sources[0].weights.copy()
    place = np.unravel_index(np.abs(weights).argmin(), weights.shape)
    weights[place] += 60
    source = replace(first.sources[0], weights=weights)
    broken = replace(network, layers=(replace(first, sources=(source,)), *network.layers[1:]))
    with pytest.raises(AssertionError):
        bounds(broken, model, images)


@pytest.mark.parametrize("bits", range(2, 9))
def test_weights_use_their_whole_range(bits: int) -> None:
    network = quantize(settle(flat_mlp()), photos((4, 3, 2)), weight_bits=bits)
    limit = (1 << (bits - 1)) - 1
    for layer in network.layers[:-1]:
        largest = np.abs(layer.sources[0].weights).max((1, 2, 3))
        assert largest.tolist() == [limit] * len(largest)
        assert layer.weight_bits == bits
    # the last layer has one scale for all classes
    assert np.abs(network.layers[-1].sources[0].weights).max() == limit


@pytest.mark.parametrize("bits", range(2, 9))
def test_activations_use_the_bits_they_have(bits: int) -> None:
    network = quantize(settle(flat_mlp()), photos((4, 3, 2)), activation_bits=bits)
    relu, leaky = (layer.requantize for layer in network.layers[:2])
    assert relu is not None
    assert leaky is not None
    assert (relu.low, relu.high) == (0, (1 << bits) - 1)
    assert (leaky.low, leaky.high) == (-(1 << (bits - 1)), (1 << (bits - 1)) - 1)
    assert not relu.negative.any()
    assert np.abs(leaky.negative - leaky.multiplier * 0.2).max() <= 0.5


def test_pruned_weights_stay_zero_and_others_keep_their_sign() -> None:
    model = settle(flat_mlp())
    with torch.no_grad():
        model[1].weight *= (torch.rand(16, 24) < 0.3).double()
    exact = lower(read(model, Shape(4, 3, 2))).layers[0].sources[0].weights
    found = quantize(model, photos((4, 3, 2))).layers[0].sources[0].weights
    assert not found[exact == 0].any()
    assert (np.sign(found) * np.sign(exact) >= 0).all()


def test_a_channel_without_weights_still_gives_its_bias() -> None:
    """As exactly as any other: its multiplier must not lose its bits to a tiny scale."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(24, 3), nn.ReLU(), nn.Linear(3, 3)).double()
    with torch.no_grad():
        model[1].weight.copy_(torch.eye(3, 24) * 3e-4)
        model[1].weight[0, 0] = 5.0
        model[1].weight[2] = 0.0
        model[1].bias.copy_(torch.tensor([-4.0, 0.5, 0.7]))
        model[3].weight.copy_(torch.eye(3))
        model[3].bias.zero_()
    images = photos((4, 3, 2), 100)
    network = quantize(model.eval(), images)
    assert network.layers[0].requantize is not None
    assert network.layers[0].requantize.multiplier.min() >= 128
    found = golden.run(network, images) * network.logit_scale
    exact = torch_logits(model, images)
    # half a step of the activations, and what a multiplier of 8 bits or more is off by
    step = float(exact.max()) / 255
    assert np.abs(found - exact).max() <= step * (0.5 + 255 / 256) + 1.0 / 127 / 2


def test_what_the_network_says_about_itself() -> None:
    images = photos((4, 3, 2), SAMPLES + 9)
    network = quantize(settle(flat_mlp()), images, name="mine", input_scale=1 / 128)
    assert network.name == "mine"
    assert network.input == Input(Shape(1, 1, 24), theta=1, scale=1 / 128)
    assert np.array_equal(network.samples, images[:SAMPLES].reshape(-1, 1, 1, 24))


@pytest.mark.parametrize("theta", [0.0, 0.1, 51 / 255, 0.5, 254.9 / 255])
def test_the_input_winner_rule_is_exact(theta: float) -> None:
    model = settle(nn.Sequential(winner(theta), nn.Flatten(), nn.Linear(24, 3)))
    network = quantize(model, photos((4, 3, 2)))
    byte = np.arange(256)
    spread = np.broadcast_to(byte[:, None, None, None], (256, 4, 3, 2))
    kept = golden.read_input(network.input, spread)[:, 0, 0, 0] != 0
    exact = float(np.float32(theta))
    assert np.array_equal(kept, byte / 255 > exact)


def test_the_hidden_winner_rule_keeps_the_same_values_but_for_rounding() -> None:
    model, images = settle(flat_mlp()), photos((4, 3, 2), 100)
    network = quantize(model, images)
    layers = lower(read(model, Shape(4, 3, 2))).layers
    real, integer = float_tensors(lower(read(model, Shape(4, 3, 2))), images), golden.tensors(
        network, images
    )  # fmt: skip
    step = scales(network, layers)[layers[0].name]
    values, found = real[layers[0].name], integer[layers[0].name]
    differ = (values != 0) != (found != 0)
    assert 0.2 < (values != 0).mean() < 0.8
    assert differ.mean() < 0.02
    assert np.abs(found[differ] * step).max(initial=0.0) < layers[0].theta + 2 * step
    assert np.abs(values[differ]).max(initial=0.0) < layers[0].theta + 2 * step


# --- what is refused ---------------------------------------------------------------------------


def broken(change: Callable[[nn.Sequential], object]) -> nn.Module:
    model = copy.deepcopy(settle(flat_mlp()))
    assert isinstance(model, nn.Sequential)
    with torch.no_grad():
        change(model)
    return model


IMAGES = photos((4, 3, 2))
REFUSED: list[tuple[str, Callable[[], object]]] = [
    ("layer 1: its weights hold NaN or infinity",
     lambda: quantize(broken(lambda m: m[1].weight[0, 0].fill_(float("nan"))), IMAGES)),
    ("layer 4: its bias hold NaN or infinity",
     lambda: quantize(broken(lambda m: m[4].bias[0].fill_(float("inf"))), IMAGES)),
    ("layer 4: its weights hold NaN",
     lambda: quantize(broken(lambda m: m[5].running_var[0].fill_(float("nan"))), IMAGES)),
    ("layer 4: all its weights are zero; it computes nothing",
     lambda: quantize(broken(lambda m: m[4].weight.zero_()), IMAGES)),
    ("layer 1: no activation of the calibration images is above its threshold",
     lambda: quantize(broken(lambda m: m[3].theta.fill_(1e6)), IMAGES)),
    ("weights and activations can have 2 to 8 bits",
     lambda: quantize(settle(flat_mlp()), IMAGES, weight_bits=1)),
    ("1: the activation falls, or has no value, somewhere from",
     lambda: quantize(Graph("falls", Shape(1, 1, 6), (
         Scatter("0", INPUT, np.eye(6) - 0.5, np.zeros(6)), Curve("1", "0", np.cos),
         Scatter("2", "1", np.ones((2, 6)), np.zeros(2))), "2"), photos((1, 1, 6)))),
    ("weights and activations can have 2 to 8 bits",
     lambda: quantize(settle(flat_mlp()), IMAGES, activation_bits=9)),
    (r"calibration images are float64 \(32, 4, 3, 2\); give uint8",
     lambda: quantize(settle(flat_mlp()), IMAGES / 255)),
    (r"calibration images are int64", lambda: quantize(settle(flat_mlp()), IMAGES.astype(int))),
    (r"calibration images are uint8 \(32, 24\); give uint8 \(n >= 1",
     lambda: quantize(settle(flat_mlp()), IMAGES.reshape(32, 24))),
    (r"calibration images are uint8 \(0, 4, 3, 2\)",
     lambda: quantize(settle(flat_mlp()), IMAGES[:0])),
    ("1 reads 24 values, not the 12 of 1x1x12",
     lambda: quantize(settle(flat_mlp()), IMAGES[..., :1])),
    ("input theta 256 is outside",
     lambda: quantize(settle(nn.Sequential(winner(1.0), nn.Flatten(), nn.Linear(24, 3))), IMAGES)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("message", "act"), REFUSED, ids=lambda value: value[:40] if isinstance(value, str) else ""
)
def test_what_cannot_be_quantized_is_refused(message: str, act: Callable[[], object]) -> None:
    with pytest.raises(JpHwError, match=message) as caught:
        act()
    assert "\n" not in str(caught.value)
