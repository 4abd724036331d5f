"""Memory images of one layer: dispatcher tables, column pointers, weights, thresholds."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from jp_hw.ir import Int, Layer, Shape, Source
from jp_hw.schedule import thresholds
from jp_hw.schedule.design import (
    CUT_BITS,
    Field,
    Lane,
    Memory,
    PoolDesign,
    TokenFormat,
    bits_for,
    memory,
)
from jp_hw.schedule.geometry import Axis, axis, windows


@dataclass(frozen=True)
class Mapping:
    """Where a layer's output channels live. pe_of, slot_of: int64 (out channels,).

    across: channels of sums that a pool makes one of: they lie side by side, as columns would.
    """

    pes: int
    slots: int
    pe_of: Int
    slot_of: Int
    across: int = 1

    @property
    def column_words(self) -> int:
        """Accumulators from a column of sums to the next."""
        return self.slots * self.across

    @classmethod
    def of(cls, channel_of: Int, across: int = 1) -> "Mapping":
        """From channel_of, int64 (pes, slots) with -1 for unused slots."""
        pe, slot = np.nonzero(channel_of >= 0)
        order = np.argsort(channel_of[pe, slot])
        pes, slots = channel_of.shape
        return cls(pes, slots, pe[order], slot[order], across)

    def place(self, sums: Int) -> tuple[Int, Int]:
        """PE and place within a column of channels of sums."""
        channel, part = np.divmod(sums, self.across)
        return self.pe_of[channel], part * self.slots + self.slot_of[channel]

    def physical(self, first_pe: int, pes: int) -> Int:
        """Physical channel of every output channel in a stream, -1 for those of other streams."""
        inside = (self.pe_of >= first_pe) & (self.pe_of < first_pe + pes)
        return np.where(inside, (self.pe_of - first_pe) * self.slots + self.slot_of, -1)


@dataclass(frozen=True)
class LaneColumns:
    """One lane's columns, before they become memories.

    pe, offset, weight, left, right: int64, one element per stored weight, ordered by PE, then group
    (root row class, column class, channel), then output row, then offset. left, right: how many taps its
    column class has on both sides of its own.
    before: int64 (pes, places + 1), weights before each place: rows of taps of the groups, `steps` each.
    cut: whether columns share pointers with those of which their first or last output row is cut.
    """

    rows: Axis
    cols: Axis
    channels: int
    pe: Int
    offset: Int
    weight: Int
    left: Int
    right: Int
    before: Int
    steps: int
    cut: bool = False

    @cached_property
    def pieces(self) -> tuple[Int, Int]:
        """Per column the first place of its group that it covers, and the one after its last."""
        roots = sorted({root for root, _, _ in self.rows.parts})
        width = len(self.cols.classes) * self.channels
        within = np.arange(width)
        begin, end = [], []
        for root, first, last in self.rows.stored(self.cut)[0]:
            group = (roots.index(root) * width + within) * self.steps
            begin.append(group + first)
            end.append(group + last)
        return np.concatenate(begin), np.concatenate(end)

    @cached_property
    def starts(self) -> Int:
        """Weights before each column, int64 (pes, columns)."""
        return self.before[:, self.pieces[0]]

    @cached_property
    def sizes(self) -> Int:
        """Weights of each column, int64 (pes, columns)."""
        return self.before[:, self.pieces[1]] - self.starts

    @cached_property
    def first(self) -> Int:
        """How many of a column's weights lead to its first output row, int64 (pes, columns)."""
        begin, end = self.pieces
        return self.before[:, begin + (end > begin)] - self.starts

    @cached_property
    def last(self) -> Int:
        """How many of them lead to its last one."""
        begin, end = self.pieces
        return self.before[:, end] - self.before[:, end - (end > begin)]

    @property
    def count(self) -> int:
        """Number of columns."""
        return len(self.pieces[0])

    @cached_property
    def cuts(self) -> int:
        """One more than the highest cut of any row class."""
        return 1 + max(cut for _, cut in self.rows.stored(self.cut)[1])

    @property
    def lengths(self) -> Int:
        """What is left of the columns with each cut, int64 (cuts, pes, columns)."""
        left = [self.sizes]
        if self.cuts > 1:
            left += [self.sizes - self.first, self.sizes - self.last]
        return np.stack(left)[: self.cuts]


def axes(source: Source, inputs: Shape, layer: Layer, beside: int = 0) -> tuple[Axis, Axis]:
    """Vertical and horizontal classes of a source. beside: see `axis`, of columns."""
    shape, output = layer.map, layer.output
    sizes = (
        (inputs.height, shape.height, output.height),
        (inputs.width, shape.width, output.width),
    )
    vertical, horizontal = (
        axis(
            a, b, source.weights.shape[2 + i], source.stride[i], source.padding[i],
            source.dilation[i], source.equal_taps[i], windows(layer.pool, i, c),
            (1, source.spread)[i], (0, beside)[i],
        )
        for i, (a, b, c) in enumerate(sizes)
    )  # fmt: skip
    return vertical, horizontal


def lane_columns(
    source: Source,
    inputs: Shape,
    layer: Layer,
    physical_in: Int,
    channels: int,
    mapping: Mapping,
    stored: NDArray[np.bool_],
    beside: int,
) -> LaneColumns:
    """Columns of one lane.

    physical_in: physical channel of each input channel, -1 for those of other lanes; channels: how
    many physical ones there are, unused ones included; stored: which of the source's weights are;
    beside: so many taps of a token may lead beside the map, on a side.
    """
    rows, cols = axes(source, inputs, layer, beside)
    row_words = layer.map.width * mapping.column_words
    tap_y, tap_x, out, within = np.nonzero(stored.transpose(2, 3, 0, 1))
    values = source.weights[out, within, tap_y, tap_x]
    taps_across = source.weights.shape[3]
    firsts = np.searchsorted(tap_y * taps_across + tap_x, np.arange(stored[0, 0].size + 1))
    per_in = source.weights.shape[1]
    per_out = source.weights.shape[0] // source.groups
    channel = physical_in[(out // per_out) * per_in + within]
    pe_of, place_of = mapping.place(out)
    mine = channel >= 0
    roots = sorted({root for root, _, _ in rows.parts})
    steps = max(len(taps) for taps in rows.classes)
    parts = []
    for number, root in enumerate(roots):
        for col_class, col_taps in enumerate(cols.classes):
            first = (number * len(cols.classes) + col_class) * channels
            for step, (ky, dy) in enumerate(rows.classes[root]):
                for tap, (kx, dx) in enumerate(col_taps):
                    at = ky * taps_across + kx
                    use = firsts[at] + np.flatnonzero(mine[firsts[at] : firsts[at + 1]])
                    offset = dy * row_words + dx * mapping.column_words + place_of[use]
                    group = first + channel[use]
                    left = np.full(len(offset), tap)
                    right = len(col_taps) - 1 - left
                    parts.append(
                        (pe_of[use], group * steps + step, offset, values[use], left, right)
                    )
    empty = np.zeros(0, np.int64)
    pe, place, offset, weight, left, right = (
        np.concatenate([empty, *arrays])
        for arrays in (zip(*parts, strict=True) if parts else [()] * 6)
    )
    order = np.lexsort((offset, place, pe))
    places = len(roots) * len(cols.classes) * channels * max(steps, 1) + 1
    counts = np.bincount(pe * places + place + 1, minlength=mapping.pes * places)
    before = np.cumsum(counts.reshape(mapping.pes, places), axis=1)
    return LaneColumns(
        rows, cols, channels, pe[order], offset[order], weight[order], left[order], right[order],
        before, max(steps, 1),
    )  # fmt: skip


def lane(
    layer: str, number: int, tensor: str, stream: int, columns: LaneColumns, first: int,
    token: TokenFormat, mapping: Mapping, row_words: int, ring_bits: int, column_bits: int,
    beside_bits: int, cut: bool,
) -> Lane:  # fmt: skip
    """The dispatcher's tables of one lane, and its bus's masks; number: of the lane in its layer.

    row_words: from one row of sums to the next. cut: whether any of the layer's columns are.
    """
    rows, cols = columns.rows, columns.cols
    ring = 1 << ring_bits
    piece_of, cut_of = np.transpose(rows.stored(columns.cut)[1])[:, rows.class_of]
    row_term = piece_of * len(cols.classes) * columns.channels
    completed, beside = np.array(rows.completed()), np.array(cols.beside)
    masks = (columns.lengths > 0).astype(np.int64).transpose(1, 0, 2).reshape(mapping.pes, -1)
    base = Field("base", ring_bits)
    return Lane(
        tensor,
        stream,
        len(rows.class_of),
        len(cols.class_of),
        token,
        first,
        columns.count,
        columns.cuts,
        memory(
            f"{layer}_lane{number:02}_rows",
            (Field("term", column_bits), row_term),
            (base, np.array(rows.origin) * row_words % ring),
            (Field("completed", bits_for(completed.max())), completed),
            (Field("live", 1), np.array(rows.live(), np.int64)),
            *((Field("cut", CUT_BITS), cut_of) for _ in range(cut)),
        ),
        memory(
            f"{layer}_lane{number:02}_columns",
            (Field("term", column_bits), np.array(cols.class_of) * columns.channels),
            (base, np.array(cols.origin) * mapping.column_words % ring),
            *_sides("beside", beside[:, 0], beside[:, 1], beside_bits),
            (Field("live", 1), np.array(cols.live(), np.int64)),
        ),
        memory(
            f"{layer}_bus{number:02}_masks",
            *((Field(f"pe{p}", 1), own) for p, own in enumerate(masks)),
        ),
    )  # fmt: skip


def most_beside(lanes: Sequence[LaneColumns]) -> int:
    """So many taps of a token lead beside the map on one side at most."""
    return max(count for lane in lanes for both in lane.cols.beside for count in both)


def beside_bits(lanes: Sequence[LaneColumns]) -> int:
    """Bits of the number of taps of a token that lead beside the map on one side; 0 if none ever do."""
    most = most_beside(lanes)
    return bits_for(most) if most else 0


def _sides(name: str, left: Int, right: Int, bits: int) -> Iterator[tuple[Field, Int]]:
    """Fields with what lies on the left and on the right, as far as that many bits can tell."""
    if bits:
        yield Field(f"{name}_left", bits), np.minimum(left, (1 << bits) - 1)
        yield Field(f"{name}_right", bits), np.minimum(right, (1 << bits) - 1)


def tap_fields(lanes: Sequence[LaneColumns], left: Int, right: Int) -> list[tuple[Field, Int]]:
    """What a weight's word says of the taps on its left and right, to tell if it leads beside the map.

    Both numbers, as far as `beside_bits` can tell; or, in fewer bits, one: the taps on its left, or
    twice the most that lead beside the map less those on its right, or that most if both are at least
    as many.
    Columns of fewer taps than twice the most need both.
    """
    most = most_beside(lanes)
    both = list(_sides("taps", left, right, beside_bits(lanes)))
    fewest = min((len(taps) for lane in lanes for taps in lane.cols.classes if taps), default=0)
    one = Field("tap", bits_for(2 * most))
    if not both or fewest <= 2 * most or one.bits >= sum(field.bits for field, _ in both):
        return both
    near_right = np.where(right < most, 2 * most - right, most)
    return [(one, np.where(left < most, left, near_right))]


def weight_memories(
    layer: str, lanes: Sequence[LaneColumns], pes: int, weight_bits: int, ring_bits: int
) -> tuple[Memory, ...]:
    """Weights of every PE; widths are the same in all PEs of the layer.

    Offsets are modulo the ring, as all addresses are.
    """
    pe, offset, weight, left, right = (
        np.concatenate([getattr(lane, name) for lane in lanes])
        for name in ("pe", "offset", "weight", "left", "right")
    )
    offset = offset % (1 << ring_bits)
    depth = max(2, int(np.bincount(pe, minlength=pes).max()))
    weight_field = Field("weight", weight_bits, signed=True)
    offset_field = Field("offset", bits_for(offset.max(initial=0)))
    taps = tap_fields(lanes, left, right)
    memories = []
    for p in range(pes):
        own = pe == p
        pad = np.zeros(depth - int(own.sum()), np.int64)
        memories.append(
            memory(
                f"{layer}_pe{p:03}_weights",
                (weight_field, np.concatenate([weight[own], pad])),
                (offset_field, np.concatenate([offset[own], pad])),
                *((field, values[own]) for field, values in taps),
            )
        )
    return tuple(memories)


def pointer_memories(
    layer: str, lanes: Sequence[LaneColumns], weights: Sequence[Memory]
) -> tuple[Memory, ...]:
    """Column pointers of every PE; weights: its memories."""
    sizes, first, last = (
        np.concatenate([getattr(lane, name) for lane in lanes], axis=1)
        for name in ("sizes", "first", "last")
    )
    of_lane = np.stack([np.bincount(lane.pe, minlength=len(weights)) for lane in lanes], axis=1)
    before = np.cumsum(of_lane, axis=1) - of_lane
    starts = np.concatenate(
        [lane.starts + before[:, i : i + 1] for i, lane in enumerate(lanes)], axis=1
    )
    start_field = Field("start", bits_for(weights[0].depth - 1))
    count_field = Field("more", bits_for(max(int(sizes.max()) - 1, 0)))
    # nothing is left if all are of one row: then nobody asks
    first, last = (np.where(part < sizes, part, 0) for part in (first, last))
    first_field = Field("first", bits_for(first.max(initial=0)))
    last_field = Field("last", bits_for(last.max(initial=0)))
    cuts = max(lane.cuts for lane in lanes)
    memories = []
    for p in range(len(weights)):
        start = np.where(sizes[p] > 0, starts[p], 0)
        more = np.maximum(sizes[p] - 1, 0)
        cut = ((first_field, first[p]), (last_field, last[p])) if cuts > 1 else ()
        memories.append(
            memory(f"{layer}_pe{p:03}_pointers", (start_field, start), (count_field, more), *cut)
        )
    return tuple(memories)


def threshold_memories(
    layer: Layer, channel_of: Int, bits: int, read: NDArray[np.bool_], *, all_win: bool = False
) -> tuple[Memory, ...]:
    """Winner thresholds of every PE, a word per slot.

    Unused slots never win, nor do channels that no later layer reads; read: bool (out channels,).
    all_win: everything else does.
    """
    rule = layer.requantize
    memories = []
    for p, channels in enumerate(channel_of):
        lower = [thresholds.never(bits)] * len(channels)
        upper = [thresholds.always(bits)] * len(channels)
        for slot, k in enumerate(channels):
            if k < 0:
                continue
            if rule is None or (all_win and read[k]):
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


def post_memory(layer: Layer, name: str, physical: Int, size: int, sum_bits: int) -> Memory:
    """Per physical channel of a stream: bias and multipliers, or bias and class in the last layer.

    physical: physical channel of each output channel, -1 for those of other streams; size: how many
    there are.
    """
    own = np.flatnonzero(physical >= 0)
    place = physical[own]

    def table(values: Int) -> Int:
        result = np.zeros(size, np.int64)
        result[place] = values[own]
        return result

    bias = (Field("bias", sum_bits, signed=True), table(layer.bias))
    if layer.requantize is None:
        classes = Field("class", bits_for(len(physical) - 1))
        return memory(name, bias, (classes, table(np.arange(len(physical)))))
    return memory(
        name,
        bias,
        (Field("multiplier", 17), table(layer.requantize.multiplier)),
        (Field("negative", 17), table(layer.requantize.negative)),
    )


def table_memory(layer: Layer) -> Memory | None:
    """Activations by index (minus the least index), where there is a table."""
    rule = layer.requantize
    if rule is None or rule.table is None:
        return None
    return memory(f"{layer.name}_table", (Field("value", rule.bits, rule.signed), rule.table))


def pool_design(layer: Layer) -> PoolDesign | None:
    """How the PEs of a layer pool while they drain."""
    if layer.pool is None:
        return None
    pool, tables = layer.pool.side_by_side, []
    for i, (name, outputs) in enumerate(
        (("rows", layer.output.height), ("columns", layer.output.width))
    ):
        taps = pool.taps(i, outputs)
        starts = [n * pool.stride[i] - pool.padding[i] for n in range(outputs)]
        live = [sum(1 << (t - start) for t in row) for row, start in zip(taps, starts, strict=True)]
        last = [
            sum(1 << (t - starts[n]) for t in row if not any(t in later for later in taps[n + 1 :]))
            for n, row in enumerate(taps)
        ]
        bits = pool.window[i]
        tables.append(
            memory(
                f"{layer.name}_pool_{name}",
                (Field("live", bits), np.array(live)),
                (Field("last", bits), np.array(last)),
            )
        )
    return PoolDesign(pool.window, pool.stride, pool.padding, *tables)
