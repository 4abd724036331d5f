"""How many tokens wait before a layer: enough that no wait is forever, and that bursts do no harm.

Where a tensor is read by several layers whose results meet again, the shorter way is ahead of the longer
one: a residual shortcut brings row 0 when the convolutions beside it still wait for rows 1 and 2
of the same tensor. Until they are done, the layer in which both meet takes no more of the shortcut than
the row it can complete; all later rows that the longer way asks for must find room before it, or the
tensor that both read could not go on. How many rows that is follows from the geometry alone, and
a row has at most width times channels tokens and a marker: the depths hold for any data.

Beyond that a small buffer before every lane evens out the layers' pace: a layer sends a row when it is
complete, in a burst, and a reader that has nothing to do meanwhile never makes up for it. On residual
networks that was a tenth to a sixth of all cycles.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from jp_hw.ir import INPUT, Int, Network
from jp_hw.schedule.design import Lane, LayerDesign
from jp_hw.schedule.estimate import LUT_BUFFER

SLACK = LUT_BUFFER
"""Tokens that find room before a lane, if two rows of it can have so many: LUT RAM holds them."""
WORTH = 64
"""Fewer tokens than that wait in the winner queues just as well."""

Rows = dict[str, Int]
"""Per tensor and row of it, the row of another tensor that must be known (-1: none)."""


def with_buffers(network: Network, layers: tuple[LayerDesign, ...]) -> tuple[LayerDesign, ...]:
    """The layers with every lane's buffer set: what freedom from deadlock asks for, and some slack."""
    readers = Counter(source.tensor for layer in network.layers for source in layer.sources)
    forks = [tensor for tensor, count in readers.items() if count > 1]
    needs = {tensor: _needs(network, layers, tensor) for tensor in forks}
    result = []
    for layer in layers:
        lanes = []
        for lane in layer.lanes:
            row = _row_tokens(lane, layers)
            waits = _rows(layer, lane, needs) * row
            buffer = max(waits, _slack(lane, row, layer.slack))
            lanes.append(replace(lane, waits=waits, buffer=buffer))
        result.append(replace(layer, lanes=tuple(lanes)))
    return tuple(result)


def _slack(lane: Lane, row: int, wanted: int) -> int:
    """Tokens that even out the pace, at least `wanted`: of maps, not of the input or of vectors."""
    slack = max(min(SLACK, 2 * row), wanted)
    return slack if lane.tensor != INPUT and lane.height > 1 and slack >= WORTH else 0


def _row_tokens(lane: Lane, layers: Sequence[LayerDesign]) -> int:
    """Most tokens of one row of a lane, its marker included."""
    for layer in layers:
        if layer.name == lane.tensor:
            stream = layer.streams[lane.stream]
            own = layer.channel_of[stream.first_pe : stream.first_pe + stream.pes]
            return lane.width * int(np.count_nonzero(own >= 0)) + 1
    return lane.width * (1 << lane.token.channel_bits) + 1


def _last_rows(lane: Lane) -> Int:
    """Per output row of its layer the row of the lane that completes it."""
    completed = lane.rows.values[2][: lane.height]
    return np.repeat(np.arange(lane.height), completed)


def _needs(network: Network, layers: Sequence[LayerDesign], tensor: str) -> Rows:
    """Rows of `tensor` that every row of every tensor made from it needs."""
    rows = {tensor: np.arange(network.tensor_shape(tensor).height)}
    for layer in layers:
        found = [rows[lane.tensor][_last_rows(lane)] for lane in layer.lanes if lane.tensor in rows]
        if found and layer.name != tensor:
            rows[layer.name] = np.max(found, axis=0)
    return rows


def _rows(layer: LayerDesign, lane: Lane, needs: Mapping[str, Rows]) -> int:
    """Rows of a lane that can have to wait while another lane of the layer completes an output row.

    Streams of one tensor that complete the same rows never wait for one another: the markers that let
    one of them go on have been sent to the PEs of all.
    """
    most, own = 0, _last_rows(lane)
    for other in layer.lanes:
        if other is lane:
            continue
        for tensor, rows in needs.items():
            if other.tensor in rows and lane.tensor in rows:
                asked = rows[other.tensor][_last_rows(other)]
                # rows of the lane that must be let out before the common tensor's row is taken in: all
                # up to that row of the tensor itself; of one made from it, those that need less
                side: Literal["left", "right"] = "right" if tensor == lane.tensor else "left"
                made = np.searchsorted(rows[lane.tensor], asked, side=side) - 1
                most = max(most, int((made - own).max()))
    return most
