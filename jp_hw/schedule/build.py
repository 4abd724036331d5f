"""From an integer network and a number of PEs per layer to the scheduled layers."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from jp_hw.errors import JpHwError
from jp_hw.ir import INPUT, Int, Layer, Network, Shape
from jp_hw.schedule import columns, thresholds
from jp_hw.schedule.design import Field, LayerDesign, Memory, TokenFormat, bits_for, memory

BEAT = 8
"""Bytes of one beat of the input stream."""
MARKER_COLUMN = -1
"""Stands for a marker where columns are listed, and NO_COLUMN for no token at all."""
NO_COLUMN = -2
FIFO_DEPTH = 16
WINNER_DEPTH = 32
MAX_SUM_BITS = 32


def layer_design(
    network: Network, layer: Layer, channel_of: Int, producers: dict[str, LayerDesign]
) -> LayerDesign:
    """One layer with its output channels placed as channel_of, int64 (pes, slots), says.

    producers: the designs of earlier layers by name; they fix the token formats.
    """
    pes, slots = channel_of.shape
    mapping = columns.Mapping.of(channel_of)
    row_words = layer.output.width * slots
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
    lanes, span = [], 1
    for source in layer.sources:
        shape = network.tensor_shape(source.tensor)
        physical, channels = _physical(source.tensor, shape, producers)
        lane = columns.lane_columns(source, shape, layer.output, physical, channels, mapping)
        span = max(span, lane.rows.span())
        lanes.append(lane)
    ring_bits = bits_for((span + 1) * row_words - 1)
    total = sum(lane.count for lane in lanes)
    firsts = np.cumsum([0, *(lane.count for lane in lanes)])
    pointers, weights = columns.pe_memories(layer.name, lanes, pes, layer.weight_bits)
    return LayerDesign(
        layer.name,
        pes,
        slots,
        channel_of,
        layer.output.height,
        layer.output.width,
        accumulator_bits,
        sum_bits,
        ring_bits,
        tuple(
            columns.lane(
                f"{layer.name}_lane{i}", source, lane, int(first),
                token_format(network, source.tensor, producers), mapping, row_words, ring_bits,
                bits_for(total - 1),
            )
            for i, (source, lane, first) in enumerate(zip(layer.sources, lanes, firsts, strict=False))
        ),
        pointers,
        weights,
        columns.threshold_memories(
            layer, channel_of, accumulator_bits, channels_read(network, layer.name)
        ),
        columns.post_memory(layer, mapping, sum_bits),
        layer.requantize,
        FIFO_DEPTH,
        WINNER_DEPTH,
    )  # fmt: skip


def _physical(tensor: str, shape: Shape, producers: dict[str, LayerDesign]) -> tuple[Int, int]:
    """Physical channel of each channel of a tensor, and how many physical channels there are."""
    if tensor == INPUT:
        return np.arange(shape.channels), shape.channels
    producer = producers[tensor]
    return columns.Mapping.of(producer.channel_of).physical, producer.physical_channels


def token_format(network: Network, tensor: str, producers: dict[str, LayerDesign]) -> TokenFormat:
    """Format of the tokens of a tensor."""
    low, _ = network.tensor_limits(tensor)
    bits = network.tensor_bits(tensor)
    shape = network.tensor_shape(tensor)
    channels = _physical(tensor, shape, producers)[1]
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
                used = np.any(source.weights != 0, axis=(2, 3))
                grouped = used.reshape(source.groups, -1, used.shape[1])
                read |= np.any(grouped, axis=1).reshape(-1)
    return read


def check_chain(network: Network) -> None:
    """Refuse what the generated top cannot wire yet: anything but a chain of layers."""
    before = INPUT
    for layer in network.layers:
        tensors = [source.tensor for source in layer.sources]
        if tensors != [before]:
            raise JpHwError(
                f"layer {layer.name} reads {', '.join(tensors)}; "
                f"only chains of layers can be generated, so it would have to read {before} alone"
            )
        before = layer.name


def build_layers(network: Network, placements: Sequence[Int]) -> tuple[LayerDesign, ...]:
    """Designs of all layers, given every layer's channel_of."""
    designs: dict[str, LayerDesign] = {}
    for layer, channel_of in zip(network.layers, placements, strict=True):
        designs[layer.name] = layer_design(network, layer, channel_of, designs)
    return tuple(designs.values())
