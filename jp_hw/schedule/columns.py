"""Memory images of one layer: dispatcher tables, column pointers, weights, thresholds."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jp_hw.ir import Int, Layer, Shape, Source
from jp_hw.schedule import thresholds
from jp_hw.schedule.design import Field, Lane, Memory, TokenFormat, bits_for, memory
from jp_hw.schedule.geometry import Axis, axis


@dataclass(frozen=True)
class Mapping:
    """Where a layer's output channels live. pe_of, slot_of: int64 (out channels,)."""

    pes: int
    slots: int
    pe_of: Int
    slot_of: Int

    @classmethod
    def of(cls, channel_of: Int) -> "Mapping":
        """From channel_of, int64 (pes, slots) with -1 for unused slots."""
        pe, slot = np.nonzero(channel_of >= 0)
        order = np.argsort(channel_of[pe, slot])
        pes, slots = channel_of.shape
        return cls(pes, slots, pe[order], slot[order])

    @property
    def physical(self) -> Int:
        """Physical channel of every output channel."""
        return self.pe_of * self.slots + self.slot_of


@dataclass(frozen=True)
class LaneColumns:
    """One lane's columns, before they become memories.

    column, pe, offset, weight: int64, one element per non-zero weight and class, ordered by PE,
    then column, then offset. count: number of columns.
    """

    rows: Axis
    cols: Axis
    channels: int
    column: Int
    pe: Int
    offset: Int
    weight: Int

    @property
    def count(self) -> int:
        """Number of column ids."""
        return len(self.rows.classes) * len(self.cols.classes) * self.channels


def axes(source: Source, inputs: Shape, output: Shape) -> tuple[Axis, Axis]:
    """Vertical and horizontal classes of a source."""
    kernel = source.weights.shape[2:]
    pairs = ((inputs.height, output.height), (inputs.width, output.width))
    vertical, horizontal = (
        axis(a, b, kernel[i], source.stride[i], source.padding[i], source.dilation[i])
        for i, (a, b) in enumerate(pairs)
    )
    return vertical, horizontal


def lane_columns(
    source: Source, inputs: Shape, output: Shape, physical_in: Int, channels: int, mapping: Mapping
) -> LaneColumns:
    """Columns of one source.

    physical_in: physical channel of each input channel; channels: how many there are, unused ones
    included.
    """
    rows, cols = axes(source, inputs, output)
    row_words = output.width * mapping.slots
    out, within, tap_y, tap_x = np.nonzero(source.weights)
    values = source.weights[out, within, tap_y, tap_x]
    per_in = source.weights.shape[1]
    per_out = source.weights.shape[0] // source.groups
    channel = physical_in[(out // per_out) * per_in + within]
    parts = []
    for row_class, row_taps in enumerate(rows.classes):
        for col_class, col_taps in enumerate(cols.classes):
            first = (row_class * len(cols.classes) + col_class) * channels
            for ky, dy in row_taps:
                for kx, dx in col_taps:
                    use = (tap_y == ky) & (tap_x == kx)
                    offset = dy * row_words + dx * mapping.slots + mapping.slot_of[out[use]]
                    parts.append(
                        (first + channel[use], mapping.pe_of[out[use]], offset, values[use])
                    )
    empty = np.zeros(0, np.int64)
    column, pe, offset, weight = (
        np.concatenate([empty, *arrays])
        for arrays in (zip(*parts, strict=True) if parts else [()] * 4)
    )
    order = np.lexsort((offset, column, pe))
    return LaneColumns(rows, cols, channels, column[order], pe[order], offset[order], weight[order])


def lane(
    prefix: str, source: Source, columns: LaneColumns, first: int, token: TokenFormat,
    mapping: Mapping, row_words: int, ring_bits: int, column_bits: int,
) -> Lane:  # fmt: skip
    """The dispatcher's tables of one lane."""
    rows, cols = columns.rows, columns.cols
    ring = 1 << ring_bits
    row_term = np.array(rows.class_of) * len(cols.classes) * columns.channels
    completed = np.array(rows.completed())
    masks = np.zeros((columns.count, mapping.pes), np.int64)
    masks[columns.column, columns.pe] = 1
    base = Field("base", ring_bits)
    return Lane(
        source.tensor,
        len(rows.class_of),
        len(cols.class_of),
        token,
        first,
        memory(
            f"{prefix}_rows",
            (Field("term", column_bits), row_term),
            (base, np.array(rows.origin) * row_words % ring),
            (Field("completed", bits_for(completed.max())), completed),
        ),
        memory(
            f"{prefix}_columns",
            (Field("term", column_bits), np.array(cols.class_of) * columns.channels),
            (base, np.array(cols.origin) * mapping.slots % ring),
        ),
        memory(f"{prefix}_masks", *((Field(f"pe{p}", 1), own) for p, own in enumerate(masks.T))),
    )  # fmt: skip


def pe_memories(
    layer: str, lanes: Sequence[LaneColumns], pes: int, weight_bits: int
) -> tuple[tuple[Memory, ...], tuple[Memory, ...]]:
    """Column pointers and weights of every PE; widths are the same in all PEs of the layer."""
    firsts = np.cumsum([0, *(columns.count for columns in lanes)])
    total = int(firsts[-1])
    column = np.concatenate([c.column + first for c, first in zip(lanes, firsts, strict=False)])
    pe, offset, weight = (
        np.concatenate([getattr(c, name) for c in lanes]) for name in ("pe", "offset", "weight")
    )
    lengths = np.zeros((pes, total), np.int64)
    np.add.at(lengths, (pe, column), 1)
    starts = np.cumsum(lengths, axis=1) - lengths
    depth = max(2, int(lengths.sum(1).max()))
    start_field = Field("start", bits_for(depth - 1))
    count_field = Field("more", bits_for(lengths.max() - 1))
    offset_field = Field("offset", bits_for(offset.max(initial=0)))
    weight_field = Field("weight", weight_bits, signed=True)
    order = np.lexsort((column, pe))
    pointers, weights = [], []
    for p in range(pes):
        live = lengths[p] > 0
        start, more = np.where(live, starts[p], 0), np.maximum(lengths[p] - 1, 0)
        pointers.append(
            memory(f"{layer}_pe{p:03}_pointers", (start_field, start), (count_field, more))
        )
        own = order[pe[order] == p]
        pad = np.zeros(depth - len(own), np.int64)
        weights.append(
            memory(
                f"{layer}_pe{p:03}_weights",
                (weight_field, np.concatenate([weight[own], pad])),
                (offset_field, np.concatenate([offset[own], pad])),
            )
        )
    return tuple(pointers), tuple(weights)


def threshold_memories(
    layer: Layer, channel_of: Int, bits: int, read: NDArray[np.bool_]
) -> tuple[Memory, ...]:
    """Winner thresholds of every PE, a word per slot.

    Unused slots never win, nor do channels that no later layer reads; read: bool (out channels,).
    """
    rule = layer.requantize
    memories = []
    for p, channels in enumerate(channel_of):
        lower = [thresholds.never(bits)] * len(channels)
        upper = [thresholds.always(bits)] * len(channels)
        for slot, k in enumerate(channels):
            if k < 0:
                continue
            if rule is None:
                lower[slot] = thresholds.always(bits)
            elif read[k]:
                lower[slot] = thresholds.keep_from(rule, k, int(layer.bias[k]), bits)
                upper[slot] = thresholds.keep_to(rule, k, int(layer.bias[k]), bits)
        memories.append(
            memory(
                f"{layer.name}_pe{p:03}_thresholds",
                (Field("keep_from", bits, signed=True), np.array(lower)),
                (Field("keep_to", bits, signed=True), np.array(upper)),
            )
        )
    return tuple(memories)


def post_memory(layer: Layer, mapping: Mapping, sum_bits: int) -> Memory:
    """Per physical channel: bias and multipliers, or bias and class in the last layer."""
    size, place = mapping.pes * mapping.slots, mapping.physical
    bias = np.zeros(size, np.int64)
    bias[place] = layer.bias
    bias_field = Field("bias", sum_bits, signed=True)
    if layer.requantize is None:
        classes = np.zeros(size, np.int64)
        classes[place] = np.arange(len(place))
        return memory(
            f"{layer.name}_post",
            (bias_field, bias),
            (Field("class", bits_for(len(place) - 1)), classes),
        )
    multiplier, negative = np.zeros(size, np.int64), np.zeros(size, np.int64)
    multiplier[place] = layer.requantize.multiplier
    negative[place] = layer.requantize.negative
    return memory(
        f"{layer.name}_post",
        (bias_field, bias),
        (Field("multiplier", 17), multiplier),
        (Field("negative", 17), negative),
    )
