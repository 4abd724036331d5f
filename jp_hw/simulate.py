"""Simulation of a build folder's RTL, compared with the golden model."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jp_hw import golden
from jp_hw.emit.rtl import TOP
from jp_hw.errors import JpHwError
from jp_hw.ir import Int, Network
from jp_hw.registers import COUNTERS, register_map
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
    timeout: float = 3600.0,
) -> RawRun:
    """Send frames of bytes, of any length, to the accelerator in BUILD/rtl.

    stall: probability of a pause in each cycle, on both sides. run_folder: where `mem/` lies, BUILD/rtl
    unless given.
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
    job.write_text(
        json.dumps(
            {
                "frames": str(data),
                "lengths": [len(frame) for frame in frames],
                "stall": stall,
                "seed": seed,
                "settle": 4096,
                "timeout_cycles": int((200 * longest + 100_000) / (1.0 - stall) ** 2),
                "registers": {r.name: r.offset for r in register_map(tuple(layers))},
                "outcome": str(outcome),
            }
        )
    )
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
    if not outcome.is_file():
        raise JpHwError(f"the simulation ended without a result; see {folder / 'log.txt'}")
    raw = json.loads(outcome.read_text())
    if any(len(row) != classes for row in raw["logits"]):
        raise JpHwError(f"a frame came back without {classes} logits; see {folder / 'log.txt'}")
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


def mismatches(network: Network, images: np.ndarray, logits: Int) -> int:
    """How many logits differ from the golden model's."""
    return int(np.count_nonzero(golden.run(network, images) != logits))


__all__ = ["COUNTERS", "RawRun", "frame_bytes", "mismatches", "run_rtl"]
