"""Bench of jp_fifo."""

from typing import Any

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge

from rtl_tests.streams import (
    IDLE,
    STALL,
    Sink,
    Source,
    consecutive,
    now,
    outputs_ignore_inputs,
    parameter,
    reset,
    seeded,
    start,
    until,
)

WIDTH, DEPTH, SLACK = (parameter(name) for name in ("Width", "Depth", "Slack"))


async def late_sender(dut: Any, words: list[int], rng: Any, idle: float) -> None:
    """Pushes on the ready of SLACK cycles before, without looking at today's."""
    seen = [0] * (SLACK - 1)
    left = list(words)
    while left:
        await RisingEdge(dut.clk_i)
        seen.append(int(dut.ready_o.value))
        push = seen.pop(0) == 1 and rng.random() >= idle
        dut.valid_i.value = int(push)
        dut.data_i.value = left.pop(0) if push else rng.getrandbits(WIDTH)
    await RisingEdge(dut.clk_i)
    dut.valid_i.value = 0


@cocotb.test()
@cocotb.parametrize(idle=IDLE, stall=STALL)
async def stream(dut: Any, idle: float, stall: float) -> None:
    rng = seeded(dut, "stream", idle, stall)
    words = [rng.getrandbits(WIDTH) for _ in range(150)]
    sink = Sink(dut, dut.valid_o, dut.ready_i, [dut.data_o], rng, stall)
    dut.valid_i.value = 0
    if SLACK:
        await start(dut)
        await RisingEdge(dut.clk_i)
        cocotb.start_soon(late_sender(dut, words, rng, idle))
    else:
        source = Source(dut, dut.valid_i, dut.ready_o, [dut.data_i], rng, idle)
        source.send(words)
        await start(dut)
    await until(dut, lambda: len(sink.words) == len(words))
    await ClockCycles(dut.clk_i, 5)
    assert sink.words == words
    if not SLACK and idle == stall == 0.0:
        assert consecutive(sink.cycles) or DEPTH == SLACK + 2
        assert sink.cycles[0] == source.cycles[0][0] + 1  # leaves in the cycle after


@cocotb.test()
async def room(dut: Any) -> None:
    """Nobody takes: how many words fit, and is there room for Slack more when ready falls."""
    dut.valid_i.value = 0
    dut.ready_i.value = 0
    await start(dut)
    await RisingEdge(dut.clk_i)
    assert dut.ready_o.value == 0  # registered: still low from reset
    await RisingEdge(dut.clk_i)
    pushed = 0
    while dut.ready_o.value == 1:
        dut.valid_i.value = 1
        dut.data_i.value = pushed % (1 << WIDTH)
        pushed += 1
        await RisingEdge(dut.clk_i)  # the push happens at this edge
        dut.valid_i.value = 0
        await RisingEdge(dut.clk_i)
    assert pushed == DEPTH - SLACK
    for _ in range(SLACK):
        dut.valid_i.value = 1
        dut.data_i.value = pushed % (1 << WIDTH)
        pushed += 1
        await RisingEdge(dut.clk_i)
    dut.valid_i.value = 0
    sink = Sink(dut, dut.valid_o, dut.ready_i, [dut.data_o], seeded(dut, "room"))
    await ClockCycles(dut.clk_i, DEPTH + 6)
    assert sink.words == [i % (1 << WIDTH) for i in range(DEPTH)]


@cocotb.test()
async def full_and_taken(dut: Any) -> None:
    """A full queue takes a late word in the very cycle in which one leaves."""
    dut.valid_i.value = 0
    dut.ready_i.value = 0
    await start(dut)
    await ClockCycles(dut.clk_i, 3)
    total = DEPTH
    for i in range(total):
        dut.valid_i.value = 1
        dut.data_i.value = i % (1 << WIDTH)
        await RisingEdge(dut.clk_i)
    if SLACK:
        dut.ready_i.value = 1
        dut.data_i.value = total % (1 << WIDTH)
        await RisingEdge(dut.clk_i)
        assert dut.valid_o.value == 1
        assert int(dut.data_o.value) == 0
        total += 1
    dut.valid_i.value = 0
    sink = Sink(dut, dut.valid_o, dut.ready_i, [dut.data_o], seeded(dut, "full"))
    await ClockCycles(dut.clk_i, DEPTH + 6)
    assert sink.words == [i % (1 << WIDTH) for i in range(total)][total - DEPTH :]


@cocotb.test()
async def registered_outputs(dut: Any) -> None:
    rng = seeded(dut, "registered")
    dut.valid_i.value = 0
    dut.ready_i.value = 0
    await start(dut)
    await ClockCycles(dut.clk_i, 3)
    level = 0
    for _ in range(60):
        valid, ready = int(level < DEPTH - SLACK and rng.random() < 0.5), int(rng.random() < 0.5)

        def change(valid: int = valid, ready: int = ready) -> None:
            dut.valid_i.value = valid
            dut.ready_i.value = ready
            dut.data_i.value = rng.getrandbits(WIDTH)

        outputs = [dut.valid_o, dut.ready_o] + ([dut.data_o] if level else [])
        await outputs_ignore_inputs(dut, outputs, change)
        level += valid - (ready and level > 0)


@cocotb.test()
async def reset_empties(dut: Any) -> None:
    rng = seeded(dut, "reset")
    dut.valid_i.value = 0
    sink = Sink(dut, dut.valid_o, dut.ready_i, [dut.data_o], rng, 1.0)
    await start(dut)
    await ClockCycles(dut.clk_i, 3)
    dut.valid_i.value = 1
    dut.data_i.value = 0
    await RisingEdge(dut.clk_i)
    dut.valid_i.value = 0
    await ClockCycles(dut.clk_i, 2)
    assert dut.valid_o.value == 1
    await reset(dut)
    sink.stall = 0.0
    begin = now()
    await ClockCycles(dut.clk_i, 5)
    assert dut.valid_o.value == 0
    assert sink.words == []
    dut.valid_i.value = 1
    dut.data_i.value = 1
    await RisingEdge(dut.clk_i)
    dut.valid_i.value = 0
    await until(dut, lambda: sink.words == [1], 10)
    assert sink.cycles[0] > begin
