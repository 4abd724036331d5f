"""cocotb test bench of a whole accelerator, driven by a job file; run by `jp_hw.simulate`.

The job (a JSON file named by JP_HW_JOB) says which bytes to send, as frames of the given lengths, how
often either side pauses, and which registers to read; the outcome goes to the file it names.
"""

import itertools
import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge, with_timeout
from cocotb.utils import get_sim_time
from cocotbext.axi import (
    AxiLiteBus,
    AxiLiteMaster,
    AxiStreamBus,
    AxiStreamFrame,
    AxiStreamSink,
    AxiStreamSource,
)

PERIOD_NS = 10


def pauses(probability: float, seed: int) -> Iterator[bool]:
    """Endless random pauses."""
    generator = random.Random(seed)
    return (generator.random() < probability for _ in itertools.count())


def cycle(time_ps: float) -> int:
    """Clock cycle of a simulation time."""
    return round(time_ps / (1000 * PERIOD_NS))


async def start(dut: Any, settle: int) -> None:
    """Start the clock and reset the accelerator; wait until it has cleared its memories."""
    Clock(dut.aclk, PERIOD_NS, unit="ns").start()
    dut.aresetn.value = 0
    await ClockCycles(dut.aclk, 4)
    dut.aresetn.value = 1
    await ClockCycles(dut.aclk, settle)


async def first_beat(dut: Any) -> int:
    """Cycle in which the first input beat is taken."""
    while True:
        await RisingEdge(dut.aclk)
        if dut.s_axis_tvalid.value == 1 and dut.s_axis_tready.value == 1:
            return cycle(get_sim_time("ps"))


def register_port(dut: Any) -> AxiLiteMaster:
    """The AXI4-Lite port, idle."""
    master = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axi"), dut.aclk, dut.aresetn, False)
    for port in (master.write_if, master.read_if):
        port.log.setLevel("WARNING")
    return master


@cocotb.test()
async def run_job(dut: Any) -> None:
    """Send all frames, receive all logits, read the registers."""
    job = json.loads(Path(os.environ["JP_HW_JOB"]).read_text())
    data = Path(job["frames"]).read_bytes()
    source = AxiStreamSource(AxiStreamBus.from_prefix(dut, "s_axis"), dut.aclk, dut.aresetn, False)
    sink = AxiStreamSink(AxiStreamBus.from_prefix(dut, "m_axis"), dut.aclk, dut.aresetn, False)
    for port in (source, sink):
        port.log.setLevel("WARNING")
    # a design without registers has no such port
    master = register_port(dut) if job["registers"] else None
    await start(dut, job["settle"])
    if job["stall"] > 0:
        source.set_pause_generator(pauses(job["stall"], job["seed"]))
        sink.set_pause_generator(pauses(job["stall"], job["seed"] + 1))

    begin = cocotb.start_soon(first_beat(dut))
    first = 0
    for length in job["lengths"]:
        source.send_nowait(AxiStreamFrame(data[first : first + length]))
        first += length
    logits, ends, errors = [], [], []
    for _ in job["lengths"]:
        frame = await with_timeout(sink.recv(), job["timeout"] * PERIOD_NS, "ns")
        users = frame.tuser if isinstance(frame.tuser, list) else [frame.tuser or 0]
        logits.append(np.frombuffer(bytes(frame.tdata), "<i4").tolist())
        errors.append(bool(max(users)))
        ends.append(cycle(frame.sim_time_end))
    sink.pause = False
    await ClockCycles(dut.aclk, 8)  # let the counters settle
    registers = {}
    for name, offset in job["registers"].items():
        assert master is not None
        registers[name] = int.from_bytes((await master.read(offset, 4)).data, "little")
    outcome = {
        "logits": logits,
        "errors": errors,
        "start_cycle": await begin,
        "end_cycles": ends,
        "registers": registers,
    }
    Path(job["outcome"]).write_text(json.dumps(outcome))
