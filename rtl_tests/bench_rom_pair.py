"""Bench of jp_rom_pair: both memories at the same time, B with its enable."""

from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge, Timer

from rtl_tests.streams import PERIOD_NS, job, seeded

A, B = job()["data"]
COMPLEMENT = (1 << job()["parameters"]["AddrBitsB"]) - 1


@cocotb.test()
async def every_word(dut: Any) -> None:
    rng = seeded(dut, "pair")
    cocotb.start_soon(Clock(dut.clk_i, PERIOD_NS, unit="ns").start())
    held = None
    for i in range(max(len(A), len(B)) + 200):
        a, b, enable = i % len(A), rng.randrange(len(B)) if i >= len(B) else i, rng.random() < 0.8
        dut.a_addr_i.value = a
        dut.b_addr_i.value = b ^ COMPLEMENT
        dut.b_en_i.value = int(enable)
        await RisingEdge(dut.clk_i)
        held = B[b] if enable else held
        dut.a_addr_i.value = rng.randrange(len(A))  # too late to matter
        dut.b_addr_i.value = rng.randrange(len(B))
        await Timer(PERIOD_NS // 2, "ns")
        assert int(dut.a_data_o.value) == A[a]
        assert held is None or int(dut.b_data_o.value) == held
