"""The HLS top as a graph: which processes there are, and which FIFOs join them.

A process is a function of the generated `top.cpp` that calls one of the engine's templates. It gets
its FIFOs by name, one parameter each: PandA-Bambu tells them apart by parameter name, and takes
neither arrays nor parameter packs of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jp_hw.errors import JpHwError
from jp_hw.ir import INPUT, Int
from jp_hw.schedule.build import WINNER_DEPTH
from jp_hw.schedule.design import Design, Lane, LayerDesign, Stream, TokenFormat

TOKEN_DEPTH = 16
LINE = 96


@dataclass(frozen=True)
class Fifo:
    """A FIFO of packed words: bits of a word, and how many words it holds."""

    name: str
    width: int
    depth: int

    @property
    def type(self) -> str:
        """Its C++ type."""
        return f"jp::fifo<{self.width}>"


@dataclass(frozen=True)
class Port:
    """A stream of the top's interface."""

    name: str
    type: str


S_AXIS = Port("s_axis", "hls::stream<jp::input_beat>")
M_AXIS = Port("m_axis", "hls::stream<jp::output_beat>")


@dataclass(frozen=True)
class Process:
    """`name` calls the engine's `call` with these FIFOs, in the order of its parameters."""

    name: str
    call: str
    fifos: tuple[Fifo | Port, ...]

    def to_template(self) -> dict[str, str]:
        """Parameter list, inner arguments and outer arguments, wrapped."""
        names = [fifo.name for fifo in self.fifos]
        parameters = [f"{fifo.type}& {fifo.name}" for fifo in self.fifos]
        return {
            "name": self.name,
            "call": self.call,
            "parameters": _wrapped(parameters, len(self.name) + 6),
            "inner": _wrapped(names, len(self.call) + 3),
            "arguments": _wrapped(names, len(self.name) + 3),
        }


def _wrapped(words: Sequence[str], indent: int) -> str:
    """Words with commas, on one line if they fit beside `indent` characters, else below it."""
    line = ", ".join(words)
    if indent + len(line) <= LINE:
        return line
    lines, current = [], ""
    for word in words:
        if current and 4 + len(current) + len(word) + 3 > LINE:
            lines.append(current.rstrip())
            current = ""
        current += f"{word}, "
    return "\n    " + "\n    ".join([*lines, current.rstrip(" ,")])


@dataclass(frozen=True)
class Passage:
    """Tokens that go through unchanged: copied to several readers, or held back for one of them.

    words: how many can be held, a power of two. accepted: before row i leaves, so many rows must have
    come; for a compiler whose reads cannot fail, see `_accepted`.
    """

    name: str
    token: TokenFormat
    height: int
    words: int = 1
    accepted: tuple[int, ...] = ()


@dataclass(frozen=True)
class Dataflow:
    """Everything between the two AXI streams, in the order in which a frame passes it."""

    fifos: tuple[Fifo, ...]
    processes: tuple[Process, ...]
    passages: tuple[Passage, ...]


class _Builder:
    """Collects FIFOs and processes."""

    def __init__(self, design: Design, names: Sequence[str]) -> None:
        self.design = design
        self.name_of = {layer.name: name for layer, name in zip(design.layers, names, strict=True)}
        self.clock = _clock(design)
        self.fifos: list[Fifo] = []
        self.processes: list[Process] = []
        self.passages: list[Passage] = []
        self.sources: dict[tuple[str, int], Fifo] = {}  # what a layer's lane reads

    def fifo(self, name: str, width: int, depth: int) -> Fifo:
        """A new FIFO."""
        self.fifos.append(Fifo(name, width, depth))
        return self.fifos[-1]

    def process(self, name: str, call: str, *fifos: Fifo | Port) -> None:
        """A new process."""
        self.processes.append(Process(name, call, fifos))

    def produce(
        self, tensor: tuple[str, int], name: str, process: str, call: str, *inputs: Fifo | Port
    ) -> None:
        """A process that makes the tokens of a tensor's stream, and their way to every reader."""
        readers = [
            (layer, i, lane)
            for layer in self.design.layers
            for i, lane in enumerate(layer.lanes)
            if (lane.tensor, lane.stream) == tensor
        ]
        if not readers:
            raise JpHwError(f"nothing reads {tensor[0]}; take it out of the network")
        lane = readers[0][2]
        tokens = self.fifo(f"{name}_tokens", lane.token.width, TOKEN_DEPTH)
        self.process(process, call, *inputs, tokens)
        copies = [tokens]
        if len(readers) > 1:
            copies = [
                self.fifo(f"{name}_copy{number}", lane.token.width, TOKEN_DEPTH)
                for number in range(len(readers))
            ]
            self.passages.append(Passage(f"{name}_fork_of", lane.token, lane.height))
            self.process(f"{name}_fork", f"jp::copy<{name}_fork_of>", tokens, *copies)
        for (layer, i, _), copy in zip(readers, copies, strict=True):
            self.sources[layer.name, i] = self.held(layer, i, copy)

    def held(self, layer: LayerDesign, number: int, tokens: Fifo) -> Fifo:
        """The FIFO that a lane reads: one more, if tokens must wait there for other lanes."""
        lane = layer.lanes[number]
        if number == 0 and lane.waits <= TOKEN_DEPTH:
            return tokens
        name = f"{self.name_of[layer.name]}_lane{number}"
        accepted = _accepted(layer, number, self.clock)
        # rows that are there at once, and each with all tokens that it can have
        rows = int((accepted - np.arange(lane.height)).max())
        words = 1 << (rows * ((lane.width << lane.token.channel_bits) + 1) - 1).bit_length()
        self.passages.append(
            Passage(f"{name}_hold_of", lane.token, lane.height, words, tuple(accepted.tolist()))
        )
        depth = max(TOKEN_DEPTH, 1 << max(lane.waits - 1, 0).bit_length())
        held = self.fifo(f"{name}_held", lane.token.width, depth)
        self.process(f"{name}_hold", f"jp::hold<{name}_hold_of>", tokens, held)
        return held

    def layer(self, layer: LayerDesign) -> list[Fifo]:
        """A layer from its lanes to its merged winners, one FIFO of them for each output stream."""
        name = self.name_of[layer.name]
        start, more = layer.pointers[0].fields[:2]
        common_bits = layer.value_bits + layer.ring_bits + 2 * layer.beside_bits + 1
        command_bits = common_bits + layer.cut_bits + layer.pointer_bits
        job_bits = common_bits + start.bits + more.bits
        commands = [
            [
                self.fifo(f"{name}_lane{i}_pe{p:03}", command_bits, layer.fifo_depth)
                for p in range(layer.pes)
            ]
            for i in range(len(layer.lanes))
        ]
        for i, own in enumerate(commands):
            lane = f"{name}_lane{i}"
            source = self.sources[layer.name, i]
            self.process(f"{lane}_dispatch", f"jp::dispatch<{lane}>", source, *own)
        winners = []
        for p in range(layer.pes):
            pe = f"{name}_pe{p:03}"
            jobs = self.fifo(f"{pe}_jobs", job_bits, 2)
            winners.append(self.fifo(f"{pe}_winners", layer.winner_width, WINNER_DEPTH))
            lanes = (own[p] for own in commands)
            self.process(f"{pe}_fetch", f"jp::fetch<{pe}>", jobs, *lanes)
            self.process(f"{pe}_accumulate", f"jp::accumulate<{pe}>", jobs, winners[-1])
        return [
            self.merge(f"{name}_out{i}", layer, stream, winners)
            for i, stream in enumerate(layer.streams)
        ]

    def merge(self, name: str, layer: LayerDesign, stream: Stream, winners: Sequence[Fifo]) -> Fifo:
        """The winners of a stream's PEs in one FIFO."""
        merged = self.fifo(f"{name}_merged", layer.winner_width, 2)
        own = winners[stream.first_pe : stream.first_pe + stream.pes]
        self.process(f"{name}_merge", f"jp::merge<{name}>", merged, *own)
        return merged


def _last_rows(lane: Lane) -> Int:
    """Per output row of its layer the row of the lane that completes it."""
    return np.repeat(np.arange(lane.height), lane.rows.values[2][: lane.height])


def _clock(design: Design) -> dict[str, Int]:
    """Per tensor and row of it, the row of the input after which it can be complete."""
    clock = {INPUT: np.arange(design.network.input.shape.height)}
    for layer in design.layers:
        rows = [clock[lane.tensor][_last_rows(lane)] for lane in layer.lanes]
        clock[layer.name] = np.max(rows, axis=0)
    return clock


def _accepted(layer: LayerDesign, number: int, clock: dict[str, Int]) -> Int:
    """How many rows of a lane must have come before row i of it may wait to be taken.

    PEs take from the lanes before this one first, up to the marker of an output row. Until that has
    come, this lane's rows must find room here as they come, or the tensors that both are made
    from could not go on: all rows that can be complete at the time at which those lanes are.
    """
    lane = layer.lanes[number]
    own = clock[lane.tensor]
    before = [clock[other.tensor][_last_rows(other)] for other in layer.lanes[:number]]
    accepted = np.arange(1, lane.height + 1)
    if before:
        until = np.max(before, axis=0)  # per output row
        of_row = np.searchsorted(_last_rows(lane), np.arange(lane.height), side="left")
        inside = of_row < len(until)
        come = np.searchsorted(own, until, side="right")
        accepted[inside] = np.maximum(accepted[inside], come[of_row[inside]])
    return accepted


def dataflow(design: Design, names: Sequence[str]) -> Dataflow:
    """The graph of a design; names: C++ identifiers of its layers, in order."""
    builder = _Builder(design, names)
    groups = builder.fifo("input_groups", 64, 2)
    lives = builder.fifo("input_lives", 8, 2)
    # one word per frame that is somewhere between the two ends
    errors = builder.fifo("input_errors", 1, 4 * len(names) + 4)
    builder.process("input_align", "jp::align<input_port>", S_AXIS, groups, lives, errors)
    tokenize = "input_tokenize", "jp::tokenize<input_port>"
    builder.produce((INPUT, 0), INPUT, *tokenize, groups, lives)
    for layer, name in zip(design.layers, names, strict=True):
        for i, merged in enumerate(builder.layer(layer)):
            out = f"{name}_out{i}"
            if layer.requantize is None:
                builder.process(f"{out}_logits", f"jp::logits<{out}>", merged, errors, M_AXIS)
            else:
                call = f"{out}_requantize", f"jp::requantize<{out}>"
                builder.produce((layer.name, i), out, *call, merged)
    return Dataflow(tuple(builder.fifos), tuple(builder.processes), tuple(builder.passages))
