"""The HLS compilers that can be used, and how each one is started."""

import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jp_hw.errors import JpHwError

COMPILERS = ("vitis", "bambu")

BAMBU_DEVICES = {"xc7": "xc7z020-1clg484-VVD", "xcup": "xcu55c-2Lfsvh2892-VVD"}
"""The devices whose timing Bambu knows, by our boards' families; it knows no others of them."""


@dataclass(frozen=True)
class _Kind:
    programs: tuple[str, ...]
    label: str
    version_option: str
    oldest: tuple[int, int]
    how: str


_KINDS = {
    "vitis": _Kind(
        ("vitis-run", "vitis_hls"),
        "Vitis HLS",
        "--version",
        (2022, 1),
        "install AMD Vitis (https://www.amd.com/en/products/software/adaptive-socs-and-fpgas/"
        "vitis.html) and source its settings64.sh",
    ),
    "bambu": _Kind(
        ("bambu",),
        "PandA-Bambu",
        "--version",
        (2024, 10),
        "install PandA-Bambu 2024.10 (https://panda.deib.polimi.it) and put it on PATH",
    ),
}


@dataclass(frozen=True)
class Compiler:
    """A compiler that was found. name: `vitis` or `bambu`; version: as it says itself."""

    name: str
    program: Path
    version: str

    @property
    def label(self) -> str:
        """What people call it."""
        return _KINDS[self.name].label


def find(name: str) -> Compiler:
    """The compiler of that name on PATH.

    Raises JpHwError, with where to get it, if it is not there, does not start, or is too old.
    """
    if name not in _KINDS:
        raise JpHwError(f"unknown HLS compiler {name}; choose one of {', '.join(COMPILERS)}")
    kind = _KINDS[name]
    found = next(filter(None, map(shutil.which, kind.programs)), None)
    if found is None:
        programs = " or ".join(kind.programs)
        raise JpHwError(f"{kind.label} is not on PATH (no {programs}): {kind.how}")
    version = _version(Path(found), kind)
    year, release = map(int, version.split(".")[:2])
    if (year, release) < kind.oldest:
        wanted = ".".join(map(str, kind.oldest))
        raise JpHwError(
            f"{found} is {kind.label} {version}; {wanted} or later is needed: {kind.how}"
        )
    return Compiler(name, Path(found), version)


def _version(program: Path, kind: _Kind) -> str:
    """The version that a program prints, or that is part of its path (AMD's installations)."""
    try:
        done = subprocess.run(
            [program, kind.version_option],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=120,
            check=False,
        )
        printed = done.stdout + done.stderr
    except (OSError, subprocess.TimeoutExpired) as error:
        raise JpHwError(f"{program} does not start ({type(error).__name__}): {kind.how}") from error
    for text in (printed, str(program.resolve())):
        match = re.search(r"\b(?:v|PandA )?(20\d\d\.\d+)", text)
        if match is not None:
            return match[1]
    raise JpHwError(f"{program} prints no version of {kind.label}: {kind.how}")


def command(
    compiler: Compiler, sources: Path, family: str, clock_ns: float
) -> tuple[list[str], Mapping[str, str]]:
    """Command line, and changes of the environment, that compile BUILD/hls in the current folder.

    sources: BUILD/hls, absolute. family: of the board.
    """
    if compiler.name == "vitis":
        script = str(sources / "run_hls.tcl")
        options = ["-f", script]
        if compiler.program.name == "vitis-run":
            options = ["--mode", "hls", "--tcl", script]
        return [str(compiler.program), *options], {}
    options = [
        "--top-fname=jp_accelerator",
        "--compiler=I386_CLANG16",
        "--generate-interface=INFER",
        f"--device-name={BAMBU_DEVICES[family]}",
        f"--clock-period={clock_ns:.3f}",
        "--reset-type=sync",
        "--reset-level=low",
        "-O2",
        "--std=c++17",
        "-DJP_HLS_BAMBU",
        f"-I{sources}",
    ]
    return [str(compiler.program), str(sources / "top.cpp"), *options], {}


def report_file(compiler: Compiler) -> str:
    """The compiler's report, relative to the folder that it ran in; Bambu's is its log."""
    if compiler.name == "vitis":
        return "jp_accelerator_hls/solution/syn/report/csynth.xml"
    return LOG


def rtl_files(compiler: Compiler, folder: Path) -> list[Path]:
    """The RTL, and the memory contents that it reads, that the compiler left in its folder."""
    if compiler.name == "vitis":
        folder = folder / "jp_accelerator_hls" / "solution" / "syn" / "verilog"
        patterns: tuple[str, ...] = ("*.v", "*.sv", "*.dat")
    else:
        patterns = ("jp_accelerator.v", "*.mem")
    return sorted(path for pattern in patterns for path in folder.glob(pattern))


LOG = "compile.log"
