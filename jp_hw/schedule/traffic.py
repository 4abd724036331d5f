"""What really flows through a design on given images: the input of the cycle simulation.

A token has an *id*: in the input, frame by frame, its byte's place; behind a layer, the place of its
accumulator in the order PE, output row (frames end to end), x, slot.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jp_hw import golden
from jp_hw.ir import INPUT, Int, Network, Shape
from jp_hw.schedule.build import BEAT, MARKER_COLUMN, channels_read
from jp_hw.schedule.design import Design, Lane, LayerDesign, Memory


@dataclass(frozen=True)
class LaneTraffic:
    """One lane's part.

    columns: int64 (ids,), the column of every id of the lane's tensor, -1 where there is none;
    lengths: int64 (columns, pes), entries of each column, whole and cut, in each PE; completed: int64
    (input rows,), output rows complete after each input row.
    """

    columns: Int
    lengths: Int
    completed: Int


@dataclass(frozen=True)
class LayerTraffic:
    """One layer's part. won: bool (ids,), whether an accumulator becomes a token."""

    lanes: tuple[LaneTraffic, ...]
    won: np.ndarray


@dataclass(frozen=True)
class Traffic:
    """Input events and layers.

    beats: int64 (frames, beats, 1 + events): number of events, then each event's id, MARKER_COLUMN
    for a row's end.
    """

    beats: Int
    layers: tuple[LayerTraffic, ...]


def field(memory: Memory, name: str) -> Int:
    """Values of one field of a memory."""
    return next(v for f, v in zip(memory.fields, memory.values, strict=True) if f.name == name)


def traffic(design: Design, images: np.ndarray) -> Traffic:
    """Traffic of a batch of images through a design."""
    return of_layers(design.computed, design.layers, design.input_keep, images)


def of_layers(
    network: Network, layers: Sequence[LayerDesign], keep: Memory, images: np.ndarray
) -> Traffic:
    """Traffic of a batch, integers (n, height, width, channels), through scheduled layers."""
    values = golden.tensors(network, images)
    places = {INPUT: _input_places(network.input.shape, len(images))}
    parts = []
    for layer in layers:
        lanes = tuple(
            LaneTraffic(
                column_of(lane, *_in_stream(places[lane.tensor], lane, layers)),
                lengths(layer, lane),
                field(lane.rows, "completed")[: lane.height],
            )
            for lane in layer.lanes
        )
        won = network.live(values[layer.name]) & channels_read(network, layer.name)
        if layer.requantize is None:
            won = np.ones(won.shape, np.bool_)
        places[layer.name] = _places(layer, len(images))
        parts.append(LayerTraffic(lanes, _drained(layer, won)))
    return Traffic(_beats(keep, network.live(values[INPUT])), tuple(parts))


def lengths(layer: LayerDesign, lane: Lane) -> Int:
    """Entries of each column of a lane in each PE, in the order of its masks, int64 (columns, pes)."""
    own = slice(lane.first_column, lane.first_column + lane.stored)

    def of_pes(name: str) -> Int:
        return np.stack([field(pointer, name)[own] for pointer in layer.pointers], axis=1)

    whole = of_pes("more") + 1
    left = [whole, *(whole - of_pes(name) for name in ("first", "last")[: lane.cuts - 1])]
    mask = np.stack(lane.masks.values, axis=1)[: lane.cuts * lane.stored]
    return np.where(mask != 0, np.concatenate(left), 0)


def column_of(lane: Lane, row: Int, x: Int, channel: Int) -> Int:
    """Place in the masks of tokens' columns, as the dispatcher computes it; -1 where it drops them."""
    live = field(lane.rows, "live")[row] & field(lane.columns, "live")[x]
    column = field(lane.rows, "term")[row] + field(lane.columns, "term")[x] + channel
    if lane.cuts > 1:
        column = column + lane.stored * field(lane.rows, "cut")[row]
    return np.where(live != 0, column, -1)


Places = tuple[Int, Int, Int]
"""Row, x and physical channel (of all PEs) of every id."""


def _input_places(shape: Shape, count: int) -> Places:
    row, x, channel = np.indices((shape.height, shape.width, shape.channels)).reshape(3, -1)
    return np.tile(row, count), np.tile(x, count), np.tile(channel, count)


def _places(layer: LayerDesign, count: int) -> Places:
    size = (layer.pes, count, layer.out_height, layer.out_width, layer.slots)
    pe, _, row, x, slot = np.indices(size).reshape(5, -1)
    return row, x, pe * layer.slots + slot


def _in_stream(places: Places, lane: Lane, layers: Sequence[LayerDesign]) -> Places:
    """Places with channels counted from the lane's stream; 0 for ids of other streams."""
    for layer in layers:
        if layer.name == lane.tensor:
            stream = layer.streams[lane.stream]
            row, x, channel = places
            channel = channel - stream.first_pe * layer.slots
            inside = (channel >= 0) & (channel < stream.pes * layer.slots)
            return row, x, np.where(inside, channel, 0)
    return places


def _drained(layer: LayerDesign, won: np.ndarray) -> np.ndarray:
    """What wins, in the order of ids; won: bool (n, height, width, channels)."""
    slots = won[..., np.maximum(layer.channel_of, 0)] & (layer.channel_of >= 0)
    return np.ascontiguousarray(slots.transpose(3, 0, 1, 2, 4)).reshape(-1)


def _beats(keep: Memory, live: np.ndarray) -> Int:
    """Events of every input beat; live: bool (n, height, width, channels)."""
    count, height, width, channels = live.shape
    size, row_bytes = height * width * channels, width * channels
    kept = np.stack(keep.values, axis=1).reshape(-1)[:size]
    beats_per_frame = -(-size // BEAT)
    # every byte may be followed by a row's end
    present = np.zeros((count, beats_per_frame * BEAT, 2), np.bool_)
    present[:, :size, 0] = live.reshape(count, -1) & (kept != 0)
    present[:, row_bytes - 1 : size : row_bytes, 1] = True
    present = present.reshape(count, beats_per_frame, 2 * BEAT)
    frame, beat, event = np.nonzero(present)
    place = frame * size + beat * BEAT + event // 2
    beats = np.zeros((count, beats_per_frame, 1 + BEAT + -(-BEAT // row_bytes)), np.int64)
    beats[..., 0] = present.sum(-1)
    rank = present.cumsum(-1)[frame, beat, event]
    beats[frame, beat, rank] = np.where(event % 2, MARKER_COLUMN, place)
    return beats
