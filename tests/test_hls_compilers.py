"""`jp-hw hls`: finding, running and failing compilers; their reports; the shell around their RTL."""

import json
import shutil
from pathlib import Path

import hls_standin as standin
import pytest
from hls_cases import design_of, mlp
from typer.testing import CliRunner

from jp_hw import boards
from jp_hw.build import Build, emit, open_build
from jp_hw.cli import app, main
from jp_hw.errors import JpHwError
from jp_hw.hls import compile_hls, find, open_hls
from jp_hw.hls.compilers import Compiler, command
from jp_hw.hls.reports import HlsLoop, HlsReport, read_report, source_name
from jp_hw.hls.wrapper import ports_of, wrapper
from jp_hw.simulate import simulate

DATA = Path(__file__).parent / "data"
BOARD = boards.load("pynq-z2")
BAMBU_VERSION = "Version: PandA 2024.10 - Revision 683d87153f20f75687bfdb928fdd6256abcab09f-main"
VITIS_VERSION = "****** vitis-run v2024.1 (64-bit)"
SOLUTION = "jp_accelerator_hls/solution/syn"


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """A small network, its own RTL and its C++."""
    design = design_of(mlp(7, (20, 6, 4), (0.5, 0.8)), (2, 1))
    return open_build(emit(design).write(tmp_path_factory.mktemp("hls") / "build"))


@pytest.fixture
def bin_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that comes first on PATH; no compiler is found elsewhere."""
    folder = tmp_path / "bin"
    which = shutil.which

    def ours(name: str, *more: str, **path: str) -> str | None:
        if name in ("bambu", "vitis_hls", "vitis-run"):
            return which(name, path=str(folder))
        return which(name, *more, **path)

    monkeypatch.setattr(shutil, "which", ours)
    return folder


def bambu_files(build: Build) -> dict[str, str]:
    rtl = build.folder / "rtl"
    text = standin.own_rtl(rtl, ".mem") + standin.BAMBU_TOP
    return {"jp_accelerator.v": text, **standin.memories(rtl, "", ".mem")}


def bambu_log() -> str:
    return (DATA / "bambu.log").read_text()


def vitis_files(build: Build) -> dict[str, str]:
    rtl, folder = build.folder / "rtl", f"{SOLUTION}/verilog/"
    return {
        f"{folder}jp_accelerator.v": standin.VITIS_TOP,
        f"{folder}jp_accelerator_core.v": standin.own_rtl(rtl, ".dat"),
        **standin.memories(rtl, folder, ".dat"),
        f"{SOLUTION}/report/csynth.xml": (DATA / "csynth.xml").read_text(),
    }


def run(build: Build, compiler: str, **options: float) -> HlsReport:
    return compile_hls(build.folder, compiler, BOARD, 100.0, **options).report  # type: ignore[arg-type]


# --- a compiler that works ----------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("iverilog") is None, reason="needs Icarus Verilog")
@pytest.mark.parametrize("compiler", ["vitis", "bambu"])
def test_from_cpp_to_rtl_in_the_same_test_bench(
    build: Build, bin_folder: Path, compiler: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if compiler == "vitis":
        log = standin.install(
            bin_folder, "vitis-run", VITIS_VERSION, files=vitis_files(build), output="done"
        )
    else:
        log = standin.install(
            bin_folder, "bambu", BAMBU_VERSION, files=bambu_files(build), output=bambu_log()
        )
    ran = CliRunner().invoke(app, ["hls", str(build.folder), "--compiler", compiler])
    assert ran.exit_code == 0, ran.output
    arguments = log.read_text().splitlines()[-1]
    assert arguments.endswith("run_hls.tcl") == (compiler == "vitis")
    assert open_hls(build.folder).report.compiler == compiler
    own = simulate(build, 3, simulator="icarus", stall=0.3)
    report = simulate(build, 3, rtl="hls", simulator="icarus", stall=0.3)
    assert report.passed and report.mismatches == 0 and report.counters_exact is None
    # the stand-in's RTL is ours: under the same stalls it takes the same cycles
    assert report.run.end_cycles == own.run.end_cycles
    values = report.to_json()
    assert values["rtl"] == "hls" and str(values["made_by"]).startswith(compiler)
    assert values["predicted_cycles_per_image"] is None
    arguments = ["simulate", str(build.folder), "--rtl", "hls", "--simulator", "icarus"]
    told = CliRunner().invoke(app, [*arguments, "--images", "2"]).output
    assert "no counters" in told and "logits equal" in told


@pytest.mark.skipif(shutil.which("iverilog") is None, reason="needs Icarus Verilog")
def test_wrong_rtl_is_found_out(build: Build, bin_folder: Path) -> None:
    files = bambu_files(build)
    files["jp_accelerator.v"] = files["jp_accelerator.v"].replace(
        ".s_axis_tdata(s_axis_TDATA[63:0])", ".s_axis_tdata(s_axis_TDATA[63:0] ^ 64'h1)"
    )
    standin.install(bin_folder, "bambu", BAMBU_VERSION, files=files, output=bambu_log())
    run(build, "bambu")
    report = simulate(build, 3, rtl="hls", simulator="icarus")
    assert report.mismatches > 0 and not report.passed


# --- compilers that fail ------------------------------------------------------------------------


@pytest.mark.parametrize(("compiler", "where"), [("vitis", "amd.com"), ("bambu", "polimi.it")])
def test_no_compiler(
    build: Build, bin_folder: Path, compiler: str, where: str,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    arguments = ["jp-hw", "hls", str(build.folder), "--compiler", compiler]
    monkeypatch.setattr("sys.argv", arguments)
    with pytest.raises(SystemExit) as stopped:
        main()
    told = capsys.readouterr().err
    assert stopped.value.code == 2
    assert told.count("\n") == 1 and "is not on PATH" in told and where in told


@pytest.mark.parametrize(
    ("program", "version", "message"),
    [
        ("vitis_hls", "Vitis HLS v2020.2 (64-bit)", "Vitis HLS 2020.2; 2022.1 or later is needed"),
        ("bambu", "Version: PandA 2023.1", "PandA-Bambu 2023.1; 2024.10 or later is needed"),
        ("bambu", "no idea", "prints no version of PandA-Bambu"),
    ],
)
def test_wrong_version(bin_folder: Path, program: str, version: str, message: str) -> None:
    standin.install(bin_folder, program, version)
    with pytest.raises(JpHwError, match=message):
        find("bambu" if program == "bambu" else "vitis")


def test_a_program_that_does_not_start(bin_folder: Path) -> None:
    bin_folder.mkdir()
    (bin_folder / "bambu").write_text("#!/nowhere/at/all\n")
    (bin_folder / "bambu").chmod(0o755)
    with pytest.raises(JpHwError, match=r"bambu does not start.*install PandA-Bambu"):
        find("bambu")


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        ("error", r"bambu failed with exit status 3: error: top\.cpp:12: no such.*compile\.log"),
        ("killed", r"bambu failed with exit status -9.*compile\.log"),
        ("hang", r"bambu took more than 1 s; see .*compile\.log"),
        ("works", r"PandA-Bambu ended without RTL; see .*compile\.log"),
    ],
)
def test_a_run_that_fails_leaves_no_result(
    build: Build, bin_folder: Path, mode: str, message: str
) -> None:
    standin.install(
        bin_folder, "bambu", BAMBU_VERSION, files=bambu_files(build), output=bambu_log()
    )
    run(build, "bambu")
    open_hls(build.folder)
    standin.install(bin_folder, "bambu", BAMBU_VERSION, mode)
    with pytest.raises(JpHwError, match=message):
        run(build, "bambu", timeout=1.0 if mode == "hang" else 60.0)
    with pytest.raises(JpHwError, match="has no RTL of an HLS compiler; make it with `jp-hw hls"):
        simulate(build, 1, rtl="hls")


def test_rtl_without_a_report(build: Build, bin_folder: Path) -> None:
    files = bambu_files(build)
    standin.install(bin_folder, "bambu", BAMBU_VERSION, files=files, output="all is well")
    with pytest.raises(JpHwError, match=r"compile\.log is no report of bambu 2024\.10"):
        run(build, "bambu")
    files = vitis_files(build)
    del files[f"{SOLUTION}/report/csynth.xml"]
    standin.install(bin_folder, "vitis_hls", "Vitis HLS v2022.2 (64-bit)", files=files)
    with pytest.raises(JpHwError, match=r"vitis left no report .*csynth\.xml"):
        run(build, "vitis")
    with pytest.raises(JpHwError, match="has no RTL"):
        open_hls(build.folder)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("done_port", "finished", "lacks port done_port"),
        ("  input start_port;\n", "  input start_port, cache_reset;\n", "unknown port cache_reset"),
        ("input [72:0] s_axis_TDATA", "input [63:0] s_axis_TDATA", "cuts the AXI streams' words"),
        ("module jp_accelerator(", "module something(", "no RTL with a module jp_accelerator"),
    ],
)
def test_rtl_with_other_ports_is_refused(
    build: Build, bin_folder: Path, old: str, new: str, message: str
) -> None:
    files = {"jp_accelerator.v": standin.BAMBU_TOP.replace(old, new)}
    standin.install(bin_folder, "bambu", BAMBU_VERSION, files=files, output=bambu_log())
    with pytest.raises(JpHwError, match=message):
        run(build, "bambu")


def test_rtl_of_other_sources_is_refused(build: Build, bin_folder: Path) -> None:
    standin.install(
        bin_folder, "bambu", BAMBU_VERSION, files=bambu_files(build), output=bambu_log()
    )
    run(build, "bambu")
    source = build.folder / "hls" / "config.hpp"
    text = source.read_text()
    source.write_text(text + "// changed\n")
    with pytest.raises(JpHwError, match=r"is not what .* was made of; run `jp-hw hls"):
        open_hls(build.folder)
    source.write_text(text)
    report = build.folder / "hls_rtl" / "report.json"
    for damage in ("[1]", "{", json.dumps({"sources": "x", "compiler": "bambu"})):
        report.write_text(damage)
        with pytest.raises(JpHwError, match=r"report\.json is damaged"):
            open_hls(build.folder)


def test_arguments_are_checked(build: Build, tmp_path: Path, bin_folder: Path) -> None:
    standin.install(bin_folder, "bambu", BAMBU_VERSION)
    with pytest.raises(JpHwError, match="unknown HLS compiler legup; choose one of vitis, bambu"):
        compile_hls(build.folder, "legup", BOARD, 100.0)
    with pytest.raises(JpHwError, match="unknown step route: choose of csim"):
        compile_hls(build.folder, "bambu", BOARD, 100.0, steps=("csynth", "route"))
    with pytest.raises(JpHwError, match="csynth must be among the steps"):
        compile_hls(build.folder, "bambu", BOARD, 100.0, steps=("csim",))
    with pytest.raises(JpHwError, match="bambu has no steps but csynth"):
        compile_hls(build.folder, "bambu", BOARD, 100.0, steps=("csynth", "export"))
    with pytest.raises(JpHwError, match=r"has no hls/top\.cpp"):
        compile_hls(tmp_path, "bambu", BOARD, 100.0)


def test_cosim_gets_images_and_logits(build: Build, bin_folder: Path) -> None:
    standin.install(bin_folder, "vitis_hls", "Vitis HLS v2022.2", files=vitis_files(build))
    words = ["hls", str(build.folder), "--steps", "csim,csynth,cosim", "--images", "2", "--json"]
    ran = CliRunner().invoke(app, words)
    assert ran.exit_code == 0, ran.output
    vectors = build.folder / "hls_vectors"
    assert (vectors / "images.bin").stat().st_size == 2 * build.network.input.shape.size
    assert (vectors / "expected.bin").stat().st_size == 2 * 4 * build.network.classes
    log = build.folder / "hls_rtl" / "work" / "compile.log"
    assert log.read_text().startswith("compiling csim csynth cosim\n")
    assert json.loads(ran.output)["compiler"] == "vitis"


def test_commands_of_both_vitis_programs_and_all_families() -> None:
    sources = Path("/build/hls")
    old, _ = command(Compiler("vitis", Path("/x/vitis_hls"), "2022.2"), sources, "xc7", 10.0)
    new, _ = command(Compiler("vitis", Path("/x/vitis-run"), "2024.2"), sources, "xc7", 10.0)
    assert old[1:] == ["-f", "/build/hls/run_hls.tcl"]
    assert new[1:] == ["--mode", "hls", "--tcl", "/build/hls/run_hls.tcl"]
    for board in boards.available():
        words, _ = command(Compiler("bambu", Path("bambu"), "2024.10"), sources, board.family, 7.0)
        assert "--clock-period=7.000" in words and "-DJP_HLS_BAMBU" in words


# --- reports -------------------------------------------------------------------------------------


def test_vitis_report() -> None:
    report = read_report("vitis", "2022.2", 10.0, DATA / "csynth.xml")
    assert report.estimated_ns == 7.262
    assert report.latency_cycles is None and report.interval_cycles is None  # undef
    assert report.resources == {"lut": 2411, "ff": 1988, "dsp": 3, "bram18": 4, "uram": 0}
    names = [module.name for module in report.modules]
    assert names == ["fc1_pe000_accumulate_Pipeline_1", "fc1_pe000_accumulate", "jp_accelerator"]
    assert report.loops == (
        HlsLoop("fc1_pe000_accumulate_Pipeline_1", "scatter_row", 1, 6),
        HlsLoop("fc1_pe000_accumulate", "drain_row", 2, 4),
    )
    assert [loop.name for loop in report.slow_loops] == ["drain_row"]
    assert report.modules[0].latency_cycles is None
    assert report.modules[1].resources["dsp"] == 1
    assert HlsReport.from_json(json.loads(json.dumps(report.to_json()))) == report


@pytest.mark.parametrize(
    ("symbol", "name"),
    [
        ("jp_accelerator", "jp_accelerator"),
        ("_Z11input_alignR10ac_channelI6ac_intILi73ELb0EEE", "input_align"),
        ("_ZN2jp4copyI10stem_forksEEvRN3hls6streamIiEE", "jp::copy<stem_forks>"),
        ("_ZN2jp5clearILi4EEEvv", "jp::clear"),
    ],
)
def test_names_of_functions_as_in_the_source(symbol: str, name: str) -> None:
    assert source_name(symbol) == name


def test_bambu_report() -> None:
    """Of a recorded run on a perceptron of 2 + 1 PEs: three of its functions' blocks, unchanged."""
    report = read_report("bambu", "2024.10", 10.0, DATA / "bambu.log")
    states = {module.name: module.states for module in report.modules}
    assert states == {"fc1_pe000_accumulate": 37, "input_align": 20, "jp_accelerator": 35}
    assert report.modules[0].resources == {"area": 4286, "dsp": 2, "ff": 603}
    # the top's area holds what it calls
    assert report.resources == {"area": 42978, "dsp": 2, "ff": 603 + 367 + 160}
    assert report.estimated_ns == 1000 / 125.00000000000013
    assert report.loops == () and report.latency_cycles is None
    assert HlsReport.from_json(json.loads(json.dumps(report.to_json()))) == report


@pytest.mark.parametrize(
    "text", ["", "<profile></profile>", "<other><PerformanceEstimates/></other>"]
)
def test_other_files_are_no_reports(tmp_path: Path, text: str) -> None:
    (tmp_path / "file").write_text(text)
    with pytest.raises(JpHwError, match="is no report of vitis"):
        read_report("vitis", "2022.2", 10.0, tmp_path / "file")
    with pytest.raises(JpHwError, match="is no report of bambu"):
        read_report("bambu", "2024.10", 10.0, tmp_path / "file")


# --- the shell -----------------------------------------------------------------------------------


def test_ports_in_both_styles() -> None:
    old = "module m(a, b, c);\n input [7:0] a; // input [3:0] x;\n input b;\n output reg c;\nendmodule"
    new = "module m #(parameter P = 1) (input wire [7:0] a, input b, output logic c);\nendmodule\n"
    for text in (old, new):
        ports = ports_of("module other(input z); endmodule " + text, "m")
        seen = {port.name: (port.direction, port.width) for port in ports.values()}
        assert seen == {"a": ("input", 8), "b": ("input", 1), "c": ("output", 1)}
    with pytest.raises(JpHwError, match="no module jp_accelerator"):
        wrapper("bambu", "2024.10", "module other; endmodule")
