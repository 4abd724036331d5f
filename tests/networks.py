"""Random integer networks: fully connected ones, and convolutions of any geometry."""

from dataclasses import dataclass

import numpy as np

from jp_hw import golden
from jp_hw.dense import convolve
from jp_hw.ir import INPUT, Input, Int, Layer, Network, Pool, Requantize, Shape, Source
from jp_hw.schedule.interleave import wider

Pair = tuple[int, int]


@dataclass(frozen=True)
class Convolution:
    """Geometry of one convolution; its output's size follows as in torch."""

    out: int
    kernel: Pair = (3, 3)
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1

    def output(self, shape: Shape) -> Shape:
        height, width = (
            (size + 2 * self.padding[i] - (self.kernel[i] - 1) * self.dilation[i] - 1)
            // self.stride[i]
            + 1
            for i, size in enumerate((shape.height, shape.width))
        )
        return Shape(height, width, self.out)


GEOMETRIES = {
    "stride and padding": (
        Shape(9, 7, 3),
        (
            Convolution(6, padding=(1, 1)),
            Convolution(8, stride=(2, 2), padding=(1, 1)),
        ),
    ),
    "dilation": (Shape(8, 9, 2), (Convolution(4, dilation=(2, 3), padding=(2, 1)),)),
    "groups": (
        Shape(6, 6, 4),
        (
            Convolution(8, groups=2, padding=(1, 1)),
            Convolution(8, groups=8, padding=(1, 1), stride=(2, 1)),
        ),
    ),
    "rectangular": (
        Shape(5, 11, 2),
        (Convolution(5, kernel=(2, 5), stride=(1, 3), padding=(1, 2)),),
    ),
    "stride beyond the kernel": (
        Shape(7, 8, 2),
        (Convolution(3, kernel=(1, 2), stride=(2, 3)),),
    ),
    "one row": (Shape(1, 12, 2), (Convolution(4, kernel=(1, 3), padding=(0, 1)),)),
    "large padding": (Shape(3, 3, 2), (Convolution(3, kernel=(3, 3), padding=(2, 2)),)),
}
"""Input shape and convolutions, by what is special about them."""


def weights(rng: np.random.Generator, *shape: int, density: float, bits: int = 8) -> Int:
    """Symmetric random weights, at least one of them not zero."""
    limit = (1 << (bits - 1)) - 1
    table = rng.integers(-limit, limit + 1, shape) * (rng.random(shape) < density)
    table.flat[int(rng.integers(table.size))] = limit
    return table.astype(np.int64)


def sparse(rng: np.random.Generator, shape: tuple[int, ...], activity: float, signed: bool) -> Int:
    """Random bytes, a share of them not zero."""
    low, high = (-128, 128) if signed else (1, 256)
    return (rng.integers(low, high, shape) * (rng.random(shape) < activity)).astype(np.int64)


def rule(
    rng: np.random.Generator, totals: Int, *, theta: int = 2, leaky: bool = False
) -> Requantize:
    """A rule that maps these accumulators to the whole activation range; totals: (..., channels)."""
    channels = totals.shape[-1]
    multiplier = rng.integers(1 << 15, 1 << 17, channels)
    high = 127 if leaky else 255
    greatest = max(int(np.abs(totals).max()), 1)
    shift = max(1, int(np.log2((1 << 16) * greatest / high)))
    negative = multiplier // 4 if leaky else np.zeros(channels, np.int64)
    return Requantize(multiplier, negative, shift, -128 if leaky else 0, high, theta)


def chain(
    seed: int,
    inputs: Shape,
    convolutions: tuple[Convolution, ...] = (),
    hidden: tuple[int, ...] = (),
    classes: int = 5,
    *,
    density: float = 0.5,
    activity: float = 0.5,
    leaky: bool = False,
    signed: bool = False,
    theta: int = 2,
    input_theta: int = 1,
    samples: int = 4,
) -> Network:
    """Convolutions, then fully connected layers of `hidden` sizes, then the logits' layer."""
    rng = np.random.default_rng(seed)
    images = sparse(rng, (samples, inputs.height, inputs.width, inputs.channels), activity, signed)
    kinds: list[Convolution | int] = [*convolutions, *hidden, classes]
    layers: list[Layer] = []
    values, shape, before = images, inputs, INPUT
    for i, kind in enumerate(kinds):
        if isinstance(kind, int):
            kind = Convolution(kind, kernel=(shape.height, shape.width))
        output = kind.output(shape)
        table = weights(rng, kind.out, shape.channels // kind.groups, *kind.kernel, density=density)
        source = Source(before, table, kind.stride, kind.padding, kind.dilation, kind.groups)
        bias = rng.integers(-500, 500, kind.out)
        totals = accumulators(source, values, output)
        is_last = i == len(kinds) - 1
        requantize = None if is_last else rule(rng, totals, theta=theta, leaky=leaky)
        layers.append(Layer(f"layer{i}", (source,), bias, output, requantize))
        values, shape, before = np.clip(totals // 256, 0, 255), output, f"layer{i}"
    spec = Input(inputs, signed=signed, theta=input_theta)
    return Network(f"random{seed}", spec, tuple(layers), images)


def mlp(
    seed: int = 0, sizes: tuple[int, ...] = (64, 30, 20, 10), *, density: float = 0.2,
    activity: float = 0.3, leaky: bool = False,
) -> Network:  # fmt: skip
    """Fully connected layers; a leaky one has signed inputs with a threshold as well."""
    return chain(
        seed,
        Shape(1, 1, sizes[0]),
        (),
        sizes[1:-1],
        sizes[-1],
        density=density,
        activity=activity,
        leaky=leaky,
        signed=leaky,
        input_theta=5 if leaky else 1,
    )


class Builder:
    """Grows a network layer by layer; every rule is fit to the sums that the samples make."""

    def __init__(self, seed: int, shape: Shape, *, samples: int = 3, signed: bool = False) -> None:
        self.rng = np.random.default_rng(seed)
        size = (samples, shape.height, shape.width, shape.channels)
        self.spec = Input(shape, signed)
        self.values = {INPUT: sparse(self.rng, size, 0.6, signed)}
        self.layers: list[Layer] = []

    def layer(
        self, name: str, *sources: tuple[str, Convolution], pool: Pool | None = None,
        output: Shape | None = None, density: float = 0.4, leaky: bool = False, table: bool = False,
    ) -> str:  # fmt: skip
        """Add a layer; output: its shape after pooling, if it pools."""
        made = []
        for tensor, kind in sources:
            before = self.values[tensor].shape[3] // kind.groups
            kernel = weights(self.rng, kind.out, before, *kind.kernel, density=density)
            made.append(
                Source(tensor, kernel, kind.stride, kind.padding, kind.dilation, kind.groups)
            )
        shape = Shape(*self.values[sources[0][0]].shape[1:])
        output = output or sources[0][1].output(shape)
        bias = self.rng.integers(-500, 500, output.channels)
        layer = Layer(name, tuple(made), bias, output, None, pool=pool)
        totals = sums(layer, self.values)
        rule_ = rule(self.rng, totals, leaky=leaky)
        if table:
            entries = np.sort(self.rng.integers(-128, 128, 64))
            rule_ = Requantize(
                rule_.multiplier, rule_.multiplier, rule_.shift + 2, -32, 31, 3, entries
            )
        self.layers.append(Layer(name, layer.sources, bias, output, rule_, pool=pool))
        self.values[name] = golden.requantize(rule_, totals, bias)
        return name

    def network(self, *tensors: str, classes: int = 4) -> Network:
        """End with logits of whole tensors."""
        made = []
        for tensor in tensors:
            _, height, width, channels = self.values[tensor].shape
            kernel = weights(self.rng, classes, channels, height, width, density=0.5)
            made.append(Source(tensor, kernel))
        bias = self.rng.integers(-500, 500, classes)
        last = Layer("logits", tuple(made), bias, Shape(1, 1, classes), None)
        return Network("grown", self.spec, (*self.layers, last), self.values[INPUT])


def wide() -> Network:
    """A chain whose second layer has most channels and most of the work."""
    layers = (
        Convolution(6, padding=(1, 1)),
        Convolution(20, padding=(1, 1)),
        Convolution(12, stride=(2, 2), padding=(1, 1)),
    )
    return chain(7, Shape(16, 16, 3), layers, density=0.3)


def residual(seed: int = 5) -> Network:
    """A block with the identity around it, and one with a projection of stride 2."""
    grown, same = Builder(seed, Shape(8, 7, 3)), Convolution(6, padding=(1, 1))
    half = Convolution(8, stride=(2, 2), padding=(1, 1))
    stem = grown.layer("stem", (INPUT, same))
    first = grown.layer("a1", (stem, same))
    block = grown.layer("a2", (first, same), (stem, Convolution(6, (1, 1), groups=6)), density=0.7)
    second = grown.layer("b1", (block, half), leaky=True)
    final = Convolution(8, padding=(1, 1))
    around = Convolution(8, (1, 1), stride=(2, 2))
    return grown.network(grown.layer("b2", (second, final), (block, around)))


def pooled(seed: int = 6) -> Network:
    """Pools that overlap and leave the map, that skip, and of 1x2; a table; a concatenation."""
    grown = Builder(seed, Shape(9, 10, 2), signed=True)
    same = Convolution(5, padding=(1, 1))
    overlapping = Pool((9, 10), (3, 3), (2, 2), (1, 1))
    one = grown.layer("one", (INPUT, same), pool=overlapping, output=Shape(5, 5, 5))
    skipping = Pool((5, 5), (1, 2), (2, 3), (0, 1))
    two = grown.layer(
        "two", (one, same), (one, Convolution(5, (1, 1))), pool=skipping, output=Shape(3, 2, 5),
        table=True,
    )  # fmt: skip
    three = grown.layer("three", (one, Convolution(3, (2, 2))), leaky=True)
    return grown.network(two, three)


def every_kind() -> dict[str, Network]:
    """A small network of every kind, by what is special about it."""
    found = {"mlp": mlp(1, (24, 12, 7, 5)), "leaky": mlp(2, (24, 12, 7, 5), leaky=True)}
    for i, (name, (shape, convolutions)) in enumerate(GEOMETRIES.items()):
        found[name] = chain(10 + i, shape, convolutions, leaky=i % 2 == 1)
    return found | {"residual": residual(), "pooled": pooled()}


def sums(layer: Layer, values: dict[str, Int]) -> Int:
    """A layer's sums after pooling, without bias: int64 (n, height, width, channels)."""
    total = np.sum([accumulators(s, values[s.tensor], layer.map) for s in layer.sources], axis=0)
    return total if layer.pool is None else golden.pool(layer.pool, total, layer.output)


def accumulators(source: Source, values: Int, output: Shape) -> Int:
    """Sums of products of one source, without bias: int64 (n, height, width, channels)."""
    return convolve(
        values,
        source.weights,
        (output.height, output.width),
        source.stride,
        source.padding,
        source.dilation,
        source.groups,
    )


def with_layers(network: Network, *layers: Layer) -> Network:
    """The same network with other layers."""
    return Network(network.name, network.input, layers, network.samples)


def vector_layer(name: str, tensor: str, table: Int, requantize: Requantize | None) -> Layer:
    """A fully connected layer without bias; table: (out, in)."""
    out = len(table)
    return Layer(
        name,
        (Source(tensor, np.asarray(table, np.int64)[:, :, None, None]),),
        np.zeros(out, np.int64),
        Shape(1, 1, out),
        requantize,
    )


def doubled(network: Network, seed: int) -> dict[str, int]:
    """Columns interleaved by 1, 2 or 4 as a seed says, where that can be; not in dense networks."""
    factors: dict[str, int] = {}
    times = np.random.default_rng(seed).integers(0, 3, len(network.layers))
    for layer, count in zip(network.layers, times, strict=True):
        for _ in range(0 if network.dense else count):
            factors = wider(network, factors, layer.name) or factors
    return factors
