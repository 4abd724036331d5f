"""The shell between a board's DMA engine and the accelerator: one Verilog block."""

from dataclasses import dataclass

from jp_hw.emit.rtl import TOP, frames_depth
from jp_hw.ir_file import digest
from jp_hw.registers import Register, register_map
from jp_hw.schedule import Design
from jp_hw.schedule.design import bits_for
from jp_hw.templates_env import render, static

BOARD_TOP = "jp_board"
FOLDER = "board"
"""Where the shell's sources go, inside a build folder."""

AXIS, AXI = "xilinx.com:interface:axis:1.0", "xilinx.com:interface:aximm:1.0"
_STREAM = ("tvalid", "tready", "tdata", "tkeep", "tlast")
_LITE = (
    ("awaddr", "in", 0), ("awprot", "in", 3), ("awvalid", "in", 1), ("awready", "out", 1),
    ("wdata", "in", 32), ("wstrb", "in", 4), ("wvalid", "in", 1), ("wready", "out", 1),
    ("bresp", "out", 2), ("bvalid", "out", 1), ("bready", "in", 1),
    ("araddr", "in", 0), ("arprot", "in", 3), ("arvalid", "in", 1), ("arready", "out", 1),
    ("rdata", "out", 32), ("rresp", "out", 2), ("rvalid", "out", 1), ("rready", "in", 1),
)  # fmt: skip
"""Ports of the registers' interface: name, direction, bits (0: as many as the address has)."""


@dataclass(frozen=True)
class Port:
    """A port that belongs to an interface; parameter: of the interface, on its first port only."""

    bus: str
    name: str
    interface: str
    direction: str
    bits: int
    parameter: str = ""

    @property
    def declaration(self) -> str:
        """As Verilog declares it."""
        width = f" [{self.bits - 1}:0]" if self.bits > 1 else ""
        return f"{self.direction}put wire{width} {self.bus}_{self.name}"


def ports(addr_bits: int) -> tuple[Port, ...]:
    """All ports of the block but clock and reset."""
    found = []
    for bus, bits, forward, back in (("s_axis", 64, "in", "out"), ("m_axis", 32, "out", "in")):
        parameter = (
            f"TDATA_NUM_BYTES {bits // 8}, HAS_TREADY 1, HAS_TKEEP 1, HAS_TLAST 1, HAS_TSTRB 0, "
            "TDEST_WIDTH 0, TID_WIDTH 0, TUSER_WIDTH 0"
        )
        for name in _STREAM:
            width = {"tdata": bits, "tkeep": bits // 8}.get(name, 1)
            direction = back if name == "tready" else forward
            found.append(Port(bus, name, AXIS, direction, width, parameter))
            parameter = ""
    parameter = f"PROTOCOL AXI4LITE, DATA_WIDTH 32, ADDR_WIDTH {addr_bits}"
    for name, direction, width in _LITE:
        found.append(Port("s_axi", name, AXI, direction, width or addr_bits, parameter))
        parameter = ""
    return tuple(found)


def address_bits(design: Design) -> int:
    """Width of the register interface's addresses, as the accelerator's top has it."""
    return max(8, bits_for(_registers(design)[-1].offset))


def frame_bytes(design: Design) -> int:
    """Bytes of one image."""
    return design.network.input.shape.size


def shell_files(design: Design) -> dict[str, str]:
    """Name -> text of everything under `board/` of a build folder."""
    control = next(r.offset for r in _registers(design) if r.name == "control")
    size = frame_bytes(design)
    text = render(
        f"board/{BOARD_TOP}.v.j2",
        name=BOARD_TOP,
        accelerator=TOP,
        digest=digest(design.network),
        ports=ports(address_bits(design)),
        addr_bits=address_bits(design),
        control=control,
        frame_bytes=size,
        frame_beats=-(-size // 8),
        frames=frames_depth(design),
    )
    return {
        f"{FOLDER}/{BOARD_TOP}.v": text,
        f"{FOLDER}/jp_batch.sv": static("board/jp_batch.sv"),
    }


def _registers(design: Design) -> tuple[Register, ...]:
    return register_map(tuple(layer.name for layer in design.layers))
