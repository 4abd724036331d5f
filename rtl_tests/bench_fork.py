"""Bench of jp_fork."""

from random import Random
from typing import Any

import cocotb
from cocotb.triggers import ReadOnly, RisingEdge, Timer

from rtl_tests.streams import IDLE, STALL, parameter, reset, seeded, start

OUTPUTS = parameter("Outputs")
ALL = (1 << OUTPUTS) - 1


class Bench:
    """Offers words and takes them, every reader on its own; got: per reader, the words' numbers."""

    def __init__(self, dut: Any, rng: Random, idle: float, stall: float) -> None:
        self.dut, self.rng, self.idle, self.stall = dut, rng, idle, stall
        self.word = self.cycles = 0
        self.got: list[list[int]] = [[] for _ in range(OUTPUTS)]
        dut.valid_i.value = 0
        dut.ready_i.value = 0

    async def run(self, count: int) -> None:
        """Until `count` words have been taken."""
        dut, offered, patient = self.dut, 0, 0
        while self.word < count:
            offered = offered or int(self.rng.random() >= self.idle)
            ready = sum((self.rng.random() >= self.stall) << i for i in range(OUTPUTS))
            dut.valid_i.value, dut.ready_i.value = offered, ready
            await ReadOnly()
            valid = int(dut.valid_o.value)
            assert valid & ~(ALL * offered) == 0
            assert patient & ~valid == 0, "valid fell before ready came"
            patient = valid & ~ready
            for i in range(OUTPUTS):
                if valid >> i & ready >> i & 1:
                    self.got[i].append(self.word)
            taken = offered and int(dut.ready_o.value)
            await RisingEdge(dut.clk_i)
            self.cycles += 1
            if taken:
                assert all(len(own) == self.word + 1 for own in self.got)
                self.word, offered, patient = self.word + 1, 0, 0
            assert self.cycles < 100 * count, "nothing came of it"


@cocotb.test()
@cocotb.parametrize(idle=IDLE, stall=STALL)
async def stream(dut: Any, idle: float, stall: float) -> None:
    bench = Bench(dut, seeded(dut, "stream", idle, stall), idle, stall)
    await start(dut)
    await RisingEdge(dut.clk_i)
    await bench.run(100)
    assert bench.got == [list(range(100))] * OUTPUTS
    assert idle > 0 or stall > 0 or bench.cycles == 100


@cocotb.test()
async def readers_do_not_wait_for_one_another(dut: Any) -> None:
    """valid_o does not move with ready_i; a reader that has the word sees no other before all do."""
    bench = Bench(dut, seeded(dut, "alone"), 0.0, 0.0)
    await start(dut)
    await RisingEdge(dut.clk_i)
    dut.valid_i.value = 1
    taken = 0
    for i in reversed(range(OUTPUTS)):
        for ready in (0, ALL, 1 << i):
            dut.ready_i.value = ready
            await Timer(1, "ns")
            assert int(dut.valid_o.value) == ALL & ~taken
        await ReadOnly()
        assert int(dut.ready_o.value) == (i == 0)
        await RisingEdge(dut.clk_i)
        taken |= 1 << i
    dut.valid_i.value = 0
    await RisingEdge(dut.clk_i)
    await bench.run(5)  # and the next words go to all again
    assert bench.got == [list(range(5))] * OUTPUTS


@cocotb.test()
async def reset_forgets_who_has_a_word(dut: Any) -> None:
    await start(dut)
    await RisingEdge(dut.clk_i)
    dut.valid_i.value, dut.ready_i.value = 1, 1
    await RisingEdge(dut.clk_i)
    await ReadOnly()
    assert int(dut.valid_o.value) == ALL & ~1
    await RisingEdge(dut.clk_i)
    dut.valid_i.value = 0
    await reset(dut)
    dut.valid_i.value, dut.ready_i.value = 1, 0
    await ReadOnly()
    assert int(dut.valid_o.value) == ALL
