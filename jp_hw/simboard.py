"""The simulated board: a build's shell and RTL, compiled by Verilator into one program.

The program (`templates/board/harness.cpp`) needs no cocotb; it is driven by the package `standin/pynq`,
which stands in for `pynq`. A bundle that holds both runs on any machine like this one, the board's
Python code unchanged.
"""

import hashlib
import json
import os
from pathlib import Path

from jp_hw.emit.rtl import MEMORY_FOLDER
from jp_hw.errors import JpHwError
from jp_hw.plan import run_tool, write_inside
from jp_hw.resources import PACKAGE
from jp_hw.shell import BOARD_TOP
from jp_hw.simulators import check_simulator
from jp_hw.templates_env import static

HARNESS = "simboard"
"""Folder of the compiled program, inside a build folder's `sim`."""
STANDIN = PACKAGE / "standin"
DESCRIPTION = "simulated_board.json"


def compile_board(build: Path, *, timeout: float = 1800.0) -> Path:
    """The program that simulates a build's shell and RTL, compiled if it is not there yet.

    build: a build folder with its shell's files in `board`. Raises JpHwError where Verilator or a
    compiler is missing or fails.
    """
    build = build.absolute()
    folder = build / "sim" / HARNESS
    program, stamp = folder / f"V{BOARD_TOP}", folder / "sources.sha256"
    sources = [*sorted((build / "board").glob("*.*v")), *sorted((build / "rtl").glob("*.sv"))]
    harness = static("board/harness.cpp")
    digest = hashlib.sha256(harness.encode())
    for path in sources:
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    if program.is_file() and stamp.is_file() and stamp.read_text() == digest.hexdigest():
        return program
    environment = check_simulator("verilator", folder)
    stamp.unlink(missing_ok=True)
    cpp = write_inside(folder, "harness.cpp", harness)
    command: list[str | Path] = [
        Path(environment["VERILATOR_ROOT"]) / "bin" / "verilator_bin",
        *("--cc", "--exe", "-Wno-fatal", "-Wno-lint", "--output-split", "0", "-O3"),
        *("--x-assign", "unique", "--top-module", BOARD_TOP, "--Mdir", folder, "--no-assert"),
        *sources,
        cpp,
    ]
    run_tool(command, folder, log="verilator.log", timeout=timeout, environment=environment)
    make = ["make", "-j", str(min(2, os.cpu_count() or 1)), "-f", f"V{BOARD_TOP}.mk"]
    flags = ["OPT_FAST=-O1", "OPT_SLOW=-O0", "OPT_GLOBAL=-O1"]
    run_tool([*make, *flags], folder, log="make.log", timeout=timeout, environment=environment)
    if not program.is_file():
        raise JpHwError(f"the simulated board was not built; see {folder / 'make.log'}")
    write_inside(folder, stamp.name, digest.hexdigest())
    return program


def standin_files(build: Path, board_name: str) -> dict[str, bytes]:
    """Name -> content of what makes a bundle run without a board: `pynq`'s stand-in and the logic.

    board_name: what the simulated board calls itself.
    """
    program = compile_board(build)
    description = {"board": board_name, "program": f"logic/{program.name}", "folder": "logic"}
    files = {
        DESCRIPTION: (json.dumps(description) + "\n").encode(),
        description["program"]: program.read_bytes(),
    }
    for path in sorted((STANDIN / "pynq").rglob("*.py")):
        files[str(path.relative_to(STANDIN))] = path.read_bytes()
    for path in sorted((build / "rtl" / MEMORY_FOLDER).iterdir()):
        files[f"logic/{MEMORY_FOLDER}/{path.name}"] = path.read_bytes()
    return files
