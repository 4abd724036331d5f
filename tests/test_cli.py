"""The commands as a user types them: outputs, exit codes, one-line errors, nothing half-written."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from jp_hw import zoo
from jp_hw.build import Build
from jp_hw.resources import data_dir


def run(
    *words: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from jp_hw.cli import main; main()", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=env, check=False)


def fails(*words: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    """The one line that a command fails with."""
    done = run(*words, cwd=cwd, env=env)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: "), done.stderr
    return lines[0]


def test_generate_works_from_any_folder(tmp_path: Path) -> None:
    done = run("generate", "--board", "pynq-z2", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    folder = tmp_path / "build" / "mlp3-pynq-z2"
    assert result["build"] == "build/mlp3-pynq-z2"
    assert result["pes"] == sum(layer["pes"] for layer in result["layers"])
    for name in ("build.json", "network.safetensors", "rtl/jp_accelerator.sv", "hls/top.cpp"):
        assert (folder / name).is_file(), name
    assert "exists; give another folder with -o, or --force" in fails("generate", cwd=tmp_path)
    again = run("generate", "--force", cwd=tmp_path)
    assert again.returncode == 0
    silent = next(layer["silent_channels"] for layer in result["layers"] if layer["name"] == "fc1")
    assert f"no PE computes {silent} of fc1's 300 channels" in again.stdout
    assert [path.name for path in folder.parent.iterdir()] == ["mlp3-pynq-z2"]


def test_pes_and_clock(tmp_path: Path) -> None:
    done = run("generate", "--pes", "8", "--clock", "143", "-o", "b", "--json", cwd=tmp_path)
    result = json.loads(done.stdout)
    assert result["pes"] <= 8
    assert result["clock_mhz"] == 143.0
    assert "2 PEs are too few: 3 layers need one each" in fails(
        "generate", "--pes", "2", cwd=tmp_path
    )
    assert "outside 1..1000" in fails("generate", "--clock", "0", cwd=tmp_path)
    assert not (tmp_path / "build").exists()


def test_unknown_names(tmp_path: Path) -> None:
    assert "mlp3" in fails("generate", "nosuchnet", cwd=tmp_path)
    message = fails("generate", "--board", "nosuch")
    assert "unknown board nosuch; choose one of " in message
    assert ", pynq-z2, " in message
    assert "no build folder" in fails("csim", tmp_path)
    assert "no build folder" in fails("simulate", tmp_path / "missing")
    assert "no build folder" in fails("synth", tmp_path)


def test_test_benches_that_cannot_be(demo_build: Build) -> None:
    folder = demo_build.folder
    message = fails("simulate", folder, "--bench", "nosuch")
    assert "unknown bench nosuch; choose one of cocotb, compiled" in message
    for option in (["--simulator", "icarus"], ["--waves"]):
        message = fails("simulate", folder, "--bench", "compiled", *option)
        assert "use --bench cocotb" in message


def test_network_that_does_not_fit(tmp_path: Path) -> None:
    board = tmp_path / "tiny.toml"
    real = data_dir("boards").joinpath("pynq-z2.toml").read_text()
    small = real.replace('name = "pynq-z2"', 'name = "tiny"').replace("lut = 53200", "lut = 500")
    assert small.count("tiny") == 1
    assert "lut = 500" in small
    board.write_text(small)
    message = fails("generate", "--board", board, cwd=tmp_path)
    assert "mlp3 does not fit tiny even with one PE per layer" in message
    assert "LUT of 450 usable" in message
    assert not (tmp_path / "build").exists()


@pytest.mark.parametrize("what", ["nan", "zero", "truncated", "pickle"])
def test_bad_checkpoints(tmp_path: Path, what: str) -> None:
    folder = tmp_path / "net"
    folder.mkdir()
    for path in zoo.load("mlp3").folder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    weights = folder / "model.safetensors"
    tensors = load_file(weights)
    if what == "nan":
        tensors["fc2.weight"][0, 0] = np.nan
        save_file(tensors, weights)
    elif what == "zero":
        tensors["fc2.weight"][:] = 0.0
        save_file(tensors, weights)
    elif what == "truncated":
        weights.write_bytes(weights.read_bytes()[:-100])
    else:
        weights.write_bytes(b"\x80\x04\x95 this is no data")
    message = fails("generate", folder, cwd=tmp_path)
    assert "fc2" in message if what in ("nan", "zero") else "model.safetensors" in message
    assert not (tmp_path / "build").exists()


def test_missing_data(tmp_path: Path) -> None:
    assert "no-such-folder" in fails("evaluate", "--data", tmp_path / "no-such-folder")


def test_missing_tools(demo_build: Build, tmp_path: Path) -> None:
    fresh = tmp_path / "fresh"  # nothing that other tests compiled
    shutil.copytree(demo_build.folder, fresh, ignore=shutil.ignore_patterns("csim", "sim"))
    bare = {"PATH": str(tmp_path), "HOME": str(tmp_path)}
    assert "g++ is not installed" in fails("csim", fresh, env=bare)
    icarus = fails("simulate", fresh, "--simulator", "icarus", env=bare)
    assert "Icarus Verilog is not installed: `apt install iverilog`" in icarus
    assert "Verilator needs make" in fails("simulate", fresh, env=bare)


def test_information() -> None:
    models = json.loads(run("models", "--json").stdout)
    assert "mlp3" in [model["name"] for model in models]
    boards = json.loads(run("boards", "--json").stdout)
    assert {"lut": 53200, "ff": 106400, "dsp": 220, "bram18": 280} in [b["budget"] for b in boards]
    tools = json.loads(run("doctor", "--json").stdout)
    assert any("erilator" in tool["name"] and tool["version"] for tool in tools)
    for command in ("models", "boards", "doctor", "--help"):
        assert run(command).returncode == 0


def test_wrong_options_say_so() -> None:
    done = run("generate", "--nosuch")
    assert done.returncode == 2
    assert "No such option" in done.stderr
    assert "Traceback" not in done.stderr


def test_csim_says_what_differs(demo_build: Build, tmp_path: Path) -> None:
    done = run("csim", demo_build.folder, "--images", "8", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["images"], result["bit_exact"], result["mismatches"]) == (8, True, 0)
    assert "holds 64 images" in fails("csim", demo_build.folder, "--images", "100")
