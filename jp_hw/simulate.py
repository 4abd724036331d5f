"""Simulation of a build folder's RTL, ours or an HLS compiler's, compared with the golden model."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jp_hw import golden
from jp_hw.build import Build, describe, open_build
from jp_hw.emit.rtl import TOP
from jp_hw.errors import JpHwError
from jp_hw.hls.run import open_hls
from jp_hw.hls.wrapper import WRAPPER
from jp_hw.ir import Int
from jp_hw.macs import LayerCount, count
from jp_hw.native_bench import SMALL, compile_bench, run_bench
from jp_hw.registers import register_map
from jp_hw.schedule.cycles import simulate_cycles
from jp_hw.simulators import Job, sources_of

BENCHES = ("cocotb", "compiled")
RTL = ("own", "hls")
"""Which RTL of a build: our SystemVerilog, or what an HLS compiler made of our C++."""


@dataclass(frozen=True)
class Target:
    """RTL to simulate: its top module, and the folder of its sources and memory contents.

    made_by: our name, or the compiler's and its version. has_registers: whether it has the AXI4-Lite
    port; an HLS compiler's has not. patience: how many times longer than ours a frame may take.
    """

    kind: str
    top: str
    folder: Path
    made_by: str
    has_registers: bool
    patience: int

    @classmethod
    def of(cls, build: Path, kind: str) -> "Target":
        """The RTL of that kind in a build; JpHwError if it has none."""
        if kind == "own":
            return cls(kind, TOP, build / "rtl", "jp_hw", True, 1)
        if kind != "hls":
            raise JpHwError(f"unknown RTL {kind}; choose one of {', '.join(RTL)}")
        made = open_hls(build)
        by = f"{made.report.compiler} {made.report.version}"
        return cls(kind, WRAPPER, made.rtl, by, False, 10)


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
    done. predicted: cycles per image by the cycle simulation, for the same images without stalls;
    None for an HLS compiler's RTL, which keeps its own time. correct: images classified as labelled,
    None where labels are unknown. waves: folder of recorded waveforms.
    """

    build: Build
    simulator: str
    stall: float
    run: RawRun
    mismatches: int
    counts: tuple[LayerCount, ...]
    predicted: float | None
    correct: int | None
    target: Target
    bench: str = "cocotb"
    waves: Path | None = None

    @property
    def images(self) -> int:
        """Number of images."""
        return len(self.run.logits)

    @property
    def counters_exact(self) -> bool | None:
        """Whether the hardware's own MAC and frame counters agree with the golden model.

        None where it has none.
        """
        registers = self.run.registers
        if not self.target.has_registers:
            return None
        return all(
            registers[f"{layer.name}_macs"] == layer.executed
            and registers[f"{layer.name}_frames"] == self.images
            for layer in self.counts
        )

    @property
    def passed(self) -> bool:
        """Whether everything is equal."""
        return (
            self.mismatches == 0 and self.counters_exact is not False and not any(self.run.errors)
        )

    def utilization(self, layer: int | None = None) -> float:
        """MACs / (PEs x cycles), of one layer or of the whole array, in the steady state."""
        design = self.build.design
        own = self.counts if layer is None else self.counts[layer : layer + 1]
        pes = design.pes if layer is None else design.layers[layer].pes
        macs = sum(part.macs for part in own) / self.images
        return macs / (pes * self.run.cycles_per_image)

    def _mean(self, register: str, otherwise: int | None = None) -> float | None:
        """A counter per image, or what stands in for it where there are no counters."""
        value = self.run.registers.get(register, otherwise)
        return None if value is None else value / self.images

    def to_json(self) -> dict[str, object]:
        """The report with stable keys; MACs, tokens and busy cycles are means per image.

        Without counters, MACs are the golden model's, and what only they know is None.
        """
        clock = self.build.design.clock_mhz
        return {
            **describe(self.build),
            "rtl": self.target.kind,
            "made_by": self.target.made_by,
            "simulator": self.simulator,
            "bench": self.bench,
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
                    "tokens": self._mean(f"{part.name}_tokens"),
                    "macs": self._mean(f"{part.name}_macs", part.macs),
                    "busy_cycles": self._mean(f"{part.name}_busy"),
                    "stalled_cycles": self._mean(f"{part.name}_stalled"),
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
    target: Target | None = None,
    simulator: str = "verilator",
    bench: str = "cocotb",
    stall: float = 0.0,
    seed: int = 1,
    waves: bool = False,
    run_folder: Path | None = None,
    settle: int = 4096,
    timeout: float = 3600.0,
) -> RawRun:
    """Send frames of bytes, of any length, to an accelerator of a build.

    target: which one, BUILD/rtl's unless given. stall: probability of a pause in each cycle, on both
    sides. run_folder: where memory contents are looked up, the target's folder unless given. settle:
    cycles before the first beat, so that the PEs have cleared their rings and the first frame's
    latency is that of any frame.
    """
    if not 0.0 <= stall < 1.0:
        raise JpHwError(f"--stall {stall} is no probability: give at least 0, less than 1")
    build = build.resolve()
    target = target or Target.of(build, "own")
    if bench == "compiled" and (simulator != "verilator" or waves or target.kind != "own"):
        raise JpHwError(
            "the compiled test bench runs our own RTL on verilator, and records no waves; "
            "use --bench cocotb"
        )
    folder = run_folder_of(build, "compiled" if bench == "compiled" else simulator, target, waves)
    folder.mkdir(parents=True, exist_ok=True)
    data, outcome = folder / "frames.bin", folder / "outcome.json"
    data.write_bytes(b"".join(frames))
    outcome.unlink(missing_ok=True)
    longest = max(len(frame) for frame in frames)
    registers = {r.name: r.offset for r in register_map(tuple(layers))}
    request: dict[str, object] = {
        "frames": str(data),
        "stall": stall,
        "seed": seed,
        "settle": settle,
        "timeout": int((200 * longest * target.patience + 100_000) / (1.0 - stall) ** 2),
        "outcome": str(outcome),
    }
    lengths = [len(frame) for frame in frames]
    at = run_folder or target.folder
    if bench == "compiled":
        program = compile_bench(target.folder, target.top, folder, timeout=timeout)
        run_bench(program, at, request, registers, lengths, timeout=timeout)
        return _outcome(outcome, classes, folder / "log.txt")
    job = folder / "frames.json"
    known = registers if target.has_registers else {}
    job.write_text(json.dumps({**request, "lengths": lengths, "registers": known}))
    Job(
        simulator,
        tuple(sources_of(target.folder)),
        target.top,
        str(folder),
        str(at),
        "jp_hw.testbench",
        environment={"JP_HW_JOB": str(job)},
        waves=waves,
    ).run(timeout)
    if waves:
        keep_waves(folder, run_folder or target.folder, target.top)
    return _outcome(outcome, classes, folder / "log.txt")


def run_folder_of(build: Path, simulator: str, target: Target, waves: bool) -> Path:
    """Where a simulation of a build is compiled, and leaves its log and waveforms."""
    kind = "" if target.kind == "own" else f"-{target.kind}"
    return build / "sim" / (simulator + kind + ("-waves" if waves else ""))


def keep_waves(folder: Path, run_folder: Path, top: str = TOP) -> Path:
    """Move a simulation's waveforms to its own folder, as waves.vcd or waves.fst."""
    for recorded in (run_folder / "dump.vcd", folder / "build" / f"{top}.fst"):
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


def default_bench(build: Build, simulator: str, rtl: str, waves: bool) -> str:
    """`compiled` for designs that cocotb's Verilator would take many minutes for, else `cocotb`."""
    fits = simulator == "verilator" and rtl == "own" and not waves
    return "compiled" if fits and build.design.pes > SMALL else "cocotb"


def simulate(
    build: Build | Path,
    images: int = 20,
    *,
    rtl: str = "own",
    simulator: str = "verilator",
    bench: str | None = None,
    stall: float = 0.0,
    seed: int = 1,
    waves: bool = False,
) -> Report:
    """Simulate the first images of a build on its RTL and compare every logit with the golden model.

    rtl: `own`, or `hls` for what an HLS compiler made (`compile_hls`). bench: `cocotb`, or `compiled`
    for the C++ one; by the design's size unless given. stall: probability of a pause in each cycle,
    on both sides; seed: of those pauses. waves: write them to BUILD/sim. Raises JpHwError
    if the simulator is missing or fails.
    """
    if not isinstance(build, Build):
        build = open_build(build)
    batch, labels = build.first_images(images)
    network = build.network
    target = Target.of(build.folder.resolve(), rtl)
    bench = bench or default_bench(build, simulator, rtl, waves)
    if bench not in BENCHES:
        raise JpHwError(f"unknown bench {bench}; choose one of {', '.join(BENCHES)}")
    run = run_rtl(
        build.folder,
        [layer.name for layer in network.layers],
        frame_bytes(batch),
        network.classes,
        target=target,
        simulator=simulator,
        bench=bench,
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
        counts=tuple(
            count(network, batch, beside=build.design.beside, computed=build.design.computed)
        ),
        predicted=simulate_cycles(build.design, batch).cycles_per_image if rtl == "own" else None,
        correct=int(np.count_nonzero(run.logits.argmax(1) == labels))
        if (labels >= 0).all()
        else None,
        target=target,
        bench=bench,
        waves=run_folder_of(build.folder, simulator, target, waves) if waves else None,
    )
