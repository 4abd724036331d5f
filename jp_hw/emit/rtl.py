"""The SystemVerilog back end: static modules, a generated top, and memory images as text."""

from jp_hw.ir_file import digest
from jp_hw.registers import register_map
from jp_hw.resources import data_dir
from jp_hw.schedule.design import Design, LayerDesign, bits_for
from jp_hw.templates_env import render, static

TOP = "jp_accelerator"
MEMORY_FOLDER = "mem"
"""Memory images are found relative to the folder that a simulator or a synthesis runs in."""


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
        token_width=[layer.lanes[0].token.width for layer in design.layers],
        frames_depth=frames_depth(design),
        lane_parameters=lane_parameters,
    )


def frames_depth(design: Design) -> int:
    """How many frames can be under way, as a power of two: up to two in every layer, and the ends."""
    return 1 << bits_for(2 * len(design.layers) + 4)


def lane_parameters(layer: LayerDesign) -> list[tuple[str, str]]:
    """jp_layer's per-lane parameters, 32 bits a lane, the last lane first."""
    values = {
        "LaneHeight": [lane.height for lane in layer.lanes],
        "LaneWidth": [lane.width for lane in layer.lanes],
        "LaneXBits": [lane.token.x_bits for lane in layer.lanes],
        "LaneChannelBits": [lane.token.channel_bits for lane in layer.lanes],
        "LaneColumns": [lane.masks.depth for lane in layer.lanes],
        "LaneFirstColumn": [lane.first_column for lane in layer.lanes],
        "LaneCompletedBits": [lane.rows.fields[2].bits for lane in layer.lanes],
        "LaneTokenWidth": [lane.token.width for lane in layer.lanes],
    }
    return [
        (name, "{" + ", ".join(f"32'd{number}" for number in reversed(numbers)) + "}")
        for name, numbers in values.items()
    ]
