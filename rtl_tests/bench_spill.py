"""Bench of jp_spill, two words deep, and jp_stage, one word deep, whose ready follows its reader's."""

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

WIDTH = parameter("Width")


def depth(dut: Any) -> int:
    return {"jp_spill": 2, "jp_stage": 1}[str(dut._name)]


@cocotb.test()
@cocotb.parametrize(idle=IDLE, stall=STALL)
async def stream(dut: Any, idle: float, stall: float) -> None:
    rng = seeded(dut, "stream", idle, stall)
    words = [rng.getrandbits(WIDTH) for _ in range(150)]
    source = Source(dut, dut.valid_i, dut.ready_o, [dut.data_i], rng, idle)
    sink = Sink(dut, dut.valid_o, dut.ready_i, [dut.data_o], rng, stall)
    source.send(words)
    await start(dut)
    await until(dut, lambda: len(sink.words) == len(words))
    await ClockCycles(dut.clk_i, 5)
    assert sink.words == words
    if stall == 0.0:
        # after the first word (the sink opens a cycle after reset) each takes 1 cycle
        assert [b - a for a, b in zip(source.cycles[0][3:], sink.cycles[3:], strict=True)] == [
            1
        ] * 147
        assert idle > 0 or consecutive(sink.cycles)


@cocotb.test()
async def depth_without_reader(dut: Any) -> None:
    rng = seeded(dut, "deep")
    source = Source(dut, dut.valid_i, dut.ready_o, [dut.data_i], rng)
    sink = Sink(dut, dut.valid_o, dut.ready_i, [dut.data_o], rng, 1.0)
    words = [i % (1 << WIDTH) for i in range(5)]
    source.send(words)
    await start(dut)
    await ClockCycles(dut.clk_i, 10)
    assert len(source.cycles[0]) == depth(dut)
    assert sink.words == []
    sink.stall = 0.0
    await until(dut, lambda: len(sink.words) == 5, 20)
    assert sink.words == words


@cocotb.test()
async def registered_outputs(dut: Any) -> None:
    rng = seeded(dut, "registered")
    dut.valid_i.value = 0
    dut.ready_i.value = 0
    dut.data_i.value = 0
    await start(dut)
    await ClockCycles(dut.clk_i, 3)
    for _ in range(60):

        def change() -> None:
            dut.valid_i.value = int(rng.random() < 0.6)
            dut.ready_i.value = int(rng.random() < 0.6)
            dut.data_i.value = rng.getrandbits(WIDTH)

        outputs = [dut.valid_o, dut.data_o] + ([dut.ready_o] if depth(dut) == 2 else [])
        await outputs_ignore_inputs(dut, outputs, change)


@cocotb.test()
async def reset_forgets(dut: Any) -> None:
    rng = seeded(dut, "reset")
    source = Source(dut, dut.valid_i, dut.ready_o, [dut.data_i], rng)
    sink = Sink(dut, dut.valid_o, dut.ready_i, [dut.data_o], rng, 1.0)
    source.send([0, 1, 0, 1])
    await start(dut)
    await ClockCycles(dut.clk_i, 6)
    source.clear()
    dut.rst_ni.value = 0
    await ClockCycles(dut.clk_i, 2)
    assert dut.ready_o.value == (depth(dut) == 1)
    assert dut.valid_o.value == 0
    await reset(dut)
    sink.stall = 0.0
    await ClockCycles(dut.clk_i, 4)
    source.send([1, 1, 0])
    await until(dut, lambda: len(sink.words) == 3, 20)
    await RisingEdge(dut.clk_i)
    assert sink.words == [1, 1, 0]
