"""Runs of Vivado, by a stand-in that ends in every way a real one can; and what its reports say."""

import json
import sys
from pathlib import Path

import pytest
import vivado_standin
from networks import mlp

from jp_hw import boards
from jp_hw.errors import JpHwError
from jp_hw.plan import write_inside
from jp_hw.schedule import Design, schedule
from jp_hw.vivado import build_overlay, read_reports
from jp_hw.vivado.reports import over_full, read_timing, read_utilization


@pytest.fixture(scope="module")
def design() -> Design:
    return schedule(mlp(1, (21, 12, 7, 5)), boards.load("pynq-z2"), 4)


@pytest.fixture
def vivado(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """`vivado` on PATH; set FAKE_VIVADO to say how it goes."""
    program = tmp_path / "bin" / "vivado"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {vivado_standin.__file__} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    return monkeypatch


def test_a_good_run(vivado: pytest.MonkeyPatch, tmp_path: Path, design: Design) -> None:
    vivado.setenv("FAKE_VIVADO", "good")
    steps: list[str] = []
    overlay = build_overlay(tmp_path / "b", design, tell=steps.append)
    assert steps == ["project", "synthesis", "placement", "routing", "bitstream", "done"]
    assert (overlay.folder / "overlay.bit").read_bytes() == b"made by good"
    told = json.loads((tmp_path / "b" / "vivado" / "report.json").read_text())
    assert told == overlay.to_json()
    assert told["timing"] == {
        "setup_ns": 0.412,
        "hold_ns": 0.031,
        "pulse_ns": 3.75,
        "failing": 0,
        "met": True,
    }
    assert told["resources"]["lut"] == {"used": 14002, "available": 53200}
    assert told["resources"]["bram18"] == {"used": 79, "available": 280}
    assert told["resources"]["dsp"]["used"] == 36
    assert (told["power_w"], told["dynamic_w"], told["static_w"]) == (1.795, 1.651, 0.144)
    assert told["fastest_mhz"] == pytest.approx(1000 / (10 - 0.412))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("timing", r"not met at 100 MHz: setup slack -1\.250 ns, 57 paths fail; the worst path "
                   r"would do 88\.9 MHz: generate with --clock 88"),
        ("hold", r"hold slack -0\.020 ns, 3 paths fail; see the report"),
        ("overfull", r"design does not fit pynq-z2: it needs 61,423 LUT as Logic of 53,200; .*--pes"),
        ("place", r"does not fit pynq-z2: it needs 300 RAMB18 and RAMB36/FIFO of 280"),
        ("synthesis", r"Vivado failed: ERROR: \[Synth 8-439\] module 'jp_pe' not found"),
        ("crash", r"Vivado failed: ERROR: \[Common 17-49\] Internal Data Exception"),
        ("killed", r"Vivado was killed, most likely because memory ran out"),
        ("nobit", r"Vivado ended without overlay\.bit, overlay\.hwh, overlay\.xsa; see .*vivado\.log"),
        ("garbage", r"timing\.rpt has no timing summary; run the build anew"),
    ],
)  # fmt: skip
def test_runs_that_fail(
    vivado: pytest.MonkeyPatch, tmp_path: Path, design: Design, how: str, message: str
) -> None:
    vivado.setenv("FAKE_VIVADO", how)
    with pytest.raises(JpHwError, match=message) as caught:
        build_overlay(tmp_path / "b", design)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "b" / "vivado" / "report.json").exists()


def test_a_run_that_hangs_is_ended(
    vivado: pytest.MonkeyPatch, tmp_path: Path, design: Design
) -> None:
    vivado.setenv("FAKE_VIVADO", "hang")
    with pytest.raises(JpHwError, match=r"vivado took more than 1 s; see .*vivado\.log"):
        build_overlay(tmp_path / "b", design, timeout=1.0)


def test_results_of_an_earlier_run_do_not_count(
    vivado: pytest.MonkeyPatch, tmp_path: Path, design: Design
) -> None:
    vivado.setenv("FAKE_VIVADO", "good")
    build_overlay(tmp_path / "b", design)
    vivado.setenv("FAKE_VIVADO", "nobit")
    with pytest.raises(JpHwError, match=r"ended without overlay\.bit"):
        build_overlay(tmp_path / "b", design)


def test_no_vivado(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, design: Design) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(JpHwError, match=r"Vivado is not installed: install AMD Vivado .* openxc7"):
        build_overlay(tmp_path / "b", design)
    assert not (tmp_path / "b").exists()


ULTRASCALE = """
| CLB LUTs                   | 26291 |     0 |          0 |    117120 | 22.45 |
| CLB Registers*             | 25859 |     0 |          0 |    234240 | 11.04 |
| Block RAM Tile             |  12.5 |     0 |          0 |       144 |  8.68 |
| URAM                       |     0 |     0 |          0 |        64 |  0.00 |
| DSPs                       |   131 |     0 |          0 |      1248 | 10.50 |
"""


@pytest.mark.parametrize("columns", [5, 6])
def test_ultrascale_rows_and_older_columns(tmp_path: Path, columns: int) -> None:
    head = "| Site Type | Used | Fixed | Prohibited | Available | Util% |"
    text = head + ULTRASCALE
    if columns == 5:
        text = text.replace(" Prohibited |", "").replace("|     0 |          0 |", "|     0 |")
    path = write_inside(tmp_path, "u.rpt", text)
    found = read_utilization(path)
    assert {name: used.used for name, used in found.items()} == {
        "lut": 26291, "ff": 25859, "bram18": 25, "uram": 0, "dsp": 131
    }  # fmt: skip
    assert found["bram18"].available == 288


def test_damaged_reports_are_named(tmp_path: Path) -> None:
    with pytest.raises(JpHwError, match=r"left no power\.rpt"):
        read_reports(tmp_path)
    path = write_inside(tmp_path, "u.rpt", "| Site Type | Used | Available |\n| DSPs | 1 | 2 |\n")
    with pytest.raises(JpHwError, match="does not tell lut, ff, bram18"):
        read_utilization(path)
    path = write_inside(tmp_path, "t.rpt", vivado_standin.timing().replace("0.412", "NA   "))
    assert read_timing(path).setup_ns is None
    assert read_timing(path).met
    path = write_inside(tmp_path, "t.rpt", vivado_standin.timing().replace("0.412", "o.412"))
    with pytest.raises(JpHwError, match=r"t\.rpt holds 'o\.412' where a number should be"):
        read_timing(path)
    assert over_full("all is well") == []
