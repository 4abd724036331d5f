"""Bench of jp_ring against a list of words."""

from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge, Timer

from rtl_tests.streams import PERIOD_NS, parameter, seeded

WIDTH, WORDS = parameter("Width"), 1 << parameter("AddrBits")


@cocotb.test()
async def reads_and_writes(dut: Any) -> None:
    rng = seeded(dut, "ring")
    memory: list[int | None] = [None] * WORDS
    cocotb.start_soon(Clock(dut.clk_i, PERIOD_NS, unit="ns").start())
    met = 0
    for _ in range(600):
        read, write, address = rng.randrange(WORDS), rng.random() < 0.6, rng.randrange(WORDS)
        word = rng.getrandbits(WIDTH)
        both = write and read == address
        met += both
        dut.read_addr_i.value = read
        dut.write_i.value = int(write)
        dut.write_addr_i.value = address
        dut.write_data_i.value = word
        dut.bypass_i.value = int(both)
        await RisingEdge(dut.clk_i)
        expected = word if both else memory[read]
        if write:
            memory[address] = word
        dut.write_i.value = 0  # too late to matter
        dut.read_addr_i.value = rng.randrange(WORDS)
        await Timer(PERIOD_NS // 2, "ns")
        assert expected is None or int(dut.data_o.value) == expected
    assert met > 10
