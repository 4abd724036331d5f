"""Cycle simulation of a whole design: queues, PEs, drains and merges, but no arithmetic.

It follows the registers of the RTL that decide *when* something moves, one step per clock cycle, with
the column lengths and winners of real images, compiled by numba.
"""

from dataclasses import dataclass

import numpy as np

from jp_hw.ir import Int
from jp_hw.schedule.design import Design
from jp_hw.schedule.traffic import Traffic, traffic


@dataclass(frozen=True)
class CycleReport:
    """end_cycles: int64 (frames,), the cycle of each frame's last logit, counted from the first beat.
    busy, macs: int64 (layers,), cycles with any work, and multiply-accumulates, over all frames."""

    end_cycles: Int
    busy: Int
    macs: Int

    @property
    def cycles_per_image(self) -> float:
        """Mean distance of consecutive frames."""
        ends = self.end_cycles
        if len(ends) < 2:
            return float(ends[0])
        return float(ends[-1] - ends[0]) / (len(ends) - 1)


def simulate_cycles(design: Design, images: np.ndarray) -> CycleReport:
    """Predict the cycles of consecutive images, integers (n, height, width, channels)."""
    layers = design.layers
    return run_traffic(
        traffic(design, images),
        [layer.fifo_depth for layer in layers],
        [layer.winner_depth for layer in layers],
        design.network.classes,
    )


def run_traffic(
    flow: Traffic, fifo_depths: list[int], winner_depths: list[int], classes: int
) -> CycleReport:
    """Predict the cycles of a given traffic."""
    from jp_hw.schedule.cycle_kernel import QUEUE, run  # numba is heavy

    if max(*fifo_depths, *winner_depths) > QUEUE:
        raise ValueError(f"queues can be {QUEUE} words deep at most")

    layers = flow.layers
    lengths, length_at = _flat([layer.lengths for layer in layers])
    winners, winner_at = _flat([layer.winners for layer in layers])
    completed, completed_at = _flat([layer.completed for layer in layers])
    ends, busy, macs = run(
        flow.beats,
        np.array([layer.lengths.shape[1] for layer in layers]),
        np.array([layer.winners.shape[2] for layer in layers]),
        np.array([len(layer.completed) for layer in layers]),
        lengths,
        length_at,
        winners,
        winner_at,
        completed,
        completed_at,
        np.array(fifo_depths),
        np.array(winner_depths),
        classes,
    )
    return CycleReport(ends, busy, macs)


def _flat(arrays: list[Int]) -> tuple[Int, Int]:
    """Arrays end to end, and where each begins; the last entry is the whole length."""
    starts = np.cumsum([0, *(array.size for array in arrays)])
    return np.concatenate([array.reshape(-1) for array in arrays]), starts
