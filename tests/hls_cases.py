"""Random networks for the HLS tests, and builds of them."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from jp_hw import boards, golden
from jp_hw.emit.hls import hls_files
from jp_hw.ir import INPUT, Input, Int, Layer, Network, Pool, Requantize, Shape, Source
from jp_hw.plan import Plan
from jp_hw.schedule import Design, Placement, place
from jp_hw.schedule.assign import assign, channel_work

# stands in for the vendor's header
AP_AXI = """\
#include <ap_int.h>
template <int D, int U, int I, int T> struct ap_axiu {
  ap_uint<D> data; ap_uint<D / 8> keep, strb; ap_uint<U ? U : 1> user; ap_uint<1> last;
};
"""


def weights(rng: np.random.Generator, *shape: int, density: float) -> Int:
    return rng.integers(-127, 128, shape) * (rng.random(shape) < density)


def rule(rng: np.random.Generator, table: Int, *, theta: int, leaky: bool = False) -> Requantize:
    """Multipliers and a shift that map accumulators to some tens."""
    channels = len(table)
    multiplier = rng.integers(1 << 15, 1 << 17, channels)
    greatest = np.maximum(table, 0).reshape(channels, -1).sum(1).max() * 255
    shift = max(1, int(np.log2(np.median(multiplier) * max(greatest, 1) / 900)))
    if leaky:
        return Requantize(multiplier, multiplier // 2, shift, -128, 127, theta)
    return Requantize(multiplier, np.zeros(channels, np.int64), shift, 0, 255, theta)


def mlp(
    seed: int, sizes: Sequence[int], densities: Sequence[float], *, leaky: bool = False
) -> Network:
    """Fully connected layers; a leaky one also has signed inputs with a threshold."""
    rng = np.random.default_rng(seed)
    layers, before = [], INPUT
    for i, (a, b) in enumerate(pairwise(sizes)):
        table = weights(rng, b, a, 1, 1, density=densities[i])
        is_last = i == len(sizes) - 2
        requantize = None if is_last else rule(rng, table, theta=3, leaky=leaky)
        layers.append(
            Layer(f"fc{i + 1}", (Source(before, table),), rng.integers(-500, 500, b),
                  Shape(1, 1, b), requantize)
        )  # fmt: skip
        before = f"fc{i + 1}"
    samples = sparse_images(rng, 6, Shape(1, 1, sizes[0]), 0.3)
    spec = Input(Shape(1, 1, sizes[0]))
    if leaky:
        spec, samples = replace(spec, signed=True, theta=9), samples // 2 - 64 * (samples > 120)
    return Network("mlp", spec, tuple(layers), samples)


def conv(seed: int) -> Network:
    """Convolutions with padding and strides, on a map whose rows do not fill whole beats."""
    rng = np.random.default_rng(seed)
    a = weights(rng, 6, 3, 3, 3, density=0.4)
    b = weights(rng, 8, 6, 3, 3, density=0.4)
    c = weights(rng, 5, 8, 5, 4, density=0.4)
    layers = (
        Layer("0.conv", (Source(INPUT, a, padding=(1, 1)),), rng.integers(-500, 500, 6),
              Shape(9, 7, 6), rule(rng, a, theta=2)),
        Layer("0_conv", (Source("0.conv", b, stride=(2, 2), padding=(1, 1)),),
              rng.integers(-500, 500, 8), Shape(5, 4, 8), rule(rng, b, theta=2)),
        Layer("class", (Source("0_conv", c),), rng.integers(-500, 500, 5), Shape(1, 1, 5), None),
    )  # fmt: skip
    shape = Shape(9, 7, 3)
    return Network("conv net", Input(shape), layers, sparse_images(rng, 6, shape, 0.5))


def residual(seed: int) -> Network:
    """A block whose input goes both through two convolutions and around them."""
    rng = np.random.default_rng(seed)
    a, b = (weights(rng, 4, 4, 3, 3, density=0.4) for _ in range(2))
    around = weights(rng, 4, 4, 1, 1, density=0.8)
    c = weights(rng, 3, 4, 6, 5, density=0.4)
    bias = rng.integers(-500, 500, 4)
    shape = Shape(6, 5, 4)
    layers = (
        Layer("stem", (Source(INPUT, around),), bias, shape,
              rule(rng, around, theta=2, leaky=True)),
        Layer("a", (Source("stem", a, padding=(1, 1)),), bias, shape, rule(rng, a, theta=2)),
        Layer("sum", (Source("a", b, padding=(1, 1)), Source("stem", around)), bias, shape,
              rule(rng, b, theta=2)),
        Layer("fc", (Source("sum", c),), rng.integers(-500, 500, 3), Shape(1, 1, 3), None),
    )  # fmt: skip
    return Network("residual", Input(shape), layers, sparse_images(rng, 4, shape, 0.6))


def sparse_images(rng: np.random.Generator, count: int, shape: Shape, density: float) -> Int:
    size = (count, shape.height, shape.width, shape.channels)
    return rng.integers(1, 256, size) * (rng.random(size) < density)


def random_network(seed: int) -> Network:
    """Layers of every kind on small odd maps: kernels, strides, padding, dilation, groups, pooling,
    tables, shortcuts and concatenations, densities from nothing to everything."""
    rng = np.random.default_rng(seed)
    channels = int(rng.choice([2, 4, 6]))
    shape = Shape(int(rng.integers(5, 10)), int(rng.integers(5, 10)), channels)
    layers: list[Layer] = []
    tensors = {INPUT: shape}
    for i in range(int(rng.integers(2, 5))):
        name, earlier = f"l{i}", list(tensors)
        main = earlier[-1]
        out, first = _random_conv(rng, main, tensors[main], int(rng.choice([2, 4, 6])))
        sources = [first]
        # shortcuts and concatenations: any other tensor whose map can be brought to this size
        for other in earlier[:-1]:
            ratio = (-(-tensors[other].height // out.height), -(-tensors[other].width // out.width))
            fits = out.height * ratio[0] - ratio[0] < tensors[other].height
            fits = fits and out.width * ratio[1] - ratio[1] < tensors[other].width
            if fits and rng.random() < 0.5:
                table = weights(rng, out.channels, tensors[other].channels, 1, 1, density=0.7)
                sources.append(Source(other, table, stride=ratio))
        pool, output = _random_pool(rng, out)
        flat = np.concatenate([s.weights.reshape(out.channels, -1) for s in sources], axis=1)
        requantize = _random_rule(rng, flat)
        bias = rng.integers(-500, 500, out.channels)
        layers.append(Layer(name, tuple(sources), bias, output, requantize, pool=pool))
        tensors[name] = output
    last = tensors[layers[-1].name]
    table = weights(rng, 5, last.channels, last.height, last.width, density=0.6)
    bias = rng.integers(-500, 500, 5)
    layers.append(Layer("fc", (Source(layers[-1].name, table),), bias, Shape(1, 1, 5), None))
    return Network(f"random {seed}", Input(shape), tuple(layers), sparse_images(rng, 3, shape, 0.5))


def _random_conv(
    rng: np.random.Generator, tensor: str, shape: Shape, channels: int
) -> tuple[Shape, Source]:
    kernel = rng.integers(1, 4, 2)
    stride, dilation = rng.integers(1, 3, 2), rng.integers(1, 3, 2)
    padding = rng.integers(0, 2, 2)
    size = np.array([shape.height, shape.width])
    while np.any(size + 2 * padding < dilation * (kernel - 1) + 1):
        kernel, dilation = np.maximum(kernel - 1, 1), np.ones(2, int)
    out = (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
    common = [g for g in (1, 2) if shape.channels % g == 0 and channels % g == 0]
    groups = int(rng.choice(common))
    density = float(rng.choice([0.05, 0.4, 1.0]))
    table = weights(rng, channels, shape.channels // groups, *kernel.tolist(), density=density)
    pairs = ((int(v[0]), int(v[1])) for v in (stride, padding, dilation))
    return Shape(*out.tolist(), channels), Source(tensor, table, *pairs, groups)


def _random_pool(rng: np.random.Generator, shape: Shape) -> tuple[Pool | None, Shape]:
    if rng.random() < 0.5 or min(shape.height, shape.width) < 3:
        return None, shape
    window, stride = rng.integers(2, 4, 2), rng.integers(1, 4, 2)
    padding = rng.integers(0, 2, 2)
    size = np.array([shape.height, shape.width])
    out = (size + 2 * padding - window) // stride + 1
    pairs = [(int(v[0]), int(v[1])) for v in (size, window, stride, padding)]
    return Pool(*pairs), Shape(*out.tolist(), shape.channels)


def _random_rule(rng: np.random.Generator, table: Int) -> Requantize:
    made = rule(rng, table, theta=int(rng.integers(0, 4)), leaky=bool(rng.random() < 0.3))
    if rng.random() < 0.4:
        steps = np.sort(rng.integers(-60 if made.low else 0, 100, made.high - made.low + 1))
        return replace(made, table=steps - steps[-made.low] if made.low else steps)
    return made


def placements(
    network: Network, pes: Sequence[int], streams: Sequence[int] | None = None
) -> list[Placement]:
    tensors = golden.tensors(network, network.samples)
    return [
        Placement(assign(channel_work(network, layer, tensors), count), parts)
        for layer, count, parts in zip(network.layers, pes, streams or [1] * len(pes), strict=True)
    ]


def design_of(network: Network, pes: Sequence[int], streams: Sequence[int] | None = None) -> Design:
    return place(network, boards.load("pynq-z2"), 125.0, placements(network, pes, streams))


def write(design: Design, folder: Path) -> Path:
    return Plan(hls_files(design), {}).write(folder)


def varied_images(network: Network) -> Int:
    """Sparse, dense, all zero and extreme images, in an order where state that stays would show."""
    rng = np.random.default_rng(99)
    low, high = network.input.limits
    size = network.samples.shape[1:]
    dense = rng.integers(low, high + 1, (3, *size))
    zero = np.zeros((2, *size), np.int64)
    extreme = np.stack([np.full(size, high), np.full(size, low)])
    return np.concatenate([network.samples, zero, dense, extreme, zero, dense])


def as_bytes(image: Int) -> bytes:
    return (image & 255).astype(np.uint8).tobytes()
