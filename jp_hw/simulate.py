"""Simulation of a build folder's RTL, compared with the golden model."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jp_hw import golden
from jp_hw.build import Build, describe, open_build
from jp_hw.emit.rtl import TOP
from jp_hw.errors import JpHwError
from jp_hw.ir import Int
from jp_hw.macs import LayerCount, count
from jp_hw.registers import register_map
from jp_hw.schedule.cycles import simulate_cycles
from jp_hw.simulators import Job, sources_of


@dataclass(frozen=True)
class RawRun:
    """What came out of a simulation.

    logits: int64 (frames, classes). errors: per frame, its error flag. end_cycles: cycle of each
    frame's last logit; start_cycle: of the first frame's first beat.
    """

    logits: Int
    errors: tuple[bool, ...]
    start_cycle: int
    end_cycles: tuple[int, ...]
    registers: Mapping[str, int]

    @property
    def cycles_per_image(self) -> float:
        """Mean distance of consecutive frames' last logits."""
        if len(self.end_cycles) < 2:
            return float(self.latency_cycles)
        return (self.end_cycles[-1] - self.end_cycles[0]) / (len(self.end_cycles) - 1)

    @property
    def latency_cycles(self) -> int:
        """Cycles from the first frame's first beat to its last logit."""
        return self.end_cycles[0] - self.start_cycle


@dataclass(frozen=True)
class Report:
    """A simulation compared with the golden model.

    mismatches: logits that differ. counts: what the golden model's tensors say each layer must have
    done. predicted: cycles per image by the cycle simulation, for the same images without stalls.
    correct: images classified as labelled, None where labels are unknown.
    """

    build: Build
    simulator: str
    stall: float
    run: RawRun
    mismatches: int
    counts: tuple[LayerCount, ...]
    predicted: float
    correct: int | None

    @property
    def images(self) -> int:
        """Number of images."""
        return len(self.run.logits)

    @property
    def counters_exact(self) -> bool:
        """Whether the hardware's own MAC and frame counters agree with the golden model."""
        registers = self.run.registers
        return all(
            registers[f"{layer.name}_macs"] == layer.macs
            and registers[f"{layer.name}_frames"] == self.images
            for layer in self.counts
        )

    @property
    def passed(self) -> bool:
        """Whether everything is equal."""
        return self.mismatches == 0 and self.counters_exact and not any(self.run.errors)

    def utilization(self, layer: int | None = None) -> float:
        """MACs / (PEs x cycles), of one layer or of the whole array, in the steady state."""
        design = self.build.design
        own = self.counts if layer is None else self.counts[layer : layer + 1]
        pes = design.pes if layer is None else design.layers[layer].pes
        macs = sum(part.macs for part in own) / self.images
        return macs / (pes * self.run.cycles_per_image)

    def to_json(self) -> dict[str, object]:
        """The report with stable keys; MACs, tokens and busy cycles are means per image."""
        registers, clock = self.run.registers, self.build.design.clock_mhz
        return {
            **describe(self.build),
            "simulator": self.simulator,
            "stall": self.stall,
            "images": self.images,
            "bit_exact": self.mismatches == 0,
            "mismatches": self.mismatches,
            "counters_exact": self.counters_exact,
            "correct": self.correct,
            "cycles_per_image": self.run.cycles_per_image,
            "latency_cycles": self.run.latency_cycles,
            "predicted_cycles_per_image": self.predicted,
            "clock_mhz": clock,
            "images_per_second": clock * 1e6 / self.run.cycles_per_image,
            "macs_per_image": sum(part.macs for part in self.counts) / self.images,
            "dense_macs": self.build.network.dense_macs,
            "pes": self.build.design.pes,
            "utilization": self.utilization(),
            "layers": [
                {
                    "name": part.name,
                    "pes": self.build.design.layers[i].pes,
                    "tokens": registers[f"{part.name}_tokens"] / self.images,
                    "macs": registers[f"{part.name}_macs"] / self.images,
                    "busy_cycles": registers[f"{part.name}_busy"] / self.images,
                    "stalled_cycles": registers[f"{part.name}_stalled"] / self.images,
                    "utilization": self.utilization(i),
                }
                for i, part in enumerate(self.counts)
            ],
        }


def run_rtl(
    build: Path,
    layers: Sequence[str],
    frames: Sequence[bytes],
    classes: int,
    *,
    simulator: str = "verilator",
    stall: float = 0.0,
    seed: int = 1,
    waves: bool = False,
    run_folder: Path | None = None,
    settle: int = 4096,
    timeout: float = 3600.0,
) -> RawRun:
    """Send frames of bytes, of any length, to the accelerator in BUILD/rtl.

    stall: probability of a pause in each cycle, on both sides. run_folder: where `mem/` lies, BUILD/rtl
    unless given. settle: cycles before the first beat, so that the PEs have cleared their rings and
    the first frame's latency is that of any frame.
    """
    if not 0.0 <= stall < 1.0:
        raise JpHwError(f"--stall {stall} is no probability: give at least 0, less than 1")
    build = build.resolve()
    folder = build / "sim" / (simulator + ("-waves" if waves else ""))
    folder.mkdir(parents=True, exist_ok=True)
    data, outcome, job = folder / "frames.bin", folder / "outcome.json", folder / "frames.json"
    data.write_bytes(b"".join(frames))
    outcome.unlink(missing_ok=True)
    longest = max(len(frame) for frame in frames)
    request = {
        "frames": str(data),
        "lengths": [len(frame) for frame in frames],
        "stall": stall,
        "seed": seed,
        "settle": settle,
        "timeout_cycles": int((200 * longest + 100_000) / (1.0 - stall) ** 2),
        "registers": {r.name: r.offset for r in register_map(tuple(layers))},
        "outcome": str(outcome),
    }
    job.write_text(json.dumps(request))
    Job(
        simulator,
        tuple(sources_of(build / "rtl")),
        TOP,
        str(folder),
        str(run_folder or build / "rtl"),
        "jp_hw.testbench",
        environment={"JP_HW_JOB": str(job)},
        waves=waves,
    ).run(timeout)
    if waves:
        keep_waves(folder, run_folder or build / "rtl")
    return _outcome(outcome, classes, folder / "log.txt")


def keep_waves(folder: Path, run_folder: Path) -> Path:
    """Move a simulation's waveforms to its own folder, as waves.vcd or waves.fst."""
    for recorded in (run_folder / "dump.vcd", folder / "build" / f"{TOP}.fst"):
        if recorded.is_file():
            return recorded.replace(folder / f"waves{recorded.suffix}")
    raise JpHwError(f"the simulator recorded no waveforms; see {folder / 'log.txt'}")


def _outcome(path: Path, classes: int, log: Path) -> RawRun:
    """Read what the test bench wrote."""
    if not path.is_file():
        raise JpHwError(f"the simulation ended without a result; see {log}")
    raw = json.loads(path.read_text())
    if any(len(row) != classes for row in raw["logits"]):
        raise JpHwError(f"a frame came back without {classes} logits; see {log}")
    return RawRun(
        np.array(raw["logits"], np.int64),
        tuple(raw["errors"]),
        raw["start_cycle"],
        tuple(raw["end_cycles"]),
        raw["registers"],
    )


def frame_bytes(images: np.ndarray) -> list[bytes]:
    """Frames of images (n, height, width, channels): one byte per value, row, column, channel."""
    return [image.astype(np.int64).astype(np.uint8).tobytes() for image in images]


def simulate(
    build: Build | Path,
    images: int = 20,
    *,
    simulator: str = "verilator",
    stall: float = 0.0,
    seed: int = 1,
    waves: bool = False,
) -> Report:
    """Simulate the first images of a build on its RTL and compare every logit with the golden model.

    stall: probability of a pause in each cycle, on both sides; seed: of those pauses. waves: write
    them to BUILD/sim. Raises JpHwError if the simulator is missing or fails.
    """
    if not isinstance(build, Build):
        build = open_build(build)
    batch, labels = build.first_images(images)
    network = build.network
    run = run_rtl(
        build.folder,
        [layer.name for layer in network.layers],
        frame_bytes(batch),
        network.classes,
        simulator=simulator,
        stall=stall,
        seed=seed,
        waves=waves,
        settle=64 + max(1 << layer.ring_bits for layer in build.design.layers),
    )
    expected = golden.run(network, batch)
    return Report(
        build,
        simulator,
        stall,
        run,
        mismatches=int(np.count_nonzero(expected != run.logits)),
        counts=tuple(count(network, batch)),
        predicted=simulate_cycles(build.design, batch).cycles_per_image,
        correct=int(np.count_nonzero(run.logits.argmax(1) == labels))
        if (labels >= 0).all()
        else None,
    )
