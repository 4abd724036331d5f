"""The generated Tcl, run by a real interpreter against a recorder of Vivado's commands."""

from pathlib import Path

import pytest
from networks import mlp
from vivado_recorder import Recorder

from jp_hw import boards
from jp_hw.boards import Board
from jp_hw.emit.rtl import rtl_files
from jp_hw.errors import JpHwError
from jp_hw.plan import write_inside
from jp_hw.processors import SYSTEMS, ports_of
from jp_hw.schedule import Design, schedule
from jp_hw.shell import shell_files
from jp_hw.vivado import vivado_files

NETWORK = mlp(1, (21, 12, 7, 5))
BOARDS = [board.name for board in boards.available()]


def design_for(board: Board, clock: float | None = None) -> Design:
    return schedule(NETWORK, board, 4, clock)


def write(folder: Path, design: Design) -> Path:
    for name, text in {**rtl_files(design), **shell_files(design), **vivado_files(design)}.items():
        write_inside(folder, name, text)
    return folder / "vivado" / "build.tcl"


def record(folder: Path, board: Board, **options: float) -> Recorder:
    recorder = Recorder(**options)  # type: ignore[arg-type]
    recorder.source(write(folder, design_for(board)))
    return recorder


@pytest.mark.parametrize("name", BOARDS)
def test_every_board_s_script_passes(name: str, tmp_path: Path) -> None:
    board = boards.load(name)
    recorder = record(tmp_path, board)
    out = tmp_path / "vivado" / "out"
    assert {path.name for path in out.iterdir()} == {
        "overlay.bit", "overlay.hwh", "overlay.xsa",
        "timing.rpt", "utilization.rpt", "utilization_synth.rpt", "power.rpt",
    }  # fmt: skip
    assert recorder.part == board.part
    assert recorder.properties["project", "board_part"].startswith(board.vivado.board_part + ":")
    assert recorder.printed[-1] == "JP_STEP done"
    assert set(recorder.cells) == {"ps", "dma", "accelerator", "control", "memory", "reset"}
    ports = ports_of(board)
    assert recorder.segments["ps/Data", "accelerator/s_axi/reg0"] == (
        ports.addresses["accelerator"],
        65536,
    )
    assert recorder.segments["ps/Data", "dma/S_AXI_LITE/Reg"] == (ports.addresses["dma"], 65536)
    assert recorder.cells["ps"].settings[ports.system.clock_setting] == f"{board.clock_mhz:g}"


def test_streams_go_through_the_accelerator(tmp_path: Path) -> None:
    recorder = record(tmp_path, boards.load("pynq-z2"))
    assert ("dma/M_AXIS_MM2S", "accelerator/s_axis") in recorder.links
    assert ("accelerator/m_axis", "dma/S_AXIS_S2MM") in recorder.links
    (clock,) = (net for net in recorder.nets if net[0] == "ps/FCLK_CLK0")
    assert "accelerator/aclk" in clock
    assert any(path.endswith(".mem") for path in recorder.files)


def test_missed_timing_makes_no_bitstream(tmp_path: Path) -> None:
    recorder = record(tmp_path, boards.load("zcu104"), slack=-0.25)
    assert recorder.exited
    names = {path.name for path in (tmp_path / "vivado" / "out").iterdir()}
    assert "timing.rpt" in names and "overlay.bit" not in names


def test_without_board_files_the_part_alone_does(tmp_path: Path) -> None:
    recorder = record(tmp_path, boards.load("zedboard"), board_files=False)
    assert ("project", "board_part") not in recorder.properties
    assert any(
        line.startswith("JP_NOTE no board files of em.avnet.com:zed") for line in recorder.printed
    )


def test_a_board_s_own_constraints_and_port(tmp_path: Path) -> None:
    board = boards.load("pynq-z2")
    line = "set_property IOSTANDARD LVCMOS33 [get_ports led]"
    changed = board.model_copy(
        update={
            "processor": board.processor.model_copy(
                update={"memory_port": "S_AXI_HP2", "control_port": "M_AXI_GP1"}
            ),
            "vivado": board.vivado.model_copy(update={"board_part": "", "constraints": (line,)}),
        }
    )
    recorder = record(tmp_path, changed)
    assert (tmp_path / "vivado" / "board.xdc").read_text() == line + "\n"
    assert ("memory/M00_AXI", "ps/S_AXI_HP2") in recorder.links
    assert recorder.segments["ps/Data", "accelerator/s_axi/reg0"] == (0x8000_0000, 65536)


def test_a_port_that_the_processor_lacks() -> None:
    board = boards.load("kv260")
    wrong = board.processor.model_copy(update={"memory_port": "S_AXI_HP0"})
    with pytest.raises(
        JpHwError, match=r"board kv260: processor\.memory_port S_AXI_HP0 is no port of zynq"
    ):
        ports_of(board.model_copy(update={"processor": wrong}))
    assert {board.processor.kind for board in boards.available()} == set(SYSTEMS)


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("vivado/build.tcl", "c_include_sg {0}", "c_include_sgg {0}", "no setting c_include_sgg"),
        ("vivado/build.tcl", "c_sg_length_width {26}", "c_sg_length_width {27}", "cannot be 27"),
        ("vivado/build.tcl", "dma/M_AXIS_MM2S]", "dma/M_AXIS_MM2]", "no interface dma/M_AXIS_MM2"),
        ("vivado/build.tcl", "[get_bd_pins dma/axi_resetn] ", "", "dma/axi_resetn is not connected"),
        ("vivado/build.tcl", "    [get_bd_pins memory/aclk] \\\n", "", "memory/aclk is not connected"),
        ("vivado/build.tcl", "reset/peripheral_aresetn", "reset/peripheral_reset", "driver rst_high"),
        ("vivado/build.tcl", "-offset 0x40010000", "-offset 0x40000000", "overlap"),
        ("vivado/build.tcl", "-offset 0x40000000", "-offset 0x20000000", "is not behind M_AXI_GP0"),
        ("vivado/build.tcl", "axis_mm2s_tdata_width {64}", "axis_mm2s_tdata_width {32}", "bytes wide"),
        ("vivado/build.tcl", "create_project -force", "create_project -forced", "no option -forced"),
        ("vivado/build.tcl", "-to_step $last", "-until $last", "no option -until"),
        ("vivado/build.tcl", "xc7z020clg400-1", "xc7z020clg400-9", "no part xc7z020clg400-9"),
        ("vivado/build.tcl", "validate_bd_design\n", "validate_design\n", "invalid command name"),
        ("vivado/build.tcl", "validate_bd_design\n", "", "an unchecked design is saved"),
        ("board/jp_board.v", "s_axis TLAST", "s_axis TLST", "no port TLST"),
        ("board/jp_board.v", "output wire s_axis_tready", "input wire s_axis_tready", "s_axis TREADY"),
        ("board/jp_board.v", "TDATA_NUM_BYTES 4", "TDATA_NUM_BYTES 8", "m_axis: TDATA_NUM_BYTES 8"),
        ("board/jp_board.v", "s_axis:m_axis:s_axi,", "s_axis:m_axis,", "ASSOCIATED_BUSIF"),
    ],
)  # fmt: skip
def test_the_recorder_refuses_what_is_wrong(
    tmp_path: Path, file: str, old: str, new: str, message: str
) -> None:
    script = write(tmp_path, design_for(boards.load("pynq-z2")))
    path = tmp_path / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(AssertionError, match=message):
        Recorder().source(script)


def test_the_documentation_s_picture_and_script_are_today_s(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    docs = Path(__file__).resolve().parent.parent / "docs"
    monkeypatch.syspath_prepend(docs)
    import draw_block_design

    assert (docs / "block-design.svg").read_text() == draw_block_design.picture()
    assert (docs / "block-design.tcl").read_text() == draw_block_design.tcl()
