"""Bench of jp_buffer."""

from typing import Any

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge

from rtl_tests.streams import (
    IDLE,
    STALL,
    Sink,
    Source,
    consecutive,
    outputs_ignore_inputs,
    parameter,
    reset,
    seeded,
    start,
    until,
)

WIDTH, DEPTH = parameter("Width"), parameter("Depth")
LATENCY = 3


@cocotb.test()
@cocotb.parametrize(idle=IDLE, stall=STALL)
async def stream(dut: Any, idle: float, stall: float) -> None:
    rng = seeded(dut, "stream", idle, stall)
    words = [rng.getrandbits(WIDTH) for _ in range(150)]
    source = Source(dut, dut.valid_i, dut.ready_o, [dut.data_i], rng, idle)
    sink = Sink(dut, dut.valid_o, dut.ready_i, [dut.data_o], rng, stall)
    await start(dut)
    await ClockCycles(dut.clk_i, 2)
    source.send(words)
    await until(dut, lambda: len(sink.words) == len(words))
    await ClockCycles(dut.clk_i, 5)
    assert sink.words == words
    if stall == 0.0:
        assert sink.cycles[0] - source.cycles[0][0] == LATENCY
    if idle == stall == 0.0:
        assert consecutive(sink.cycles) or DEPTH < 3


@cocotb.test()
async def room(dut: Any) -> None:
    """Depth words go in while nobody takes any; all come out, one a cycle; twice, so it wraps."""
    rng = seeded(dut, "room")
    source = Source(dut, dut.valid_i, dut.ready_o, [dut.data_i], rng)
    sink = Sink(dut, dut.valid_o, dut.ready_i, [dut.data_o], rng, 1.0)
    await start(dut)
    for _ in range(2):
        words = [rng.getrandbits(WIDTH) for _ in range(DEPTH + 20)]
        sink.words.clear()
        sink.cycles.clear()
        sink.stall = 1.0
        await ClockCycles(dut.clk_i, 3)
        source.send(words)
        await ClockCycles(dut.clk_i, DEPTH + 10)
        assert DEPTH <= len(words) - len(source.queues[0]) - 1 <= max(DEPTH, 2) + 2
        assert dut.ready_o.value == 0
        sink.stall = 0.0
        await until(dut, lambda words=words: len(sink.words) == len(words), 3 * DEPTH + 100)
        assert sink.words == words
        assert consecutive(sink.cycles[: max(DEPTH, 2)])


@cocotb.test()
async def registered_outputs(dut: Any) -> None:
    rng = seeded(dut, "registered")
    dut.valid_i.value = 0
    dut.ready_i.value = 0
    await start(dut)
    await ClockCycles(dut.clk_i, 3)
    for _ in range(60):

        def change() -> None:
            dut.valid_i.value = rng.getrandbits(1)
            dut.ready_i.value = rng.getrandbits(1)
            dut.data_i.value = rng.getrandbits(WIDTH)

        outputs = [dut.valid_o, dut.ready_o] + ([dut.data_o] if dut.valid_o.value == 1 else [])
        await outputs_ignore_inputs(dut, outputs, change)


@cocotb.test()
async def reset_empties(dut: Any) -> None:
    rng = seeded(dut, "reset")
    source = Source(dut, dut.valid_i, dut.ready_o, [dut.data_i], rng)
    sink = Sink(dut, dut.valid_o, dut.ready_i, [dut.data_o], rng, 1.0)
    await start(dut)
    source.send(rng.getrandbits(WIDTH) for _ in range(DEPTH))
    await ClockCycles(dut.clk_i, 6)
    assert dut.valid_o.value == 1
    source.clear()
    await reset(dut)
    sink.stall = 0.0
    await ClockCycles(dut.clk_i, 8)
    assert sink.words == []
    source.send([1])
    await until(dut, lambda: sink.words == [1], 10)
    await RisingEdge(dut.clk_i)
