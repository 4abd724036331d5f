"""The compiled test bench does what the cocotb one does, beat for beat."""

from pathlib import Path

import pytest
from networks import mlp

from jp_hw import boards, golden
from jp_hw.build import Build, emit, open_build
from jp_hw.errors import JpHwError
from jp_hw.native_bench import compile_bench
from jp_hw.schedule import schedule
from jp_hw.simulate import frame_bytes, run_rtl, simulate


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    design = schedule(mlp(1, (24, 12, 7, 5), leaky=True), boards.load("pynq-z2"))
    return open_build(emit(design).write(tmp_path_factory.mktemp("native") / "build"))


@pytest.mark.parametrize("stall", [0.0, 0.4])
def test_all_logits_and_counters_are_the_golden_models(build: Build, stall: float) -> None:
    report = simulate(build, 4, bench="compiled", stall=stall, seed=5)
    assert report.bench == "compiled"
    assert report.passed
    assert report.run.logits.tolist() == golden.run(build.network, build.images[:4]).tolist()


def test_cycles_and_registers_are_those_of_cocotb(build: Build) -> None:
    compiled = simulate(build, 4, bench="compiled").run
    other = simulate(build, 4, bench="cocotb", simulator="icarus").run
    assert compiled.registers["frames"] == 4
    ends = [[end - run.start_cycle for end in run.end_cycles] for run in (compiled, other)]
    assert ends[0] == ends[1]
    for name, value in compiled.registers.items():
        assert name == "cycles" or value == other.registers[name], name


def test_short_and_long_frames_are_marked(build: Build) -> None:
    whole = frame_bytes(build.images[:3])
    frames = [whole[0][:5], whole[1] + b"\x07\x08\x09", whole[2]]
    names = [layer.name for layer in build.network.layers]
    run = run_rtl(build.folder, names, frames, build.network.classes, bench="compiled")
    assert run.errors == (True, True, False)
    assert run.logits[2].tolist() == golden.run(build.network, build.images[2:3])[0].tolist()


def test_a_program_is_compiled_once(build: Build) -> None:
    folder = build.folder / "sim" / "compiled"
    program = compile_bench(build.folder.resolve() / "rtl", "jp_accelerator", folder)
    before = program.stat().st_mtime_ns
    assert compile_bench(build.folder.resolve() / "rtl", "jp_accelerator", folder) == program
    assert program.stat().st_mtime_ns == before


def test_rtl_that_does_not_compile_is_an_error_with_its_log(build: Build, tmp_path: Path) -> None:
    broken = open_build(emit(build.design).write(tmp_path / "build"))
    logits = broken.folder / "rtl" / "jp_logits.sv"
    logits.write_text(logits.read_text().replace("m_axis_tvalid_o,", "another_o,", 1))
    with pytest.raises(JpHwError, match=r"failed with exit status .*; see .*\.log"):
        simulate(broken, 2, bench="compiled")
