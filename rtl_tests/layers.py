"""Scheduled layers for the bench of jp_layer: kinds of geometry, a top, tokens and their winners."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from jp_hw.emit.rtl import lane_parameters
from jp_hw.golden import requantize
from jp_hw.ir import INPUT, Input, Int, Layer, Network, Shape, Source
from jp_hw.schedule.build import layer_design
from jp_hw.schedule.design import LayerDesign
from rtl_tests.common import memory_text
from rtl_tests.networks import convolve, random_rule, random_values, random_weights


@dataclass(frozen=True)
class Kind:
    """A layer that reads the input, and perhaps (shortcut) an earlier layer of the output's size."""

    input: Shape
    output: Shape
    kernel: tuple[int, int]
    pes: int
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    shortcut: bool = False
    leaky: bool = False
    last: bool = False
    theta: int = 2
    fifo_depth: int = 16
    winner_depth: int = 16


def place(rng: np.random.Generator, channels: int, pes: int) -> Int:
    """Channels spread at random over the slots of PEs."""
    slots = -(-channels // pes)
    channel_of = np.full(pes * slots, -1, np.int64)
    channel_of[rng.permutation(pes * slots)[:channels]] = rng.permutation(channels)
    return channel_of.reshape(pes, slots)


def physical(channel_of: Int) -> Int:
    """Physical channel of every channel."""
    order = np.argsort(channel_of.reshape(-1), kind="stable")
    return order[(channel_of < 0).sum() :]


class Scheduled:
    """A random layer of a kind: its network, its design, and the design of what it reads."""

    def __init__(self, kind: Kind, seed: int) -> None:
        self.rng = rng = np.random.default_rng(seed)
        self.kind = kind
        shape, out = kind.input, kind.output
        weights = random_weights(rng, out.channels, shape.channels // kind.groups, *kind.kernel)
        sources = [Source(INPUT, weights, kind.stride, kind.padding, kind.dilation, kind.groups)]
        rule = random_rule(rng, out.channels, 20_000, leaky=kind.leaky, theta=kind.theta)
        layers = []
        if kind.shortcut:
            before = random_weights(rng, out.channels, shape.channels, 1, 1)
            source = Source(INPUT, before, kind.stride)
            layers.append(
                Layer("before", (source,), rng.integers(-99, 99, out.channels), out, rule)
            )
            sources.append(Source("before", random_weights(rng, out.channels, out.channels, 1, 1)))
        bias = rng.integers(-5000, 5000, out.channels)
        layers.append(Layer("layer", tuple(sources), bias, out, None if kind.last else rule))
        if not kind.last:
            final = random_weights(rng, 2, out.channels, out.height, out.width)
            layers.append(
                Layer("end", (Source("layer", final),), np.zeros(2, np.int64), Shape(1, 1, 2), None)
            )
        samples = random_values(
            rng, 1, shape.height, shape.width, shape.channels, signed=kind.leaky
        )
        self.network = Network("n", Input(shape, signed=kind.leaky), tuple(layers), samples)
        designs: dict[str, LayerDesign] = {}
        for layer in layers:
            if layer.name != "end":
                pes = kind.pes if layer.name == "layer" else 2
                channel_of = place(rng, layer.output.channels, pes)
                designs[layer.name] = layer_design(self.network, layer, channel_of, designs)
        self.layer = next(layer for layer in layers if layer.name == "layer")
        self.design = designs["layer"]
        self.inputs = {INPUT: np.arange(shape.channels)}
        if kind.shortcut:
            self.inputs["before"] = physical(designs["before"].channel_of)

    def frames(self, count: int) -> list[dict[str, Any]]:
        """Random frames: tokens by lane and row, winners by row, MACs; words as the hardware's."""
        return [self.frame([0.4, 1.0, 0.0][i % 3]) for i in range(count)]

    def frame(self, density: float) -> dict[str, Any]:
        total, macs, lanes = np.zeros(1, np.int64), 0, []
        for source, lane in zip(self.layer.sources, self.design.lanes, strict=True):
            shape = self.network.tensor_shape(source.tensor)
            values = random_values(
                self.rng,
                shape.height,
                shape.width,
                shape.channels,
                signed=self.kind.leaky,
                density=density,
            )
            total = total + convolve(source, values, self.layer.output)
            ones = Source(
                source.tensor,
                (source.weights != 0).astype(np.int64),
                source.stride,
                source.padding,
                source.dilation,
                source.groups,
            )
            macs += int(convolve(ones, (values != 0).astype(np.int64), self.layer.output).sum())
            form, channel = lane.token, self.inputs[source.tensor]
            lanes.append(
                [
                    [
                        ((int(channel[c]) << form.x_bits | int(x)) << form.value_bits)
                        | int(values[y, x, c]) & ((1 << form.value_bits) - 1)
                        for x, c in np.argwhere(values[y])
                    ]
                    for y in range(shape.height)
                ]
            )
        if self.layer.requantize is None:
            wins = np.ones(total.shape, bool)
        else:
            # what the layer after it does not read stays inside
            read = (self.network.layers[-1].sources[0].weights != 0).any((0, 2, 3))
            wins = (requantize(self.layer.requantize, total, self.layer.bias) != 0) & read
        d, where = self.design, physical(self.design.channel_of)
        rows = [
            sorted(
                ((int(where[k]) << d.output_x_bits | int(x)) << d.accumulator_bits)
                | int(total[y, x, k]) & ((1 << d.accumulator_bits) - 1)
                for x, k in np.argwhere(wins[y])
            )
            for y in range(d.out_height)
        ]
        return {"lanes": lanes, "rows": rows, "macs": macs}

    def files(self) -> dict[str, str]:
        memories = {
            f"mem/{m.name}.mem": memory_text(m.words, m.width) for m in self.design.memories
        }
        return {**memories, "layer_top.sv": top(self.design, self.kind)}


def top(d: LayerDesign, kind: Kind) -> str:
    """jp_layer with its parameters; the lanes' tables are too wide for a simulator's command line."""
    stride = max(lane.token.width for lane in d.lanes)
    values = {
        "Prefix": '"mem/layer"',
        "Lanes": len(d.lanes),
        "Pes": d.pes,
        "TokenStride": stride,
        "ValueBits": d.lanes[0].token.value_bits,
        "ValueSigned": int(kind.leaky),
        "ColumnBits": d.column_bits,
        "Columns": d.pointers[0].depth,
        "RingBits": d.ring_bits,
        "FrameStep": d.frame_step,
        "StartBits": d.pointers[0].fields[0].bits,
        "MoreBits": d.pointers[0].fields[1].bits,
        "WeightBits": d.weights[0].fields[0].bits,
        "OffsetBits": d.weights[0].fields[1].bits,
        "Entries": d.weights[0].depth,
        "AccBits": d.accumulator_bits,
        "Slots": d.slots,
        "OutWidth": d.out_width,
        "OutHeight": d.out_height,
        "ChannelBits": d.channel_bits,
        "OutXBits": d.output_x_bits,
        "TwoSided": int(kind.leaky and not kind.last),
        "FifoDepth": kind.fifo_depth,
        "WinnerDepth": kind.winner_depth,
        **dict(lane_parameters(d)),
    }
    listed = ", ".join(f".{name}({value})" for name, value in values.items())
    return f"""module layer_top (
    input logic clk_i, input logic rst_ni,
    input logic [{len(d.lanes) - 1}:0] token_valid_i, output logic [{len(d.lanes) - 1}:0] token_ready_o,
    input logic [{len(d.lanes) * stride - 1}:0] token_i,
    output logic winner_valid_o, input logic winner_ready_i,
    output logic [{d.winner_width - 1}:0] winner_o, output logic [159:0] counters_o
);
  jp_layer #({listed}) u_layer (.*);
endmodule
"""
