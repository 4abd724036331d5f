"""Scheduled layers for the bench of jp_layer: kinds of geometry, a top, tokens and their winners."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from jp_hw.emit.rtl import layer_parameters, packed_parameters
from jp_hw.golden import pool, requantize
from jp_hw.ir import INPUT, Input, Int, Layer, Network, Pool, Shape, Source
from jp_hw.schedule.build import Placement, layer_design
from jp_hw.schedule.design import Lane, LayerDesign
from rtl_tests.common import memory_text
from rtl_tests.networks import convolve, random_rule, random_values, random_weights


@dataclass(frozen=True)
class Kind:
    """A layer that reads the input, and perhaps (shortcut) an earlier layer of its sums' size.

    output: after pooling. mixed: the shortcut is signed, the input is not. before_streams: in how
    many streams the shortcut comes; streams: in how many the layer's own winners leave.
    """

    input: Shape
    output: Shape
    kernel: tuple[int, int]
    pes: int
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    pool: Pool | None = None
    shortcut: bool = False
    leaky: bool = False
    mixed: bool = False
    streams: int = 1
    before_streams: int = 1
    last: bool = False
    theta: int = 2
    fifo_depth: int = 16
    winner_depth: int = 16
    paired_roms: bool = False
    block_ring: bool = False
    joined: bool = False
    share: int = 1

    @property
    def map(self) -> Shape:
        return Shape(*self.pool.size, self.output.channels) if self.pool else self.output


def place(rng: np.random.Generator, channels: int, pes: int) -> Int:
    """Channels spread at random over the slots of PEs."""
    slots = -(-channels // pes)
    channel_of = np.full(pes * slots, -1, np.int64)
    channel_of[rng.permutation(pes * slots)[:channels]] = rng.permutation(channels)
    return channel_of.reshape(pes, slots)


def by_stream(design: LayerDesign) -> list[dict[int, int]]:
    """Per output stream, the physical channel of every channel that leaves there."""
    found = []
    for stream in design.streams:
        own = design.channel_of[stream.first_pe : stream.first_pe + stream.pes].reshape(-1)
        found.append({int(k): i for i, k in enumerate(own) if k >= 0})
    return found


class Scheduled:
    """A random layer of a kind: its network, its design, and the design of what it reads."""

    def __init__(self, kind: Kind, seed: int) -> None:
        self.rng = rng = np.random.default_rng(seed)
        self.kind = kind
        shape, out = kind.input, kind.output.channels
        weights = random_weights(rng, out, shape.channels // kind.groups, *kind.kernel)
        sources = [Source(INPUT, weights, kind.stride, kind.padding, kind.dilation, kind.groups)]
        rule = random_rule(rng, out, 20_000, leaky=kind.leaky, theta=kind.theta)
        layers = []
        if kind.shortcut:
            first = Source(INPUT, random_weights(rng, out, shape.channels, 1, 1), kind.stride)
            other = random_rule(rng, out, 20_000, leaky=kind.leaky or kind.mixed)
            layers.append(Layer("before", (first,), rng.integers(-99, 99, out), kind.map, other))
            sources.append(Source("before", random_weights(rng, out, out, 1, 1)))
        bias = rng.integers(-5000, 5000, out)
        own = Layer(
            "layer", tuple(sources), bias, kind.output, None if kind.last else rule, pool=kind.pool
        )
        layers.append(own)
        if not kind.last:
            final = random_weights(rng, 2, out, kind.output.height, kind.output.width)
            end = (Source("layer", final),)
            layers.append(Layer("end", end, np.zeros(2, np.int64), Shape(1, 1, 2), None))
        samples = random_values(
            rng, 1, shape.height, shape.width, shape.channels, signed=kind.leaky
        )
        self.network = Network("n", Input(shape, signed=kind.leaky), tuple(layers), samples)
        designs: dict[str, LayerDesign] = {}
        for layer in layers:
            if layer.name != "end":
                ours = layer.name == "layer"
                placement = Placement(
                    place(rng, out, kind.pes if ours else min(out, 1 + kind.before_streams)),
                    kind.streams if ours else kind.before_streams,
                    joined=ours and kind.joined,
                    share=kind.share if ours else 1,
                )
                designs[layer.name] = layer_design(self.network, layer, placement, designs)
        self.layer, self.design, self.designs = own, designs["layer"], designs

    def frames(self, count: int) -> list[dict[str, Any]]:
        """Random frames: tokens by lane and row, winners by stream and row, MACs."""
        return [self.frame([0.4, 1.0, 0.0][i % 3]) for i in range(count)]

    def frame(self, density: float) -> dict[str, Any]:
        kind, size = self.kind, self.layer.map
        total, macs = np.zeros(1, np.int64), np.zeros(1, np.int64)
        values: dict[str, Int] = {}
        for source in self.layer.sources:
            shape = self.network.tensor_shape(source.tensor)
            signed = self.network.tensor_limits(source.tensor)[0] < 0
            values[source.tensor] = random_values(
                self.rng, shape.height, shape.width, shape.channels, signed=signed, density=density
            )
            total = total + convolve(source, values[source.tensor], size)
            ones = Source(
                source.tensor, (source.weights != 0).astype(np.int64), source.stride,
                source.padding, source.dilation, source.groups,
            )  # fmt: skip
            macs = macs + convolve(ones, (values[source.tensor] != 0).astype(np.int64), size)
        if kind.pool is not None:
            macs = macs * looked_at(kind.pool, kind.output)[:, :, None]
            total = pool(kind.pool, total[None], kind.output)[0]
        if self.layer.requantize is None:
            wins = np.ones(total.shape, bool)
        else:
            # what the layer after it does not read stays inside
            read = (self.network.layers[-1].sources[0].weights != 0).any((0, 2, 3))
            wins = (requantize(self.layer.requantize, total, self.layer.bias) != 0) & read
        return {
            "lanes": [self.tokens(lane, values[lane.tensor]) for lane in self.design.lanes],
            "streams": self.winners(total, wins),
            "macs": int(macs.sum()),
        }

    def tokens(self, lane: Lane, values: Int) -> list[list[int]]:
        """Words of one lane, by row."""
        form = lane.token
        channel = {c: c for c in range(values.shape[2])}
        if lane.tensor != INPUT:
            channel = by_stream(self.designs[lane.tensor])[lane.stream]
        return [
            [
                ((channel[int(c)] << form.x_bits | int(x)) << form.value_bits)
                | int(values[y, x, c]) & ((1 << form.value_bits) - 1)
                for x, c in np.argwhere(values[y])
                if int(c) in channel
            ]
            for y in range(len(values))
        ]

    def winners(self, total: Int, wins: np.ndarray) -> list[list[list[int]]]:
        """Words of every stream, by row."""
        d = self.design
        return [
            [
                sorted(
                    ((where[int(k)] << d.output_x_bits | int(x)) << d.accumulator_bits)
                    | int(total[y, x, k]) & ((1 << d.accumulator_bits) - 1)
                    for x, k in np.argwhere(wins[y])
                    if int(k) in where
                )
                for y in range(d.out_height)
            ]
            for where in by_stream(d)
        ]

    def files(self) -> dict[str, str]:
        memories = {
            f"mem/{m.name}.mem": memory_text(m.words, m.width)
            for m in replace(self.design, paired_roms=self.kind.paired_roms).memories
        }
        return {**memories, "layer_top.sv": top(self.design, self.kind)}


def looked_at(rule: Pool, output: Shape) -> Int:
    """1 for every sum that some window contains, (height, width)."""
    found = np.zeros(rule.size, np.int64)
    for y, x in np.ndindex(output.height, output.width):
        top, left = (at * rule.stride[i] - rule.padding[i] for i, at in enumerate((y, x)))
        found[max(top, 0) : top + rule.window[0], max(left, 0) : left + rule.window[1]] = 1
    return found


def top(d: LayerDesign, kind: Kind) -> str:
    """jp_layer with its parameters, and ports of their own for every stream.

    Tables of lanes are too wide for a simulator's command line.
    """
    stride, streams = max(lane.token.width for lane in d.lanes), len(d.streams)
    values = {
        "Prefix": '"mem/layer"',
        "Lanes": len(d.lanes),
        "Pes": d.pes,
        "TokenStride": stride,
        "Streams": streams,
        **dict(packed_parameters(d)),
        **dict(layer_parameters(d)),
        "FifoDepth": kind.fifo_depth,
        "WinnerDepth": kind.winner_depth,
        "PairedRoms": int(kind.paired_roms),
        "BlockRing": int(kind.block_ring),
    }
    listed = ", ".join(f".{name}({value})" for name, value in values.items())
    width = d.winner_width
    ports = "".join(
        f"""
    output logic winner{s}_valid_o, input logic winner{s}_ready_i,
    output logic [{width - 1}:0] winner{s}_o,"""
        for s in range(streams)
    )
    names = ["".join(f"winner{s}_{suffix}, " for s in reversed(range(streams)))[:-2]
             for suffix in ("valid_o", "ready_i", "o")]  # fmt: skip
    return f"""module layer_top (
    input logic clk_i, input logic rst_ni,
    input logic [{len(d.lanes) - 1}:0] token_valid_i, output logic [{len(d.lanes) - 1}:0] token_ready_o,
    input logic [{len(d.lanes) * stride - 1}:0] token_i,{ports}
    output logic [159:0] counters_o
);
  jp_layer #({listed}) u_layer (
      .clk_i, .rst_ni, .token_valid_i, .token_ready_o, .token_i, .counters_o,
      .winner_valid_o({{{names[0]}}}), .winner_ready_i({{{names[1]}}}), .winner_o({{{names[2]}}})
  );
endmodule
"""
