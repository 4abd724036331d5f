"""From an integer network and a number of PEs per layer to the scheduled layers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from jp_hw.errors import JpHwError
from jp_hw.ir import INPUT, Int, Layer, Network, Source
from jp_hw.macs import ANY
from jp_hw.schedule import columns, thresholds
from jp_hw.schedule.buffers import with_buffers
from jp_hw.schedule.design import (
    Field,
    LayerDesign,
    Memory,
    Stream,
    TokenFormat,
    bits_for,
    memory,
)
from jp_hw.schedule.geometry import Axis, ring_rows, windows
from jp_hw.schedule.memories import pe_memory

BEAT = 8
"""Bytes of one beat of the input stream."""
MARKER_COLUMN = -1
"""Stands for a marker where ids are listed."""
MAX_LANES = 64
FIFO_DEPTH, MAP_FIFO_DEPTH = 16, 32
"""Words of each lane's queue in a PE. Neighbours on a map share their channels, and so their PEs: while
some PEs have much to do and others little, a deeper queue keeps the dispatcher going."""
WINNER_DEPTH = 32
MAX_SUM_BITS = 32


@dataclass(frozen=True)
class Placement:
    """Where a layer is computed.

    channel_of: int64 (pes, slots), the output channel of every slot, -1 for unused ones. streams:
    output streams, by consecutive PEs as equal as can be. columns: neighbouring columns that are
    channels of their own (`interleave`): channel_of counts those. queue: words of each lane's queue
    in a PE, 0 for the usual number. beside: tokens of which more taps than that lead beside the map,
    on the left or on the right, have columns of their own, without the weights of those; in others'
    such a weight takes its cycle, and nothing is added (0: in none, `macs.ANY`: in all). slack: tokens
    that find room before each lane that carries a map, at least. joined: whether several lanes share
    one bus to the PEs. share: PEs of a group, at most, which share what drains their rows. winners:
    words of a group's queue of winners, 0 for the usual number.
    """

    channel_of: Int
    streams: int = 1
    columns: int = 1
    queue: int = 0
    beside: int = 0
    slack: int = 0
    joined: bool = False
    share: int = 1
    winners: int = 0

    @property
    def settings(self) -> tuple[object, ...]:
        """All but channel_of."""
        names = (field.name for field in fields(self) if field.name != "channel_of")
        return tuple(getattr(self, name) for name in names)

    @property
    def stream_pes(self) -> list[int]:
        """Number of PEs of each stream."""
        each, rest = divmod(len(self.channel_of), self.streams)
        return [each + (i < rest) for i in range(self.streams)]


@dataclass(frozen=True)
class _Feed:
    """One lane to be: physical channel of every input channel (-1: another lane's), how many."""

    source: Source
    stream: int
    physical: Int
    channels: int


def layer_design(
    network: Network, layer: Layer, placement: Placement, producers: dict[str, LayerDesign]
) -> LayerDesign:
    """One layer with its output channels placed.

    producers: the designs of earlier layers by name; they fix the token formats.
    """
    across = 1 if layer.pool is None else layer.pool.across
    mapping = columns.Mapping.of(placement.channel_of, across)
    row_words = layer.map.width * mapping.column_words
    low, high = network.layer_limits(layer)
    accumulator_bits = thresholds.accumulator_bits(int(low.min()), int(high.max()))
    sum_bits = thresholds.accumulator_bits(
        int((low + layer.bias).min()), int((high + layer.bias).max())
    )
    if sum_bits > MAX_SUM_BITS:
        raise JpHwError(
            f"layer {layer.name}: sums need {sum_bits} bits, logits have {MAX_SUM_BITS}; "
            "use fewer weight or activation bits"
        )
    feeds = [feed for source in layer.sources for feed in _feeds(network, source, producers)]
    if len(feeds) > MAX_LANES:
        raise JpHwError(
            f"layer {layer.name} reads {len(feeds)} token streams; {MAX_LANES} are supported"
        )
    parts = [
        columns.lane_columns(
            feed.source, network.tensor_shape(feed.source.tensor), layer, feed.physical,
            feed.channels, mapping, network.live(feed.source.weights), placement.beside,
        )
        for feed in feeds
    ]  # fmt: skip
    needs = windows(layer.pool, 0, layer.output.height)
    ring = ring_rows([part.rows for part in parts], needs, layer.map.height)
    ring_bits = bits_for(ring * row_words - 1)
    beside_bits = columns.beside_bits(parts)
    weights = columns.weight_memories(layer.name, parts, mapping.pes, layer.weight_bits, ring_bits)
    parts, pointers = _fewest_blocks(layer.name, parts, weights)
    firsts = np.cumsum([0, *(part.count for part in parts)])
    cuts = max(part.cuts for part in parts)
    column_bits = bits_for(cuts * int(firsts[-1]) - 1)
    lanes = tuple(
        columns.lane(
            layer.name, i, feed.source.tensor, feed.stream, part, int(first),
            token_format(network, feed.source.tensor, producers), mapping, row_words, ring_bits,
            column_bits, beside_bits, cuts > 1,
        )
        for i, (feed, part, first) in enumerate(zip(feeds, parts, firsts, strict=False))
    )  # fmt: skip
    tokens = [lane.token for lane in lanes]
    on_map = any(lane.height * lane.width > 1 for lane in lanes)
    signed = any(token.value_signed for token in tokens)
    return LayerDesign(
        name=layer.name,
        pes=mapping.pes,
        slots=mapping.slots,
        channel_of=placement.channel_of,
        map_height=layer.map.height,
        map_width=layer.map.width * across,
        out_height=layer.output.height,
        out_width=layer.output.width,
        value_bits=max(t.value_bits + (signed and not t.value_signed) for t in tokens),
        value_signed=signed,
        accumulator_bits=accumulator_bits,
        sum_bits=sum_bits,
        ring_bits=ring_bits,
        lanes=lanes,
        pool=columns.pool_design(layer),
        pointers=pointers,
        weights=weights,
        thresholds=columns.threshold_memories(
            layer,
            placement.channel_of,
            accumulator_bits,
            channels_read(network, layer.name),
            all_win=network.dense,
        ),
        streams=_streams(layer, placement, mapping, sum_bits),
        table=columns.table_memory(layer),
        requantize=layer.requantize,
        fifo_depth=placement.queue or (MAP_FIFO_DEPTH if on_map else FIFO_DEPTH),
        winner_depth=placement.winners or WINNER_DEPTH,
        beside=placement.beside,
        slack=placement.slack,
        joined=placement.joined and len(lanes) > 1,
        share=placement.share,
    )


def _fewest_blocks(
    layer: str, parts: list[columns.LaneColumns], weights: Sequence[Memory]
) -> tuple[list[columns.LaneColumns], tuple[Memory, ...]]:
    """The lanes' columns and pointers, cut ones sharing pointers where that saves memory."""
    found = parts, columns.pointer_memories(layer, parts, weights)
    cut = [replace(part, cut=True) for part in parts]
    if all(part.cuts == 1 for part in cut):
        return found
    other = cut, columns.pointer_memories(layer, cut, weights)
    return min(found, other, key=lambda one: pe_memory(one[1], weights))


def savings(network: Network, layer: Layer) -> tuple[int, ...]:
    """Values of `Placement.beside` that save a layer some of the columns at its map's borders, and so
    memory: each more of them than the one before, and all, which is ANY.

    None if its map is but one column wide: then most weights of a token lead out of it.
    """
    if layer.map.width == 1:
        return ()

    def sides(beside: int) -> list[Axis]:
        return [
            columns.axes(source, network.tensor_shape(source.tensor), layer, beside)[1]
            for source in layer.sources
        ]

    def classes(beside: int) -> int:
        return sum(len(axis.classes) for axis in sides(beside))

    most = max(count for axis in sides(ANY) for both in axis.beside for count in both)
    found = [0]
    for beside in range(1, most):
        if classes(beside) < classes(found[-1]):
            found.append(beside)
    return (*found[1:], ANY) if classes(ANY) < classes(0) else ()


def _streams(
    layer: Layer, placement: Placement, mapping: columns.Mapping, sum_bits: int
) -> tuple[Stream, ...]:
    streams, first = [], 0
    for i, pes in enumerate(placement.stream_pes):
        name = f"{layer.name}_post{i}"
        physical, size = mapping.physical(first, pes), pes * mapping.slots
        post = columns.post_memory(layer, name, physical, size, sum_bits)
        streams.append(Stream(first, pes, post))
        first += pes
    return tuple(streams)


def _feeds(network: Network, source: Source, producers: dict[str, LayerDesign]) -> Iterator[_Feed]:
    """The lanes of a source, one per stream of the tensor."""
    if source.tensor == INPUT:
        channels = network.input.shape.channels
        yield _Feed(source, 0, np.arange(channels), channels)
        return
    producer = producers[source.tensor]
    mapping = columns.Mapping.of(producer.channel_of)
    for i, stream in enumerate(producer.streams):
        physical = mapping.physical(stream.first_pe, stream.pes)
        yield _Feed(source, i, physical, stream.pes * producer.slots)


def token_format(network: Network, tensor: str, producers: dict[str, LayerDesign]) -> TokenFormat:
    """Format of the tokens of a tensor."""
    low, _ = network.tensor_limits(tensor)
    bits = network.tensor_bits(tensor)
    shape = network.tensor_shape(tensor)
    channels = shape.channels if tensor == INPUT else producers[tensor].physical_channels
    return TokenFormat(bits, low < 0, bits_for(shape.width - 1), bits_for(channels - 1))


def input_memories(network: Network) -> tuple[Memory, Memory]:
    """The tokenizer's keep mask (a word per beat) and its map from a row's bytes to (x, channel)."""
    shape = network.input.shape
    live = np.broadcast_to(
        channels_read(network, INPUT), (shape.height, shape.width, shape.channels)
    )
    padded = np.zeros(-(-shape.size // BEAT) * BEAT, np.int64)
    padded[: shape.size] = live.reshape(-1)
    beats = padded.reshape(-1, BEAT)
    keep = memory("input_keep", *((Field(f"byte{i}", 1), beats[:, i]) for i in range(BEAT)))
    place = np.arange(shape.width * shape.channels)
    return keep, memory(
        "input_map",
        (Field("x", bits_for(shape.width - 1)), place // shape.channels),
        (Field("channel", bits_for(shape.channels - 1)), place % shape.channels),
    )


def channels_read(network: Network, tensor: str) -> NDArray[np.bool_]:
    """Which channels of a tensor anyone reads: a later layer's weights, or the host, all logits.

    Returns bool (channels,).
    """
    is_last = tensor == network.layers[-1].name
    read = np.full(network.tensor_shape(tensor).channels, is_last, np.bool_)
    for layer in network.layers:
        for source in layer.sources:
            if source.tensor == tensor:
                used = np.any(network.live(source.weights), axis=(2, 3))
                grouped = used.reshape(source.groups, -1, used.shape[1])
                read |= np.any(grouped, axis=1).reshape(-1)
    return read


def build_layers(network: Network, placements: Sequence[Placement]) -> tuple[LayerDesign, ...]:
    """Designs of all layers, given where each is computed."""
    designs: dict[str, LayerDesign] = {}
    for layer, placement in zip(network.layers, placements, strict=True):
        designs[layer.name] = layer_design(network, layer, placement, designs)
    return with_buffers(network, tuple(designs.values()))
