"""The SystemVerilog back end: static modules, a generated top, and memory images as text."""

from dataclasses import dataclass

from jp_hw.ir import INPUT
from jp_hw.ir_file import digest
from jp_hw.registers import register_map
from jp_hw.resources import data_dir
from jp_hw.schedule.design import CUT_BITS, Design, LayerDesign, TokenFormat, bits_for
from jp_hw.templates_env import render, static

TOP = "jp_accelerator"
MEMORY_FOLDER = "mem"
"""Memory images are found relative to the folder that a simulator or a synthesis runs in."""


@dataclass(frozen=True)
class Reader:
    """A lane that reads a token stream: numbers of its layer and lane, and its buffer's depth."""

    layer: int
    lane: int
    buffer: int


@dataclass(frozen=True)
class Wire:
    """One stream of tokens in the top module, and who reads it."""

    name: str
    token: TokenFormat
    readers: tuple[Reader, ...]

    @property
    def width(self) -> int:
        """Bits of a token."""
        return self.token.width


def static_modules() -> list[str]:
    """File names of the hand-written modules, in alphabetical order."""
    return sorted(path.name for path in data_dir("templates").joinpath("rtl").glob("*.sv"))


def rtl_files(design: Design) -> dict[str, str]:
    """Name -> text of everything under `rtl/` of a build folder."""
    files = {f"rtl/{name}": static(f"rtl/{name}") for name in static_modules()}
    files[f"rtl/{TOP}.sv"] = top(design)
    memories = [design.input_keep, design.input_map]
    memories += [memory for layer in design.layers for memory in layer.memories]
    for memory in memories:
        digits = -(-memory.width // 4)
        text = "".join(f"{word:0{digits}x}\n" for word in memory.words)
        files[f"rtl/{MEMORY_FOLDER}/{memory.name}.mem"] = text
    return files


def top(design: Design) -> str:
    """The generated top module."""
    registers = register_map(tuple(layer.name for layer in design.layers))
    wires = token_wires(design)
    return render(
        f"rtl/{TOP}.sv.j2",
        name=TOP,
        design=design,
        network=design.network,
        layers=design.layers,
        digest=digest(design.network),
        mem=MEMORY_FOLDER,
        registers=registers,
        index={register.name: register.index for register in registers},
        addr_bits=max(8, bits_for(registers[-1].offset)),
        wires=list(wires.values()),
        wire_of=wires,
        frames_depth=frames_depth(design),
        packed_parameters=packed_parameters,
        layer_parameters=layer_parameters,
    )


def token_wires(design: Design) -> dict[tuple[str, int], Wire]:
    """All token streams by tensor and stream, the input's first."""
    wires: dict[tuple[str, int], Wire] = {}
    numbers = {INPUT: "tokens_in"} | {
        layer.name: f"tokens_{i}" for i, layer in enumerate(design.layers)
    }
    for i, layer in enumerate(design.layers):
        for j, lane in enumerate(layer.lanes):
            key = (lane.tensor, lane.stream)
            known = wires[key].readers if key in wires else ()
            name = f"{numbers[lane.tensor]}_{lane.stream}"
            wires[key] = Wire(name, lane.token, (*known, Reader(i, j, lane.buffer)))
    return dict(sorted(wires.items(), key=lambda item: item[0][0] != INPUT))


def frames_depth(design: Design) -> int:
    """How many frames can be under way, as a power of two: up to two in every layer, and the ends.

    A frame of a few cycles has many behind it in the pipelines of even one layer.
    """
    return 1 << max(4, bits_for(2 * len(design.layers) + 4))


def packed_parameters(layer: LayerDesign) -> list[tuple[str, str]]:
    """jp_layer's parameters of 32 bits per lane, bus or stream, the last one first."""
    lanes = layer.lanes
    values = {
        "LaneHeight": [lane.height for lane in lanes],
        "LaneWidth": [lane.width for lane in lanes],
        "LaneValueBits": [lane.token.value_bits for lane in lanes],
        "LaneValueSigned": [int(lane.token.value_signed) for lane in lanes],
        "LaneXBits": [lane.token.x_bits for lane in lanes],
        "LaneChannelBits": [lane.token.channel_bits for lane in lanes],
        "LaneFirstColumn": [lane.first_column for lane in lanes],
        "LaneColumns": [lane.stored for lane in lanes],
        "LaneCompletedBits": [lane.rows.fields[2].bits for lane in lanes],
        "LaneTokenWidth": [lane.token.width for lane in lanes],
        "BusColumns": [masks.depth for masks in layer.masks],
        "StreamFirst": [*(stream.first_pe for stream in layer.streams), layer.pes],
    }
    return [
        (name, "{" + ", ".join(f"32'd{number}" for number in reversed(numbers)) + "}")
        for name, numbers in values.items()
    ]


def cut_parameters(layer: LayerDesign) -> dict[str, int]:
    """Those of a layer with columns of which something is cut."""
    if layer.cuts == 1:
        return {}
    first, last = layer.pointers[0].fields[2:]
    return {"CutBits": CUT_BITS, "FirstBits": first.bits, "LastBits": last.bits}


def layer_parameters(layer: LayerDesign) -> list[tuple[str, int]]:
    """jp_layer's other parameters."""
    pool = layer.pool
    pooling = {} if pool is None else {
        "Pool": 1,
        "PoolRows": pool.window[0],
        "PoolCols": pool.window[1],
        "StrideY": pool.stride[0],
        "StrideX": pool.stride[1],
        "PadY": pool.padding[0],
        "PadX": pool.padding[1],
    }  # fmt: skip
    return list(
        {
            "Joined": int(layer.joined),
            "Share": layer.share,
            "ValueBits": layer.value_bits,
            "ValueSigned": int(layer.value_signed),
            "ColumnBits": layer.column_bits,
            "Columns": layer.pointers[0].depth,
            "RingBits": layer.ring_bits,
            "SideBits": 2 * layer.beside_bits,
            "TapBits": layer.tap_bits,
            "MostBeside": layer.most_beside,
            **cut_parameters(layer),
            "FrameStep": layer.frame_step,
            "StartBits": layer.pointers[0].fields[0].bits,
            "MoreBits": layer.pointers[0].fields[1].bits,
            "WeightBits": layer.weights[0].fields[0].bits,
            "OffsetBits": layer.weights[0].fields[1].bits,
            "Entries": layer.weights[0].depth,
            "AccBits": layer.accumulator_bits,
            "PairedRoms": int(layer.paired_roms),
            "BlockRing": int(layer.block_ring),
            "Slots": layer.slots,
            "MapWidth": layer.map_width,
            "MapHeight": layer.map_height,
            "OutWidth": layer.out_width,
            "OutHeight": layer.out_height,
            "ChannelBits": layer.channel_bits,
            "OutXBits": layer.output_x_bits,
            "TwoSided": int(layer.requantize is not None and layer.requantize.signed),
            "FifoDepth": layer.fifo_depth,
            "WinnerDepth": layer.winner_depth,
            **pooling,
        }.items()
    )
