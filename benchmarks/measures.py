"""What several benchmarks measure in the same way."""

import resource
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jp_hw.boards import Board
from jp_hw.build import emit
from jp_hw.ir import Network
from jp_hw.schedule import schedule
from jp_hw.simulate import Report


def peak_megabytes() -> float:
    """Peak memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def children() -> float:
    """CPU seconds of this process and of its finished children."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + usage.ru_utime + usage.ru_stime


def generated(
    network: Network,
    board: Board,
    folder: Path,
    images: NDArray[np.uint8],
    pes: int | None = None,
    utilization: float | None = None,
) -> dict[str, object]:
    """Generate a build and say what that took."""
    begin = time.perf_counter()
    design = schedule(network, board, pes, utilization=utilization)
    emit(design, images).write(folder)
    return {
        "generate_seconds": time.perf_counter() - begin,
        "peak_megabytes": peak_megabytes(),
        "pes": design.pes,
    }


def summary(report: Report) -> dict[str, object]:
    """A simulation's figures."""
    raw = report.to_json()
    keys = (
        "stall", "images", "mismatches", "counters_exact", "cycles_per_image",
        "predicted_cycles_per_image", "macs_per_image", "utilization",
    )  # fmt: skip
    return {key: raw[key] for key in keys}
