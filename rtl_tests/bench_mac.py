"""Bench of jp_mac against integers."""

from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge, Timer

from rtl_tests.streams import PERIOD_NS, parameter, seeded

WEIGHT, VALUE, ACC = (parameter(f"{name}Bits") for name in ("Weight", "Value", "Acc"))


def wrapped(value: int) -> int:
    """The value in the accumulator's bits."""
    return value & ((1 << ACC) - 1)


@cocotb.test()
async def sums(dut: Any) -> None:
    rng = seeded(dut, "mac")
    cocotb.start_soon(Clock(dut.clk_i, PERIOD_NS, unit="ns").start())
    products: list[int] = []
    total: int | None = None
    for _ in range(500):
        weight = rng.choice([-(1 << (WEIGHT - 1)), rng.randrange(1 << (WEIGHT - 1))])
        value = rng.choice([-(1 << (VALUE - 1)), rng.randrange(1 << (VALUE - 1))])
        old, add_old, clear = rng.getrandbits(ACC), rng.random() < 0.5, rng.random() < 0.1
        dut.weight_i.value = weight & ((1 << WEIGHT) - 1)
        dut.value_i.value = value & ((1 << VALUE) - 1)
        dut.old_i.value = old
        dut.add_old_i.value = int(add_old)
        dut.clear_i.value = int(clear)
        await RisingEdge(dut.clk_i)
        products.append(weight * value)
        known = len(products) > 3 and (add_old or total is not None)
        addend = old if add_old else total
        if clear:
            total = 0
        elif known and addend is not None:
            total = wrapped(addend + products[-4])
        else:
            total = None
        await Timer(PERIOD_NS // 2, "ns")
        assert total is None or wrapped(int(dut.sum_o.value)) == total
