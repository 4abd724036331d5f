"""Small random integer networks, and a convolution by the book."""

import itertools

import numpy as np

from jp_hw.ir import INPUT, Input, Int, Layer, Network, Pool, Requantize, Shape, Source


def random_weights(rng: np.random.Generator, *shape: int, density: float = 0.4) -> Int:
    keep = rng.random(shape) < density
    keep.flat[0] = True
    return (rng.integers(1, 128, shape) * rng.choice([-1, 1], shape) * keep).astype(np.int64)


def random_values(
    rng: np.random.Generator, *shape: int, signed: bool = False, density: float = 0.4
) -> Int:
    low, high = (-128, 128) if signed else (0, 256)
    return (rng.integers(low, high, shape) * (rng.random(shape) < density)).astype(np.int64)


def random_rule(
    rng: np.random.Generator, channels: int, typical: float, *, leaky: bool = False, theta: int = 2
) -> Requantize:
    """A rule that turns accumulators of a typical size into activations of some tens."""
    multiplier = rng.integers(1 << 15, 1 << 17, channels)
    shift = max(1, int(np.log2(np.median(multiplier) * max(typical, 1.0) / 60)))
    low, high = (-128, 127) if leaky else (0, 255)
    negative = multiplier // 4 if leaky else np.zeros(channels, np.int64)
    return Requantize(multiplier, negative, shift, low, high, theta)


def convolve(source: Source, values: Int, output: Shape) -> Int:
    """Sums of one source for one image, values (h, w, channels); loops, as in a textbook."""
    height, width, _ = values.shape
    kernel_y, kernel_x = source.weights.shape[2:]
    per_in, per_out = source.weights.shape[1], output.channels // source.groups
    out = np.zeros((output.height, output.width, output.channels), np.int64)
    for y, x, k in np.ndindex(out.shape):
        first = k // per_out * per_in
        for ky, kx in np.ndindex(kernel_y, kernel_x):
            at_y = y * source.stride[0] + ky * source.dilation[0] - source.padding[0]
            at_x = x * source.stride[1] + kx * source.dilation[1] - source.padding[1]
            if 0 <= at_y < height and 0 <= at_x < width:
                taps = source.weights[k, :, ky, kx]
                out[y, x, k] += int(taps @ values[at_y, at_x, first : first + per_in])
    return out


def mlp(seed: int, *, leaky: bool = False) -> Network:
    rng = np.random.default_rng(seed)
    sizes, layers, before = (43, 20, 12, 5), [], INPUT
    for i, (a, b) in enumerate(itertools.pairwise(sizes)):
        last = i == len(sizes) - 2
        rule = None if last else random_rule(rng, b, 15_000, leaky=leaky)
        weights = random_weights(rng, b, a, 1, 1, density=0.3)
        name = f"fc{i + 1}"
        bias = rng.integers(-500, 500, b)
        layers.append(Layer(name, (Source(before, weights),), bias, Shape(1, 1, b), rule))
        before = name
    samples = random_values(rng, 6, 1, 1, sizes[0], signed=leaky)
    spec = Input(Shape(1, 1, sizes[0]), signed=leaky, theta=3)
    return Network("mlp", spec, tuple(layers), samples)


def conv(seed: int, height: int = 9, width: int = 7) -> Network:
    """3x3, stride 1 -> 3x3, stride 2 -> fully connected."""
    rng = np.random.default_rng(seed)
    one, two = Shape(height, width, 6), Shape((height + 1) // 2, (width + 1) // 2, 8)

    def layer(
        name: str,
        before: str,
        weights: Int,
        output: Shape,
        rule: Requantize | None,
        **geometry: tuple[int, int],
    ) -> Layer:
        bias = rng.integers(-500, 500, output.channels)
        return Layer(name, (Source(before, weights, **geometry),), bias, output, rule)

    first, second = random_weights(rng, 6, 3, 3, 3), random_weights(rng, 8, 6, 3, 3)
    last = random_weights(rng, 5, 8, two.height, two.width)
    rules = random_rule(rng, 6, 20_000), random_rule(rng, 8, 20_000)
    layers = (
        layer("c1", INPUT, first, one, rules[0], padding=(1, 1)),
        layer("c2", "c1", second, two, rules[1], padding=(1, 1), stride=(2, 2)),
        layer("fc", "c2", last, Shape(1, 1, 5), None),
    )
    samples = random_values(rng, 6, height, width, 3)
    return Network("conv", Input(Shape(height, width, 3)), layers, samples)


def residual(seed: int, height: int = 6, width: int = 5) -> Network:
    """3x3 and a pool -> two 3x3 with the identity around them, a table -> fully connected."""
    rng = np.random.default_rng(seed)
    one = Shape((height + 1) // 2, (width + 1) // 2, 4)
    pool = Pool((height, width), (3, 3), (2, 2), (1, 1))
    same = {"padding": (1, 1)}
    kernels = [random_weights(rng, 4, channels, 3, 3) for channels in (3, 4, 4)]
    rules = [random_rule(rng, 4, 20_000, leaky=leaky) for leaky in (False, True, True)]
    table = np.sort(rng.integers(-128, 128, 256))
    curve = Requantize(
        rules[2].multiplier, rules[2].multiplier, rules[2].shift, -128, 127, 4, table
    )
    around = Source("stem", np.eye(4, dtype=np.int64).reshape(4, 4, 1, 1) * 90)
    bias = rng.integers(-500, 500, (3, 4))
    layers = (
        Layer("stem", (Source(INPUT, kernels[0], **same),), bias[0], one, rules[0], pool=pool),
        Layer("a", (Source("stem", kernels[1], **same),), bias[1], one, rules[1]),
        Layer("b", (Source("a", kernels[2], **same), around), bias[2], one, curve),
        Layer(
            "fc", (Source("b", random_weights(rng, 5, 4, one.height, one.width)),),
            rng.integers(-500, 500, 5), Shape(1, 1, 5), None,
        ),
    )  # fmt: skip
    samples = random_values(rng, 6, height, width, 3)
    return Network("residual", Input(Shape(height, width, 3)), layers, samples)
