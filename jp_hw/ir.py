"""The integer network: what the hardware computes, and nothing about how.

Every tensor is a map of shape (height, width, channels). A layer adds up its *sources* (each a
convolution of one earlier tensor; a fully connected layer is the case of a 1x1 map), takes the
greatest sum of every pooling window if it has a `Pool`, adds a bias, and requantizes, see
`Requantize`. All arithmetic is exact integer arithmetic.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from jp_hw.errors import JpHwError

Int = NDArray[np.int64]

INPUT = "input"
INDEX_BITS = 10
"""A table of activations has so many address bits at most."""
MULTIPLIER_BITS = 18
"""Requantization multipliers are signed 18 bit and positive: one DSP48 input."""


@dataclass(frozen=True)
class Shape:
    """Size of a feature map."""

    height: int
    width: int
    channels: int

    def __post_init__(self) -> None:
        if min(self.height, self.width, self.channels) < 1:
            raise JpHwError(f"a feature map of shape {self} is empty: every size must be >= 1")

    @property
    def size(self) -> int:
        """Number of elements."""
        return self.height * self.width * self.channels

    def __str__(self) -> str:
        return f"{self.height}x{self.width}x{self.channels}"


@dataclass(frozen=True)
class Input:
    """The network's input: bytes, each kept if `|value| >= theta`, else taken as 0.

    `scale` is the real value of one step, for reports and for feeding float data.
    """

    shape: Shape
    signed: bool = False
    theta: int = 1
    scale: float = 1.0

    @property
    def bits(self) -> int:
        """Bits of a value: the input stream carries bytes."""
        return 8

    @property
    def limits(self) -> tuple[int, int]:
        """Least and greatest value."""
        return value_limits(self.bits, self.signed)


@dataclass(frozen=True)
class Requantize:
    """Accumulator to activation: `y = clamp((s * mult + (1 << shift - 1)) >> shift, low, high)`.

    `s = acc + bias[k]`; `mult` is `multiplier[k]`, or `negative[k]` where `s < 0` (all 0 for ReLU, a
    slope for leaky ReLU). With a table, y is only an index, and `table[y - low]`, which never falls
    with y, is the activation. The winner rule follows: it is kept if its magnitude is at least
    theta, else it becomes 0.
    """

    multiplier: Int
    negative: Int
    shift: int
    low: int
    high: int
    theta: int = 1
    table: Int | None = None

    @property
    def limits(self) -> tuple[int, int]:
        """Least and greatest activation (0 is always one: the losers')."""
        if self.table is None:
            return self.low, self.high
        return min(0, int(self.table[0])), max(0, int(self.table[-1]))

    @property
    def signed(self) -> bool:
        """Whether activations can be negative."""
        return self.limits[0] < 0

    @property
    def bits(self) -> int:
        """Bits of one activation, its sign included where it is signed."""
        low, high = self.limits
        top = high.bit_length()
        return 1 + max(top, (-1 - low).bit_length()) if low < 0 else max(1, top)


@dataclass(frozen=True)
class Source:
    """One convolution into a layer's accumulators.

    weights: int64 (out channels, in channels / groups, kernel height, kernel width).
    stride, padding (top and left; bottom and right follow from the output's size) and dilation
    are (vertical, horizontal). spread: the tensor's columns are so far apart, as in a transposed
    convolution; only interleaved columns are (`schedule.interleave`), and no file holds it.
    """

    tensor: str
    weights: Int
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    spread: int = 1

    @cached_property
    def equal_taps(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Per kernel row, and per kernel column, the first one that has the same weights."""
        found = []
        for axis in (2, 3):
            slices = np.moveaxis(self.weights, axis, 0).reshape(self.weights.shape[axis], -1)
            first: dict[bytes, int] = {}
            found.append(
                tuple(first.setdefault(taps.tobytes(), i) for i, taps in enumerate(slices))
            )
        return found[0], found[1]


@dataclass(frozen=True)
class Pool:
    """Max pooling of a map of `size` (height, width) accumulators per channel.

    window, stride and padding (above and to the left) are (vertical, horizontal). What lies outside
    the map does not count. across: so many neighbouring channels of sums become one; only where
    columns are interleaved (`schedule.interleave`), and no file holds it.
    """

    size: tuple[int, int]
    window: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int] = (0, 0)
    across: int = 1

    @property
    def side_by_side(self) -> "Pool":
        """The same with the channels that it looks across side by side, as columns."""
        if self.across == 1:
            return self
        return Pool(
            (self.size[0], self.size[1] * self.across),
            (self.window[0], self.across),
            (self.stride[0], self.across),
            self.padding,
        )

    def taps(self, axis: int, outputs: int) -> list[list[int]]:
        """Map positions of each of `outputs` windows along an axis (0 vertical, 1 horizontal)."""
        starts = [i * self.stride[axis] - self.padding[axis] for i in range(outputs)]
        return [
            [i for i in range(start, start + self.window[axis]) if 0 <= i < self.size[axis]]
            for start in starts
        ]


@dataclass(frozen=True)
class Layer:
    """One layer: `requantize(pool(sum of sources) + bias)`; the last layer is not requantized.

    bias: int64 (out channels,), in accumulator units. output: what leaves the layer, after pooling.
    """

    name: str
    sources: tuple[Source, ...]
    bias: Int
    output: Shape
    requantize: Requantize | None
    weight_bits: int = 8
    pool: Pool | None = None

    @property
    def map(self) -> Shape:
        """Shape of the sums, before pooling."""
        if self.pool is None:
            return self.output
        return Shape(*self.pool.size, self.output.channels * self.pool.across)


@dataclass(frozen=True)
class Network:
    """An integer network, verified on construction.

    samples: uint8 or int8 (n, height, width, channels), real inputs that say how active each channel
    is; the scheduler balances the array's work with them.
    logit_scale: real value of one step of the logits.
    dense: nothing is skipped: zero weights are stored and multiplied, zero activations are sent, and
    there are no thresholds (`jp_hw.twin`).
    """

    name: str
    input: Input
    layers: tuple[Layer, ...]
    samples: NDArray[np.int64]
    logit_scale: float = 1.0
    notes: Mapping[str, object] = field(default_factory=dict)
    dense: bool = False

    def __post_init__(self) -> None:
        verify(self)

    @property
    def classes(self) -> int:
        """Number of logits."""
        return self.layers[-1].output.channels

    def tensor_shape(self, tensor: str) -> Shape:
        """Shape of the input or of a layer's output."""
        if tensor == INPUT:
            return self.input.shape
        return next(layer.output for layer in self.layers if layer.name == tensor)

    def tensor_limits(self, tensor: str) -> tuple[int, int]:
        """Least and greatest value that a tensor can hold."""
        if tensor == INPUT:
            return self.input.limits
        return self._rule(tensor).limits

    def tensor_bits(self, tensor: str) -> int:
        """Bits of one value of a tensor."""
        return self.input.bits if tensor == INPUT else self._rule(tensor).bits

    @property
    def input_least(self) -> int:
        """Least magnitude of an input that is sent as a token."""
        return 0 if self.dense else max(self.input.theta, 1)

    def _rule(self, tensor: str) -> Requantize:
        rule = next(layer.requantize for layer in self.layers if layer.name == tensor)
        if rule is None:
            raise JpHwError(f"tensor {tensor} is not requantized, so no layer can read it")
        return rule

    def layer_limits(self, layer: Layer) -> tuple[Int, Int]:
        """Worst case (low, high) of each output channel's accumulator, int64 (channels,) each.

        Positions differ only in which taps fall outside the map, and any tap's contribution may be
        zero, so the bound of all taps together holds for every position and every partial sum.
        """
        low = np.zeros(layer.map.channels, np.int64)
        high = np.zeros(layer.map.channels, np.int64)
        for source in layer.sources:
            least, most = self.tensor_limits(source.tensor)
            flat = source.weights.reshape(len(source.weights), -1)
            positive, negative = np.maximum(flat, 0).sum(1), np.minimum(flat, 0).sum(1)
            low += positive * min(least, 0) + negative * max(most, 0)
            high += positive * max(most, 0) + negative * min(least, 0)
        sums = (layer.output.channels, -1)
        return low.reshape(sums).min(1), high.reshape(sums).max(1)

    def live(self, values: np.ndarray) -> NDArray[np.bool_]:
        """Which of some weights or activations the array works on: the non-zero ones, or all."""
        return np.ones(values.shape, np.bool_) if self.dense else values != 0

    @property
    def dense_macs(self) -> int:
        """Multiply-accumulates of one dense inference, padding included."""
        return sum(dense_macs(layer) for layer in self.layers)


def value_limits(bits: int, signed: bool) -> tuple[int, int]:
    """Least and greatest value of a number format."""
    return (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)


def dense_macs(layer: Layer) -> int:
    """Multiply-accumulates of one layer computed densely, padding included."""
    positions = layer.map.height * layer.map.width
    return sum(positions * source.weights.size for source in layer.sources)


def verify(network: Network) -> None:
    """Check everything that later stages rely on; raise JpHwError naming the layer and the fault."""
    if not network.name.isprintable() or "\\" in network.name:
        raise JpHwError(f"a network cannot be called {network.name!r}: use printable characters")
    if not network.layers:
        raise JpHwError(f"network {network.name} has no layers")
    known: dict[str, Shape] = {INPUT: network.input.shape}
    low, high = network.input.limits
    if not 0 <= network.input.theta <= max(-low, high):
        raise JpHwError(
            f"network {network.name}: input theta {network.input.theta} is outside 0..{max(-low, high)}"
        )
    samples = network.samples
    _verify_integers(f"network {network.name}", "samples", samples)
    if samples.ndim != 4 or samples.shape[1:] != _triple(network.input.shape) or not len(samples):
        raise JpHwError(
            f"network {network.name}: samples have shape {samples.shape}, "
            f"expected (n >= 1, {', '.join(map(str, _triple(network.input.shape)))})"
        )
    if samples.min() < low or samples.max() > high:
        raise JpHwError(f"network {network.name}: samples leave the input's range {low}..{high}")
    for layer in network.layers:
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", layer.name):
            raise JpHwError(
                f"layer name {layer.name!r} cannot name files: use letters, digits, _, . and -"
            )
        if layer.name in known:
            raise JpHwError(f"two tensors are called {layer.name}: every layer needs its own name")
        _verify_layer(layer, known, is_last=layer is network.layers[-1])
        known[layer.name] = layer.output
    read = {source.tensor for layer in network.layers for source in layer.sources}
    for layer in network.layers[:-1]:
        if layer.name not in read:
            raise JpHwError(f"layer {layer.name}: no later layer reads it; leave it out")
    rules = [layer.requantize for layer in network.layers]
    if network.dense and any([network.input.theta, *(rule.theta for rule in rules if rule)]):
        raise JpHwError(f"network {network.name}: a dense network has no thresholds (theta)")


def _verify_integers(where: str, what: str, array: np.ndarray) -> None:
    if not np.issubdtype(array.dtype, np.integer):
        raise JpHwError(f"{where}: {what} are {array.dtype}, not integers")


def _triple(shape: Shape) -> tuple[int, int, int]:
    return shape.height, shape.width, shape.channels


def _verify_layer(layer: Layer, known: Mapping[str, Shape], *, is_last: bool) -> None:
    channels = layer.output.channels
    _verify_integers(f"layer {layer.name}", "biases", layer.bias)
    if not layer.sources:
        raise JpHwError(f"layer {layer.name} has no source")
    if not 2 <= layer.weight_bits <= 8:
        raise JpHwError(f"layer {layer.name}: {layer.weight_bits}-bit weights; 2..8 are supported")
    if layer.bias.shape != (channels,):
        raise JpHwError(f"layer {layer.name}: bias of shape {layer.bias.shape}, not ({channels},)")
    for source in layer.sources:
        _verify_source(layer, source, known)
    if layer.pool is not None:
        _verify_pool(layer, layer.pool)
    if is_last != (layer.requantize is None):
        raise JpHwError(f"layer {layer.name}: the last layer, and no other, emits raw accumulators")
    if is_last and (layer.output.height, layer.output.width) != (1, 1):
        raise JpHwError(
            f"layer {layer.name}: the network must end in 1x1 logits, not {layer.output}"
        )
    if layer.requantize is not None:
        _verify_requantize(layer.name, layer.requantize, channels)


def _verify_source(layer: Layer, source: Source, known: Mapping[str, Shape]) -> None:
    where = f"layer {layer.name}, source {source.tensor}"
    if source.tensor not in known:
        raise JpHwError(f"{where}: no earlier tensor of that name")
    _verify_integers(where, "weights", source.weights)
    if source.weights.ndim != 4 or not source.weights.size:
        raise JpHwError(
            f"{where}: weights of shape {source.weights.shape}; 4 sizes >= 1 are needed"
        )
    out, per_group = source.weights.shape[:2]
    shape = known[source.tensor]
    if out != layer.map.channels or source.groups < 1 or out % source.groups:
        raise JpHwError(f"{where}: {out} output channels in {source.groups} groups do not fit")
    if per_group * source.groups != shape.channels:
        raise JpHwError(f"{where}: weights for {per_group * source.groups} channels on {shape}")
    limit = (1 << (layer.weight_bits - 1)) - 1
    if np.abs(source.weights).max(initial=0) > limit:
        raise JpHwError(f"{where}: weights exceed +-{limit} ({layer.weight_bits} bit, symmetric)")
    if min(*source.stride, *source.dilation) < 1 or min(source.padding) < 0:
        raise JpHwError(f"{where}: stride and dilation must be >= 1, padding >= 0")


def _verify_pool(layer: Layer, pool: Pool) -> None:
    if min(*pool.size, *pool.window, *pool.stride) < 1 or min(pool.padding) < 0:
        raise JpHwError(f"layer {layer.name}: a pool's sizes must be >= 1, its padding >= 0")
    if pool.across < 1 or (pool.across > 1 and (pool.window[1], pool.stride[1]) != (1, 1)):
        raise JpHwError(f"layer {layer.name}: a pool looks across channels or columns, not both")
    for axis, outputs in enumerate((layer.output.height, layer.output.width)):
        if not all(pool.taps(axis, outputs)):
            raise JpHwError(
                f"layer {layer.name}: a pooling window lies outside the map of {layer.map}"
            )


def _verify_requantize(name: str, requantize: Requantize, channels: int) -> None:
    top = (1 << (MULTIPLIER_BITS - 1)) - 1
    for table in (requantize.multiplier, requantize.negative):
        _verify_integers(f"layer {name}", "multipliers", table)
        if table.shape != (channels,) or table.min() < 0 or table.max() > top:
            raise JpHwError(f"layer {name}: multipliers must be 0..{top}, one per channel")
    if not 1 <= requantize.shift <= 40:
        raise JpHwError(f"layer {name}: shift {requantize.shift} is outside 1..40")
    if requantize.low > 0 or requantize.high < 1 or requantize.bits > 8:
        low, high = requantize.limits
        raise JpHwError(f"layer {name}: range {low}..{high} is not 8 bit")
    if requantize.table is not None:
        _verify_table(name, requantize, requantize.table)
    if requantize.theta < 0:
        raise JpHwError(f"layer {name}: theta must be >= 0")


def _verify_table(name: str, requantize: Requantize, table: Int) -> None:
    _verify_integers(f"layer {name}", "table entries", table)
    size = requantize.high - requantize.low + 1
    if table.shape != (size,) or size > 1 << INDEX_BITS:
        raise JpHwError(
            f"layer {name}: a table of shape {table.shape} for {size} indices; "
            f"at most {1 << INDEX_BITS} are supported"
        )
    if np.any(np.diff(table) < 0):
        raise JpHwError(f"layer {name}: the table of activations falls somewhere; it must not")
