"""The compiled test bench: RTL and a C++ bench (`templates/sim/bench.cpp`) in one Verilator program.

It needs no cocotb and makes no signal visible from outside, so that a design of a hundred PEs compiles
in a minute or two and runs thousands of cycles a second.
"""

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from jp_hw.errors import JpHwError
from jp_hw.plan import run_tool, write_inside
from jp_hw.simulators import check_simulator, sources_of
from jp_hw.templates_env import static

SMALL = 40
"""Designs of up to so many PEs go to cocotb unless told otherwise."""


def compile_bench(rtl: Path, top: str, folder: Path, *, timeout: float = 3600.0) -> Path:
    """The program that simulates the RTL in a folder, compiled unless it is there already.

    Raises JpHwError where Verilator or a C++ compiler is missing or fails.
    """
    folder.mkdir(parents=True, exist_ok=True)
    bench, program, stamp = static("sim/bench.cpp"), folder / "Vtop", folder / "sources.sha256"
    sources = sources_of(rtl)
    digest = hashlib.sha256(f"{bench}{top}".encode())
    for path in sources:
        digest.update(Path(path).name.encode() + b"\0" + Path(path).read_bytes())
    if program.is_file() and stamp.is_file() and stamp.read_text() == digest.hexdigest():
        return program
    environment = check_simulator("verilator", folder)
    stamp.unlink(missing_ok=True)
    cpp = write_inside(folder, "bench.cpp", bench)
    run_tool(
        [
            Path(environment["VERILATOR_ROOT"]) / "bin" / "verilator_bin",
            *("--cc", "--exe", "--prefix", "Vtop", "--top-module", top, "--Mdir", folder),
            *("-Wno-fatal", "-Wno-lint", "-O3", "--x-assign", "unique", "--x-initial", "unique"),
            *("--output-split", "20000", "--output-split-cfuncs", "2000"),
            *sources,
            cpp,
        ],
        rtl,
        log=str(folder / "verilator.log"),
        timeout=timeout,
        environment=environment,
    )
    jobs = str(min(4, os.cpu_count() or 1))
    make = ["make", "-j", jobs, "-f", "Vtop.mk", "OPT_FAST=-O1", "OPT_SLOW=-O0", "OPT_GLOBAL=-O1"]
    # the wheel's makefile does not know how to name a precompiled header
    make.append("CFG_CXXFLAGS_PCH_I=-include")
    run_tool(make, folder, log="make.log", timeout=timeout, environment=environment)
    if not program.is_file():
        raise JpHwError(f"the simulation was not built; see {folder / 'make.log'}")
    write_inside(folder, stamp.name, digest.hexdigest())
    return program


def run_bench(
    program: Path,
    run_folder: Path,
    job: Mapping[str, object],
    registers: Mapping[str, int],
    lengths: Sequence[int],
    *,
    timeout: float = 3600.0,
) -> None:
    """Run a compiled bench; job: the scalar keys of its job file. Raises JpHwError if it fails."""
    lines = [f"{key} {value}" for key, value in job.items()]
    lines += [f"length {length}" for length in lengths]
    lines += [f"register {name} {offset}" for name, offset in registers.items()]
    path = write_inside(program.parent, "job.txt", "\n".join(lines) + "\n")
    run_tool([program, path], run_folder, log=str(program.parent / "log.txt"), timeout=timeout)
