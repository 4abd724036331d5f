"""Why a design is as fast as it is: what every layer's cycles are made of, and what bounds them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np

from jp_hw import golden
from jp_hw.ir import Int
from jp_hw.schedule.allocate import Load, loads
from jp_hw.schedule.assign import assign
from jp_hw.schedule.build import BEAT
from jp_hw.schedule.cycles import simulate_cycles
from jp_hw.schedule.design import Design, LayerDesign

Bound = Literal["MACs", "tokens"]


@dataclass(frozen=True)
class LayerReport:
    """One layer; all figures per image, means over the images.

    channels: output channels (times interleaved columns) per PE. beside: so many taps of a token,
    on a side, lead beside the map and take their cycle, at most. joined: whether its lanes share a
    bus. macs: of all PEs, those within the map; busiest: all MACs of the PE that has most on an image;
    uneven: so many times the mean PE's; drain: cycles in which a PE reads sums out; tokens: cycles of
    the tokens on its slowest bus, row markers included. bound: what its cycles come from. utilization:
    MACs / (PEs x cycles per image). one_more: share of the layer's own cycles that one more PE (or,
    bound by tokens, twice the streams) would save at best, None where there are no more channels.
    """

    name: str
    pes: int
    channels: int
    columns: int
    streams: int
    beside: int
    joined: bool
    macs: float
    busiest: float
    uneven: float
    drain: int
    tokens: float
    bound: Bound
    utilization: float
    one_more: float | None

    @property
    def cycles(self) -> float:
        """Least cycles per image that the layer needs on its own."""
        return max(self.busiest + self.drain, self.tokens)


@dataclass(frozen=True)
class Explanation:
    """A design on real images.

    cycles, p99, worst: distance of consecutive frames in the cycle simulation, mean, 99th percentile
    and greatest. input: cycles that the input's beats take. slowest: the layer that needs most.
    """

    images: int
    cycles: float
    p99: float
    worst: int
    input: int
    utilization: float
    slowest: str
    layers: tuple[LayerReport, ...]

    def to_json(self) -> dict[str, object]:
        """Plain data; of every layer also its cycles."""
        values = asdict(self)
        values["layers"] = [asdict(layer) | {"cycles": layer.cycles} for layer in self.layers]
        return values


def explain(design: Design, images: np.ndarray) -> Explanation:
    """Explain a design by its cycles on images, integers (n, height, width, channels)."""
    tensors = golden.tensors(design.computed, images)
    every = loads(design.computed, tensors, design.beside)
    useful = [float(load.work.sum(1).mean()) for load in loads(design.computed, tensors)]
    report = simulate_cycles(design, images)
    gaps = np.diff(report.end_cycles) if len(images) > 1 else report.end_cycles
    streams = {layer.name: len(layer.streams) for layer in design.layers}
    layers = tuple(
        _layer(load, macs, layer, columns, streams, report.cycles_per_image)
        for load, macs, layer, columns in zip(
            every, useful, design.layers, design.columns, strict=True
        )
    )
    macs = sum(layer.macs for layer in layers)
    return Explanation(
        len(images),
        report.cycles_per_image,
        float(np.percentile(gaps, 99)),
        int(gaps.max()),
        -(-design.network.input.shape.size // BEAT),
        macs / (design.pes * report.cycles_per_image),
        max(layers, key=lambda layer: layer.cycles).name,
        layers,
    )


def _layer(
    load: Load,
    macs: float,
    layer: LayerDesign,
    columns: int,
    streams: Mapping[str, int],
    cycles: float,
) -> LayerReport:
    drain = load.drained(layer.slots)
    work, (tokens, tensor) = (
        load.pe_cycles(layer.channel_of),
        load.token_cycles(streams, joined=layer.joined),
    )
    bound: Bound = "MACs" if work >= tokens else "tokens"
    return LayerReport(
        layer.name,
        layer.pes,
        layer.slots,
        columns,
        len(layer.streams),
        layer.beside,
        layer.joined,
        macs,
        work - drain,
        (work - drain) * layer.pes / max(float(load.work.sum(1).mean()), 1.0),
        drain,
        tokens,
        bound,
        macs / (layer.pes * cycles),
        _one_more(load, layer, bound, streams, tensor),
    )


def _one_more(
    load: Load, layer: LayerDesign, bound: Bound, streams: Mapping[str, int], tensor: str
) -> float | None:
    """Share of the layer's cycles saved by a PE more, or by twice the streams of what it waits for."""
    more, wider, joined = dict(streams), layer.channel_of, layer.joined
    if bound == "tokens":
        if tensor not in more:
            return None  # the input has one stream
        more[tensor] *= 2
    elif layer.pes == load.work.shape[1]:
        return None
    else:
        wider = assign(load.work, layer.pes + 1)

    def cycles(channel_of: Int, streams: Mapping[str, int]) -> float:
        tokens, _ = load.token_cycles(streams, joined=joined)
        return max(load.pe_cycles(channel_of), tokens)

    return max(0.0, 1.0 - cycles(wider, more) / cycles(layer.channel_of, streams))
