"""Cycle simulation of a whole design: queues, PEs, drains and merges, but no arithmetic.

It follows the registers of the RTL that decide *when* something moves, one step per clock cycle, with
the column lengths and winners of real images, compiled by numba.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jp_hw.errors import JpHwError
from jp_hw.ir import INPUT, Int
from jp_hw.schedule.design import Design, LayerDesign
from jp_hw.schedule.traffic import Traffic, traffic

LIMIT = 1 << 24
"""Cycles per frame after which a simulation is given up."""


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
    return run_traffic(traffic(design, images), design.layers)


def run_traffic(flow: Traffic, layers: Sequence[LayerDesign]) -> CycleReport:
    """Predict the cycles of a given traffic."""
    from jp_hw.schedule.cycle_kernel import run  # numba is heavy

    lanes = [lane for layer in layers for lane in layer.lanes]
    parts = [lane for part in flow.layers for lane in part.lanes]
    numbers = {(layer.name, i): 0 for layer in layers for i in range(len(layer.streams))}
    wires = {(INPUT, 0): 0} | {key: 1 + i for i, key in enumerate(numbers)}
    wire_of = np.array([wires[lane.tensor, lane.stream] for lane in lanes])
    pe_first = _starts([layer.pes for layer in layers])
    groups = [
        [(first + one, count) for one, count in stream]
        for layer, first in zip(layers, pe_first, strict=False)
        for stream in layer.groups
    ]
    rows = [_targets(lane.lengths) for lane in parts]
    target_at = _starts([len(targets) for _, targets, _ in rows])
    ends, busy, macs = run(
        flow.beats,
        layers[-1].channel_of.max() + 1,
        pe_first,
        _starts([len(layer.lanes) for layer in layers]),
        _starts([layer.buses for layer in layers]),
        _starts([len(layer.streams) for layer in layers]),
        _starts([len(stream) for stream in groups]),
        np.array([(one, one + count) for stream in groups for one, count in stream]),
        np.array([(layer.fifo_depth, layer.winner_depth) for layer in layers]),
        np.array([_sizes(layer) for layer in layers]),
        np.array([5 if layer.table is None else 6 for layer in layers]),
        np.array([len(p.won) // la.pes for p, la in zip(flow.layers, layers, strict=True)]),
        np.concatenate([part.won for part in flow.layers]),
        _starts([len(part.won) for part in flow.layers]),
        _starts(np.bincount(wire_of, minlength=len(wires)).tolist()),
        np.argsort(wire_of, kind="stable"),
        wire_of,
        np.array([lane.buffer for lane in lanes]),
        np.array([len(lane.completed) for lane in parts]),
        np.concatenate([lane.completed for lane in parts]),
        _starts([len(lane.completed) for lane in parts]),
        np.concatenate([lane.columns for lane in parts]),
        _starts([len(lane.columns) for lane in parts]),
        np.concatenate([p + at for (p, _, _), at in zip(rows, target_at, strict=False)]),
        _starts([len(pointers) for pointers, _, _ in rows]),
        np.concatenate([targets for _, targets, _ in rows]),
        np.concatenate([lengths for _, _, lengths in rows]),
        LIMIT * len(flow.beats),
    )
    if not ends.all():
        raise JpHwError("the cycle simulation came to no end: the design waits for itself forever")
    return CycleReport(ends, busy, macs)


def _sizes(layer: LayerDesign) -> tuple[int, int, int]:
    taps = 1 if layer.pool is None else layer.pool.taps
    return layer.out_width * layer.slots, taps, int(layer.pool is not None)


def _starts(sizes: Sequence[int]) -> Int:
    """Where each of consecutive parts begins; the last entry is the whole size."""
    return np.cumsum([0, *sizes])


def _targets(lengths: Int) -> tuple[Int, Int, Int]:
    """Of each column the PEs that have work, and how much: (pointers, PEs, lengths)."""
    column, pe = np.nonzero(lengths)
    pointers = np.searchsorted(column, np.arange(len(lengths) + 1))
    return pointers.astype(np.int64), pe.astype(np.int64), lengths[column, pe]
