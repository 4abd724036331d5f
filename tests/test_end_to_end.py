"""The whole road on real MNIST images: golden == csim == RTL, and the comparison can fail."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from jp_hw import golden
from jp_hw.build import Build
from jp_hw.csim import csim
from jp_hw.errors import JpHwError
from jp_hw.schedule.build import channels_read
from jp_hw.schedule.cycles import simulate_cycles
from jp_hw.schedule.design import Memory
from jp_hw.simulate import Report, frame_bytes, run_rtl, simulate
from jp_hw.simulators import check_simulator, icarus_version

IMAGES = 20
HAVE_ICARUS = icarus_version() is not None
needs_icarus = pytest.mark.skipif(
    not HAVE_ICARUS and not os.environ.get("JP_HW_REQUIRE_ICARUS"),
    reason="Icarus Verilog is not installed",
)
both_simulators = pytest.mark.parametrize(
    "simulator", ["verilator", pytest.param("icarus", marks=needs_icarus)]
)


@pytest.fixture(scope="module")
def reports(demo_build: Build) -> Callable[[str, float], Report]:
    """Simulations, each made once."""
    made: dict[tuple[str, float], Report] = {}

    def report(simulator: str, stall: float) -> Report:
        if (simulator, stall) not in made:
            made[simulator, stall] = simulate(demo_build, IMAGES, simulator=simulator, stall=stall)
        return made[simulator, stall]

    return report


def test_csim_equals_golden(demo_build: Build) -> None:
    logits = csim(demo_build.folder, demo_build.images)
    assert np.array_equal(logits, golden.run(demo_build.network, demo_build.images))


@both_simulators
@pytest.mark.parametrize("stall", [0.0, 0.3])
def test_rtl_equals_golden(
    reports: Callable[[str, float], Report], simulator: str, stall: float
) -> None:
    report = reports(simulator, stall)
    assert report.mismatches == 0
    assert report.counters_exact
    assert not any(report.run.errors)
    assert report.images == IMAGES


@needs_icarus
@pytest.mark.parametrize("stall", [0.0, 0.3])
def test_simulators_agree_on_cycles(reports: Callable[[str, float], Report], stall: float) -> None:
    ours, theirs = reports("verilator", stall).run, reports("icarus", stall).run
    assert ours.end_cycles == theirs.end_cycles
    assert ours.start_cycle == theirs.start_cycle
    counted = [name for name in ours.registers if name != "cycles"]
    assert [ours.registers[n] for n in counted] == [theirs.registers[n] for n in counted]


def test_predicted_cycles_are_the_simulated_ones(
    demo_build: Build, reports: Callable[[str, float], Report]
) -> None:
    ends = np.array(reports("verilator", 0.0).run.end_cycles)
    predicted = simulate_cycles(demo_build.design, demo_build.images[:IMAGES]).end_cycles
    assert np.array_equal(predicted - predicted[0], ends - ends[0])


def test_frames_follow_without_gaps(
    demo_build: Build, reports: Callable[[str, float], Report]
) -> None:
    report = reports("verilator", 0.0)
    bound = max(
        max(
            report.run.registers[f"{part.name}_tokens"] / IMAGES,
            part.macs / IMAGES / layer.pes,
        )
        for part, layer in zip(report.counts, demo_build.design.layers, strict=True)
    )
    assert report.run.cycles_per_image <= 1.2 * bound


def test_stalls_slow_down_but_change_nothing(reports: Callable[[str, float], Report]) -> None:
    free, stalled = reports("verilator", 0.0).run, reports("verilator", 0.3).run
    assert stalled.cycles_per_image > free.cycles_per_image
    assert np.array_equal(free.logits, stalled.logits)


def with_memory(build: Build, folder: Path, memory: Memory, word: int, bit: int) -> Path:
    """A copy of the build's memory images with one bit of one word flipped."""
    shutil.copytree(build.folder / "rtl" / "mem", folder / "mem")
    path = folder / "mem" / f"{memory.name}.mem"
    lines = path.read_text().splitlines()
    assert int(lines[word], 16) == memory.words[word]
    lines[word] = f"{int(lines[word], 16) ^ (1 << bit):x}"
    path.write_text("\n".join(lines) + "\n")
    return folder


def field_bit(memory: Memory, name: str, bit: int) -> int:
    """Place of a field's bit in the word."""
    names = [field.name for field in memory.fields]
    return sum(field.bits for field in memory.fields[: names.index(name)]) + bit


def flips(build: Build) -> dict[str, tuple[Memory, int, int]]:
    """A weight, a threshold and a requantizer constant that matter, and which bit to flip."""
    first, _, last = build.design.layers
    tensors = golden.tensors(build.design.computed, build.images[:IMAGES])
    wins = np.count_nonzero(tensors[first.name], axis=(0, 1, 2))
    busiest = int((wins * channels_read(build.design.computed, first.name)).argmax())
    pe, slot = (int(i) for i in np.argwhere(first.channel_of == busiest)[0])
    weights = last.weights[0]
    own = [group for groups in first.groups for group in groups]
    number, (start, _) = next((i, g) for i, g in enumerate(own) if g[0] <= pe < sum(g))
    thresholds = first.group_thresholds[number]
    stream = next(s for s in first.streams if s.first_pe <= pe < s.first_pe + s.pes)
    post = stream.post
    at = (pe - start) * first.slot_pitch + slot
    positive = int(thresholds.values[0][at]) >= 0
    top = first.accumulator_bits - (2 if positive else 1)  # so high that nothing wins any more
    return {
        "weight": (
            last.roms[0] if last.paired_roms else weights,
            0,
            field_bit(weights, "weight", 6),
        ),
        "threshold": (thresholds, at, field_bit(thresholds, "keep_from", top)),
        "multiplier": (
            post,
            (pe - stream.first_pe) * first.slots + slot,
            field_bit(post, "multiplier", 16),
        ),
    }


@pytest.mark.parametrize("what", ["nothing", "weight", "threshold", "multiplier"])
def test_one_flipped_bit_is_noticed(demo_build: Build, tmp_path: Path, what: str) -> None:
    images = demo_build.images[:IMAGES]
    if what == "nothing":
        shutil.copytree(demo_build.folder / "rtl" / "mem", tmp_path / "mem")
    else:
        with_memory(demo_build, tmp_path, *flips(demo_build)[what])
    run = run_rtl(
        demo_build.folder,
        [layer.name for layer in demo_build.network.layers],
        frame_bytes(images),
        demo_build.network.classes,
        run_folder=tmp_path,
    )
    mismatches = int(np.count_nonzero(run.logits != golden.run(demo_build.network, images)))
    assert (mismatches > 0) == (what != "nothing")


def test_missing_simulator_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(JpHwError, match="Icarus Verilog is not installed"):
        check_simulator("icarus", tmp_path)
    with pytest.raises(JpHwError, match="unknown simulator vcs; choose one of verilator, icarus"):
        check_simulator("vcs", tmp_path)


def test_bad_requests(demo_build: Build) -> None:
    with pytest.raises(JpHwError, match=r"--stall 1\.5 is no probability"):
        simulate(demo_build, 1, stall=1.5)
    with pytest.raises(JpHwError, match="holds 64 images"):
        simulate(demo_build, 65)
