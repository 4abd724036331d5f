"""Random small integer networks of every kind, as a hypothesis strategy: failures shrink."""

from collections.abc import Callable
from math import gcd
from typing import Any

import numpy as np
from hypothesis import strategies as st

from jp_hw import golden
from jp_hw.dense import convolve
from jp_hw.ir import (
    INPUT,
    Input,
    Int,
    Layer,
    Network,
    Pool,
    Requantize,
    Shape,
    Source,
    value_limits,
)
from jp_hw.twin import dense_twin

Draw = Callable[[st.SearchStrategy[Any]], Any]
SAMPLES = 3


@st.composite
def networks(draw: Draw, most_layers: int = 4) -> Network:
    """A network of 1 to most_layers + 1 layers.

    Its structure is drawn; the numbers come from a drawn seed. Residual adds, concatenations, pools
    and all activations occur, maps down to one pixel and one channel, densities from 0 to 1, 2 to 8
    bits, weights at the ends of their range, and nets that skip nothing (a fifth).
    """
    rng = np.random.default_rng(draw(st.integers(0, 1 << 16)))
    shape = draw(shapes())
    signed = draw(st.booleans())
    spec = Input(shape, signed, theta=draw(st.sampled_from([1, 1, 2, 40])))
    low, high = spec.limits
    size = (SAMPLES, shape.height, shape.width, shape.channels)
    images = rng.integers(low, high + 1, size) * (rng.random(size) < draw(densities()))
    values = {INPUT: golden.read_input(spec, images)}
    layers: list[Layer] = []
    for number in range(draw(st.integers(0, most_layers))):
        layer = draw(hidden_layers(f"layer{number}", rng, values))
        layers.append(layer)
        values[layer.name] = _outputs(layer, values)
    unread = [t for t in values if not any(s.tensor == t for la in layers for s in la.sources)]
    layers.append(draw(last_layers(rng, {t: values[t] for t in unread})))
    network = Network("random", spec, tuple(layers), images)
    return dense_twin(network) if draw(st.integers(0, 4)) == 4 else network


def shapes() -> st.SearchStrategy[Shape]:
    side = st.sampled_from([1, 2, 3, 5, 6, 9])
    return st.builds(Shape, side, side, st.sampled_from([1, 2, 3, 5]))


def densities() -> st.SearchStrategy[float]:
    return st.sampled_from([0.5, 0.2, 1.0, 0.05, 0.0])


@st.composite
def hidden_layers(draw: Draw, name: str, rng: np.random.Generator, values: dict[str, Int]) -> Layer:
    bits = draw(st.sampled_from([8, 8, 8, 4, 2]))
    out = draw(st.sampled_from([1, 2, 4, 6, 9]))
    tensors = [draw(st.sampled_from(sorted(values)))]
    tensors += draw(st.lists(st.sampled_from(sorted(values)), max_size=2))
    first = values[tensors[0]].shape
    stride = draw(st.sampled_from([1, 1, 2, 3]))
    sums = Shape(*(max(1, -(-side // stride)) for side in first[1:3]), out)
    sources = tuple(draw(sources_of(t, values[t], out, bits, rng, stride)) for t in tensors)
    pool, output = draw(pools(sums))
    bias = _numbers(rng, (out,), 1 << draw(st.integers(1, 16)), draw(densities()))
    total = _sums(sources, values, sums)
    pooled = total if pool is None else golden.pool(pool, total, output)
    rule = draw(rules(rng, pooled + bias))
    return Layer(name, sources, bias, output, rule, bits, pool)


@st.composite
def last_layers(draw: Draw, rng: np.random.Generator, values: dict[str, Int]) -> Layer:
    """Reads every tensor that nobody else does, with kernels that cover all of it."""
    out = draw(st.integers(1, 5))
    sources = []
    for tensor, value in values.items():
        weights = _weights(draw, rng, (out, value.shape[3], *value.shape[1:3]), 8)
        if draw(st.booleans()):  # the mean over the map
            weights = np.broadcast_to(weights[:, :, :1, :1], weights.shape).copy()
        sources.append(Source(tensor, weights))
    bias = _numbers(rng, (out,), 1 << draw(st.integers(1, 16)), 1.0)
    return Layer("logits", tuple(sources), bias, Shape(1, 1, out), None)


@st.composite
def sources_of(
    draw: Draw, tensor: str, value: Int, out: int, bits: int, rng: np.random.Generator, stride: int
) -> Source:
    channels = value.shape[3]
    groups = draw(st.sampled_from([1, 1, gcd(channels, out)]))
    kernel = (draw(st.integers(1, 4)), draw(st.integers(1, 4)))
    weights = _weights(draw, rng, (out, channels // groups, *kernel), bits)
    return Source(
        tensor,
        weights,
        (draw(st.sampled_from([stride, 1, 2])), draw(st.sampled_from([stride, 1, 3]))),
        (draw(st.integers(0, 3)), draw(st.integers(0, 2))),
        (draw(st.sampled_from([1, 1, 2])), draw(st.sampled_from([1, 1, 3]))),
        groups,
    )


@st.composite
def pools(draw: Draw, sums: Shape) -> tuple[Pool | None, Shape]:
    """A pool of a map and the result's shape; its windows may overlap, skip or leave the map."""
    if not draw(st.booleans()):
        return None, sums
    sides = (sums.height, sums.width)
    window = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    stride = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    padding = (draw(st.integers(0, window[0] - 1)), draw(st.integers(0, window[1] - 1)))
    most = [
        -(-(side + pad) // step) for side, pad, step in zip(sides, padding, stride, strict=True)
    ]
    height, width = (draw(st.integers(1, count)) for count in most)
    if sums.width % window[1] == 0 and draw(st.booleans()):  # columns side by side
        stride, padding = (stride[0], window[1]), (padding[0], 0)
        width = sums.width // window[1]
    return Pool(sides, window, stride, padding), Shape(height, width, sums.channels)


@st.composite
def rules(draw: Draw, rng: np.random.Generator, totals: Int) -> Requantize:
    """A rule that maps these sums, (..., channels), to a good part of the activations' range."""
    kind = draw(st.sampled_from(["relu", "leaky", "linear", "table"]))
    bits = draw(st.sampled_from([8, 8, 8, 5, 2]))
    low, high = value_limits(bits, kind != "relu")
    channels = totals.shape[-1]
    multiplier = rng.integers(1 << 12, 1 << 17, channels)
    greatest = max(int(np.abs(totals).max()), 1)
    shift = int(np.clip(np.log2((1 << 16) * greatest / high), 1, 40))
    factor = {"relu": 0, "leaky": 0.3, "linear": 1, "table": 1}[kind]
    negative = (multiplier * factor).astype(np.int64)
    theta = draw(st.sampled_from([1, 1, 2, min(20, high), high]))
    if kind != "table":
        return Requantize(multiplier, negative, shift, low, high, theta)
    size = draw(st.sampled_from([4, 32, 512]))
    table = np.sort(rng.integers(low, high + 1, 2 * size))
    shift = int(np.clip(shift + np.log2(high / size), 1, 40))
    return Requantize(multiplier, negative, shift, -size, size - 1, theta, table)


def _weights(draw: Draw, rng: np.random.Generator, size: tuple[int, ...], bits: int) -> Int:
    limit = (1 << (bits - 1)) - 1
    density = draw(densities())
    if draw(st.booleans()):
        return _numbers(rng, size, limit, density)
    return rng.choice([-limit, limit], size) * (rng.random(size) < density)


def _numbers(rng: np.random.Generator, size: tuple[int, ...], limit: int, density: float) -> Int:
    return (rng.integers(-limit, limit + 1, size) * (rng.random(size) < density)).astype(np.int64)


def _sums(sources: tuple[Source, ...], values: dict[str, Int], shape: Shape) -> Int:
    grid = (shape.height, shape.width)
    return np.sum(
        [
            convolve(values[s.tensor], s.weights, grid, s.stride, s.padding, s.dilation, s.groups)
            for s in sources
        ],
        axis=0,
    )


def _outputs(layer: Layer, values: dict[str, Int]) -> Int:
    total = _sums(layer.sources, values, layer.map)
    if layer.pool is not None:
        total = golden.pool(layer.pool, total, layer.output)
    assert layer.requantize is not None
    return golden.requantize(layer.requantize, total, layer.bias)
