"""Bench of jp_rom and jp_table, which the test tells apart by the toplevel's name."""

from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge, Timer

from rtl_tests.streams import PERIOD_NS, job, parameter, seeded

WORDS = job()["data"]


@cocotb.test()
async def every_word(dut: Any) -> None:
    rng = seeded(dut, "rom")
    assert len(dut.data_o) == parameter("Width")
    addresses = [*range(len(WORDS)), *(rng.randrange(len(WORDS)) for _ in range(200))]
    if dut._name == "jp_table":
        for address in addresses:
            dut.addr_i.value = address
            await Timer(1, "ns")
            assert int(dut.data_o.value) == WORDS[address]
        return
    cocotb.start_soon(Clock(dut.clk_i, PERIOD_NS, unit="ns").start())
    held = None
    for address in addresses:
        enable = rng.random() < 0.7
        dut.en_i.value = int(enable)
        dut.addr_i.value = address
        await RisingEdge(dut.clk_i)
        held = WORDS[address] if enable else held
        dut.addr_i.value = rng.randrange(len(WORDS))  # too late to matter
        await Timer(PERIOD_NS // 2, "ns")
        assert held is None or int(dut.data_o.value) == held
