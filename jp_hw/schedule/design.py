"""The scheduled design: everything that the two back ends need, and nothing they must compute.

Vocabulary. A *slot* is one of a PE's output channels; the *physical channel* of slot `s` in PE `p`
is `p * slots + s`, with p counted from the first PE of its output *stream*; tokens carry physical
channels. A row of sums occupies `row_words` accumulators in every PE, at `x * slots + slot`; rows
follow one another in a *ring* of `1 << ring_bits` words, so a row's address is its running number
times `row_words`, modulo the ring, across frames. A *column* is the list of non-zero weights that
one token touches in one PE.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import chain, pairwise

import numpy as np

from jp_hw.boards import Board
from jp_hw.ir import Int, Network, Requantize

CUT_BITS = 2
"""Bits that say what is cut of a column, where anything ever is."""


@dataclass(frozen=True)
class Field:
    """A named group of bits of a memory word."""

    name: str
    bits: int
    signed: bool = False


@dataclass(frozen=True)
class Memory:
    """A read-only memory image: `fields` from the least significant bit up.

    values: one int64 array (depth,) per field.
    """

    name: str
    fields: tuple[Field, ...]
    values: tuple[Int, ...]

    @cached_property
    def width(self) -> int:
        """Bits of a word."""
        return sum(field.bits for field in self.fields)

    @property
    def depth(self) -> int:
        """Number of words."""
        return len(self.values[0])

    @cached_property
    def extremes(self) -> tuple[int, int]:
        """Bits that are set in some word, and bits that are set in all words."""
        some = every = shift = 0
        for field, values in zip(self.fields, self.values, strict=True):
            mask = (1 << field.bits) - 1
            some |= (int(np.bitwise_or.reduce(values)) & mask) << shift
            every |= (int(np.bitwise_and.reduce(values)) & mask) << shift
            shift += field.bits
        return some, every

    @cached_property
    def words(self) -> list[int]:
        """Words as unsigned Python integers (they can exceed 64 bits)."""
        words = [0] * self.depth
        shift = 0
        for field, values in zip(self.fields, self.values, strict=True):
            low, high = _limits(field)
            if len(values) != self.depth:
                raise AssertionError(f"{self.name}.{field.name}: {len(values)} words")
            if values.min() < low or values.max() > high:
                raise AssertionError(f"{self.name}.{field.name} leaves {field.bits} bits")
            mask = (1 << field.bits) - 1
            for i, value in enumerate(values.tolist()):
                words[i] |= (value & mask) << shift
            shift += field.bits
        return words


def _limits(field: Field) -> tuple[int, int]:
    if field.signed:
        return -(1 << (field.bits - 1)), (1 << (field.bits - 1)) - 1
    return 0, (1 << field.bits) - 1


@dataclass(frozen=True)
class TokenFormat:
    """Bits of the fields of a token, from the least significant: value, x, channel, marker."""

    value_bits: int
    value_signed: bool
    x_bits: int
    channel_bits: int

    @property
    def width(self) -> int:
        """Bits of a whole token."""
        return self.value_bits + self.x_bits + self.channel_bits + 1


@dataclass(frozen=True)
class Lane:
    """One token stream into a layer, with its own dispatcher.

    tensor, stream: where its tokens come from. waits: tokens that must find room before it (0 or
    few: none need to), or layers that wait for one another could wait forever. buffer: tokens that
    do find room in the RTL; what is more than that evens out the layers' pace.
    rows: word y = (row term, row base, number of output rows complete after input row y, live) and, in
    a layer with `cuts`, what is cut of its columns: nothing, the weights that lead to their first output
    row, or to their last.
    columns: word x = (column term, column base, live). Where row or x is not live, no kernel reaches.
    In a layer with `beside_bits`, also how many taps of the column lead beside the map on the left, on
    the right: its weights that have fewer taps on that side are not added.
    masks: one bit per PE in which something is left of a column, a word for each of `stored` columns,
    then as many for each further one of `cuts`. A token's column is `row term + column term + channel`,
    `first_column` more than that in the pointer memories; its accumulator base is
    `row base + column base + start of the frame`, in the ring.
    """

    tensor: str
    stream: int
    height: int
    width: int
    token: TokenFormat
    first_column: int
    stored: int
    cuts: int
    rows: Memory
    columns: Memory
    masks: Memory
    waits: int = 0
    buffer: int = 0


@dataclass(frozen=True)
class PoolDesign:
    """Max pooling while a PE drains: every output takes a pass over its window.

    window, stride, padding: (vertical, horizontal). rows, columns: word per output row or column:
    (live, last), a bit for each row or column of the window: whether it lies on the map, and
    whether no later window needs it, so that its accumulators are cleared.
    """

    window: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    rows: Memory
    columns: Memory

    @property
    def taps(self) -> int:
        """Accumulators that are read for one output."""
        return self.window[0] * self.window[1]


@dataclass(frozen=True)
class Stream:
    """Some consecutive PEs of a layer, whose winners leave by one merge and requantizer.

    post: word per physical channel: (bias, multiplier, negative) or, in the last layer, (bias,
    class).
    """

    first_pe: int
    pes: int
    post: Memory


@dataclass(frozen=True)
class LayerDesign:
    """One layer on its own array of PEs.

    channel_of: int64 (pes, slots), the output channel of each slot, -1 where a slot is unused.
    map_height, map_width: of the sums; out_height, out_width: after pooling.
    value_bits, value_signed: what holds the values of all lanes.
    pointers, weights, thresholds: one memory per PE. Pointer word: (first entry, entries - 1) and, with
    `cuts`, how many of them lead to the first, and to the last output row;
    weight word: (weight, offset) and, with `beside_bits`, how many taps its column has on the left and
    on the right of its own, as far as those bits can tell, or in fewer bits one number for both
    (`columns.tap_fields`); threshold word: a drained accumulator `a`
    wins if `a >= keep_from`, or, in a signed layer, `a <= keep_to`.
    table: activations by index, where requantization ends in one.
    beside: only tokens of which more taps than that lead beside the map, on the left or on the right,
    have columns of their own, without those; 0: all that any do.
    paired_roms: a PE's pointers and weights share a block RAM. block_ring: its accumulators are one.
    slack: tokens that find room before each of its lanes that carries a map, at least.
    joined: its lanes share one way to the PEs, and so one queue in each; one token of them a cycle.
    share: so many PEs at most form a group, which shares what drains its rows (`jp_group`).
    """

    name: str
    pes: int
    slots: int
    channel_of: Int
    map_height: int
    map_width: int
    out_height: int
    out_width: int
    value_bits: int
    value_signed: bool
    accumulator_bits: int
    sum_bits: int
    ring_bits: int
    lanes: tuple[Lane, ...]
    pool: PoolDesign | None
    pointers: tuple[Memory, ...]
    weights: tuple[Memory, ...]
    thresholds: tuple[Memory, ...]
    streams: tuple[Stream, ...]
    table: Memory | None
    requantize: Requantize | None
    fifo_depth: int
    winner_depth: int
    beside: int = 0
    paired_roms: bool = False
    block_ring: bool = False
    slack: int = 0
    joined: bool = False
    share: int = 1

    @property
    def groups(self) -> list[list[tuple[int, int]]]:
        """Of every stream, first PE and number of PEs of each group: as even as can be."""
        found = []
        for stream in self.streams:
            count = -(-stream.pes // self.share)
            ends = [stream.first_pe + g * stream.pes // count for g in range(count + 1)]
            found.append([(one, next_ - one) for one, next_ in pairwise(ends)])
        return found

    @property
    def buses(self) -> int:
        """Queues of a PE: one for each lane, or one for all."""
        return 1 if self.joined else len(self.lanes)

    @property
    def row_words(self) -> int:
        """Accumulators of a PE from one row of sums to the next."""
        return self.map_width * self.slots

    @property
    def beside_bits(self) -> int:
        """Bits that say how many taps of a token lead beside the map on one side; 0 if none do."""
        return bits_for(self.most_beside) if self.most_beside else 0

    @property
    def most_beside(self) -> int:
        """So many taps of a token lead beside the map on one side at most."""
        sides = (values for lane in self.lanes for values in lane.columns.values[2:-1])
        return max((int(values.max()) for values in sides), default=0)

    @property
    def tap_bits(self) -> int:
        """Bits of a weight word that say how many taps its column has on both sides of its own."""
        return sum(field.bits for field in self.weights[0].fields[2:])

    @property
    def frame_step(self) -> int:
        """Distance of two frames in the ring."""
        return (self.map_height * self.row_words) % (1 << self.ring_bits)

    @property
    def drain_words(self) -> int:
        """Accumulators that one PE reads to drain one output row."""
        return self.out_width * self.slots * (1 if self.pool is None else self.pool.taps)

    @property
    def cuts(self) -> int:
        """Ways to cut columns, with the one that cuts nothing."""
        return max(lane.cuts for lane in self.lanes)

    @property
    def cut_bits(self) -> int:
        """Bits that say what is cut of a column; 0 where nothing ever is."""
        return CUT_BITS if self.cuts > 1 else 0

    @property
    def column_bits(self) -> int:
        """Bits of a column's place in the masks."""
        return self.lanes[0].rows.fields[0].bits

    @property
    def pointer_bits(self) -> int:
        """Bits of a column's place in the pointer memories."""
        return bits_for(self.pointers[0].depth - 1)

    @property
    def physical_channels(self) -> int:
        """Slots of the PEs of a stream (the largest one)."""
        return max(stream.pes for stream in self.streams) * self.slots

    @property
    def output_x_bits(self) -> int:
        """Bits of an output's x."""
        return bits_for(self.out_width - 1)

    @property
    def channel_bits(self) -> int:
        """Bits of a physical channel."""
        return bits_for(self.physical_channels - 1)

    @property
    def winner_width(self) -> int:
        """Bits of a drained winner: accumulator, x, channel, marker."""
        return self.accumulator_bits + self.output_x_bits + self.channel_bits + 1

    @property
    def slot_pitch(self) -> int:
        """Words from one PE's thresholds to the next one's in its group."""
        return 1 << bits_for(self.slots - 1)

    @cached_property
    def roms(self) -> list[Memory]:
        """Pointers and weights of the PEs; both in one memory where they share a block RAM."""
        if not self.paired_roms:
            return [*self.pointers, *self.weights]
        return [rom_pair(*pair) for pair in zip(self.pointers, self.weights, strict=True)]

    @cached_property
    def masks(self) -> list[Memory]:
        """Which PEs have a column, by bus: masks of its lane, or of all lanes one after the other."""
        lanes = self.lanes
        if not self.joined:
            return [lane.masks for lane in lanes]
        values = tuple(
            np.concatenate(
                [
                    np.resize(own[cut * lane.stored :], lane.stored) * (cut < lane.cuts)
                    for cut in range(self.cuts)
                    for lane, own in zip(lanes, of_lanes, strict=True)
                ]
            )
            for of_lanes in zip(*(lane.masks.values for lane in lanes), strict=True)
        )
        return [Memory(lanes[0].masks.name, lanes[0].masks.fields, values)]

    @property
    def memories(self) -> list[Memory]:
        """All memory images of the layer in RTL."""
        tables = [m for lane in self.lanes for m in (lane.rows, lane.columns)]
        tables += self.masks
        tables += [] if self.pool is None else [self.pool.rows, self.pool.columns]
        tables += [] if self.table is None else [self.table]
        posts = [stream.post for stream in self.streams]
        return [*tables, *self.roms, *self.group_thresholds, *posts]

    @cached_property
    def group_thresholds(self) -> list[Memory]:
        """Thresholds of the PEs of each group, every PE's from a power of two on."""
        pitch, found = self.slot_pitch, []
        for first, count in chain.from_iterable(self.groups):
            padded = [
                np.concatenate(
                    [
                        np.resize(own[: self.slots], pitch)
                        for own in (m.values[i] for m in self.thresholds[first : first + count])
                    ]
                )[: (count - 1) * pitch + self.slots]
                for i in range(2)
            ]
            name = f"{self.name}_group{first:03}_thresholds"
            fields = self.thresholds[first].fields
            found.append(memory(name, *zip(fields, padded, strict=True)))
        return found


@dataclass(frozen=True)
class Design:
    """A network scheduled for a board.

    computed: the network as the layers compute it, without silent channels, and with columns interleaved
    where that gives a layer more PEs; it has the network's logits. columns: of every layer, how many are
    interleaved.
    input_keep: word per beat of 8 input bytes, one bit per byte that any weight reads.
    input_map: word per byte of an input row, (x, channel).
    """

    network: Network
    computed: Network
    columns: tuple[int, ...]
    board: Board
    clock_mhz: float
    input_keep: Memory
    input_map: Memory
    layers: tuple[LayerDesign, ...]

    @property
    def beside(self) -> dict[str, int]:
        """Layers that also compute some of what lies beside their map (`macs.Beside`)."""
        return {layer.name: layer.beside for layer in self.layers if layer.beside}

    @property
    def silent(self) -> dict[str, int]:
        """How many channels of a layer are not computed, where any are (`silent.without_silent`)."""
        layers = zip(self.network.layers, self.computed.layers, self.columns, strict=True)
        found = {
            layer.name: layer.output.channels - own.output.channels // columns
            for layer, own, columns in layers
        }
        return {name: count for name, count in found.items() if count}

    @property
    def pes(self) -> int:
        """PEs of all layers."""
        return sum(layer.pes for layer in self.layers)


def bits_for(value: int) -> int:
    """Bits of an unsigned number that can reach `value`; at least 1."""
    return max(1, int(value).bit_length())


def memory(name: str, *columns: tuple[Field, Int]) -> Memory:
    """A memory of the given fields, padded with zeros to two words (so an address has one bit)."""
    depth = max(2, *(len(values) for _, values in columns))
    padded = tuple(
        np.concatenate([values, np.zeros(depth - len(values), np.int64)]) for _, values in columns
    )
    return Memory(name, tuple(field for field, _ in columns), padded)


def rom_pair(pointers: Memory, weights: Memory) -> Memory:
    """A PE's weights from the first word on, its pointers from the last one back (`jp_rom_pair`)."""
    depth = 1 << (pointers.depth + weights.depth - 1).bit_length()
    width = max(pointers.width, weights.width)
    words = np.zeros(depth, np.int64)
    words[: weights.depth] = weights.words
    words[depth - pointers.depth :] = pointers.words[::-1]
    name = weights.name.removesuffix("_weights") + "_roms"
    return Memory(name, (Field("word", width),), (words,))
