"""What really flows through a design on given images: the input of the cycle simulation."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jp_hw import golden
from jp_hw.ir import INPUT, Int, Network
from jp_hw.schedule.build import BEAT, MARKER_COLUMN, NO_COLUMN, channels_read
from jp_hw.schedule.design import Design, Lane, LayerDesign, Memory


@dataclass(frozen=True)
class LayerTraffic:
    """One layer's part.

    lengths: int64 (columns, pes), entries of each column in each PE.
    completed: int64 (input rows,), output rows complete after each input row.
    winners: int64 (pes, frames * output rows, row words), in drain order: the column that a drained
    accumulator becomes in the next layer (0 in the last layer), NO_COLUMN where it does not win.
    """

    lengths: Int
    completed: Int
    winners: Int


@dataclass(frozen=True)
class Traffic:
    """Input events and layers.

    beats: int64 (frames, beats, 1 + events): number of events, then each event's column in the first
    layer, MARKER_COLUMN for a row's end.
    """

    beats: Int
    layers: tuple[LayerTraffic, ...]


def field(memory: Memory, name: str) -> Int:
    """Values of one field of a memory."""
    return next(v for f, v in zip(memory.fields, memory.values, strict=True) if f.name == name)


def traffic(design: Design, images: np.ndarray) -> Traffic:
    """Traffic of a batch of images through a design."""
    return of_layers(design.network, design.layers, design.input_keep, images)


def of_layers(
    network: Network, layers: Sequence[LayerDesign], keep: Memory, images: np.ndarray
) -> Traffic:
    """Traffic of a batch, integers (n, height, width, channels), through scheduled layers."""
    values = golden.tensors(network, images)
    parts = []
    for i, layer in enumerate(layers):
        after = layers[i + 1] if i + 1 < len(layers) else None
        completed = field(layer.lanes[0].rows, "completed")[: layer.lanes[0].height]
        sent = values[layer.name] * channels_read(network, layer.name)
        parts.append(LayerTraffic(lengths(layer), completed, _winners(layer, after, sent)))
    return Traffic(_beats(layers[0].lanes[0], keep, values[INPUT]), tuple(parts))


def lengths(layer: LayerDesign) -> Int:
    """Entries of each column of a layer's first lane in each PE, int64 (columns, pes)."""
    lane = layer.lanes[0]
    mask = np.stack(lane.masks.values, axis=1)
    more = np.stack([field(pointer, "more") for pointer in layer.pointers], axis=1)
    own = slice(lane.first_column, lane.first_column + len(mask))
    return np.where(mask != 0, more[own] + 1, 0)


def column_of(lane: Lane, row: Int, x: Int, channel: Int) -> Int:
    """Column of tokens, as the dispatcher computes it."""
    return field(lane.rows, "term")[row] + field(lane.columns, "term")[x] + channel


def _winners(layer: LayerDesign, after: LayerDesign | None, values: Int) -> Int:
    """Winners in drain order; values: (n, height, width, channels), 0 where nothing is sent."""
    count, height, width = values.shape[:3]
    used = layer.channel_of >= 0
    won = np.full((count, height, layer.pes, width, layer.slots), NO_COLUMN, np.int64)
    slots = values[..., np.maximum(layer.channel_of, 0)].transpose(0, 1, 3, 2, 4)
    live = np.broadcast_to(used[None, None, :, None, :], won.shape)
    if after is None:
        won[live] = 0
    else:
        _, rows, pe, x, slot = np.indices(won.shape, sparse=True)
        column = column_of(after.lanes[0], rows, x, pe * layer.slots + slot)
        won = np.where(live & (slots != 0), column, won)
    return won.transpose(2, 0, 1, 3, 4).reshape(layer.pes, count * height, width * layer.slots)


def _beats(lane: Lane, keep: Memory, values: Int) -> Int:
    """Events of every input beat."""
    count, height, width, channels = values.shape
    kept = np.stack(keep.values, axis=1).reshape(-1)[: height * width * channels]
    flat = values.reshape(count, -1) * kept
    place = np.arange(height * width * channels)
    row, x, channel = np.unravel_index(place, (height, width, channels))
    column = column_of(lane, row, x, channel)
    number = -(-len(place) // BEAT)
    row_bytes = width * channels
    most = BEAT + -(-BEAT // row_bytes)
    beats = np.zeros((count, number, 1 + most), np.int64)
    for n in range(count):
        for b in range(number):
            events = []
            for i in range(b * BEAT, min((b + 1) * BEAT, len(place))):
                if flat[n, i]:
                    events.append(column[i])
                if (i + 1) % row_bytes == 0:
                    events.append(MARKER_COLUMN)
            beats[n, b, 0] = len(events)
            beats[n, b, 1 : 1 + len(events)] = events
    return beats
