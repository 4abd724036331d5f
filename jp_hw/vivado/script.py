"""The Tcl that makes a block design and a bitstream of a build, as text."""

from jp_hw.boards import Board
from jp_hw.processors import LENGTH_BITS, RANGE, ports_of, settings_of
from jp_hw.schedule import Design
from jp_hw.shell import BOARD_TOP
from jp_hw.templates_env import render, static

DESIGN = "overlay"
"""Name of the block design, and so of its files."""
FOLDER = "vivado"

DMA_SETTINGS = {
    "c_include_sg": "0",
    "c_sg_length_width": str(LENGTH_BITS),
    "c_addr_width": "32",
    "c_include_mm2s": "1",
    "c_include_mm2s_dre": "0",
    "c_m_axi_mm2s_data_width": "64",
    "c_m_axis_mm2s_tdata_width": "64",
    "c_mm2s_burst_size": "16",
    "c_include_s2mm": "1",
    "c_include_s2mm_dre": "0",
    "c_m_axi_s2mm_data_width": "32",
    "c_s_axis_s2mm_tdata_width": "32",
    "c_s2mm_burst_size": "16",
}
"""AXI DMA (PG021) in direct register mode: 64 bit to the accelerator, 32 bit from it."""


def vivado_files(design: Design, jobs: int = 2) -> dict[str, str]:
    """Name -> text of everything under `vivado/` of a build folder that Vivado reads."""
    files = {
        f"{FOLDER}/build.tcl": script(design.board, design.clock_mhz, design.network.name, jobs),
        f"{FOLDER}/link_memories.tcl": static("board/link_memories.tcl"),
    }
    if design.board.vivado.constraints:
        files[f"{FOLDER}/board.xdc"] = "\n".join(design.board.vivado.constraints) + "\n"
    return files


def script(board: Board, clock_mhz: float, model: str, jobs: int = 2) -> str:
    """The script for a board; jobs: processes that Vivado may start."""
    ports = ports_of(board)
    clocked = [
        f"ps/{ports.control.clock}",
        f"ps/{ports.memory.clock}",
        "control/aclk",
        "memory/aclk",
        "reset/slowest_sync_clk",
        "dma/s_axi_lite_aclk",
        "dma/m_axi_mm2s_aclk",
        "dma/m_axi_s2mm_aclk",
        "accelerator/aclk",
    ]
    return render(
        "board/build.tcl.j2",
        board=board,
        clock_mhz=f"{clock_mhz:g}",
        model=model,
        design=DESIGN,
        shell=BOARD_TOP,
        system=ports.system,
        memory=ports.memory,
        settings=settings_of(board, clock_mhz),
        dma=DMA_SETTINGS,
        clocked=clocked,
        addresses=ports.addresses,
        range=RANGE,
        jobs=jobs,
    )
