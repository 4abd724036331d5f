"""Bench of jp_counters, against sums in Python."""

from typing import Any

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge

from rtl_tests.streams import parameter, reset, seeded, start

LANES, PES, HEIGHT = (parameter(name) for name in ("Lanes", "Pes", "OutHeight"))
LATE = 4
NAMES = ("tokens", "macs", "busy", "stalled", "frames")
PORTS = ("token_i", "mac_i", "busy_i", "stall_i", "row_i")


def quiet(dut: Any) -> None:
    for port in PORTS:
        getattr(dut, port).value = 0


def counts(dut: Any) -> dict[str, int]:
    word = int(dut.counters_o.value)
    return {name: word >> 32 * i & 0xFFFFFFFF for i, name in enumerate(NAMES)}


class Model:
    def __init__(self) -> None:
        self.total = dict.fromkeys(NAMES, 0)
        self.rows = 0

    def add(self, token: int, mac: int, busy: int, stall: int, row: int) -> dict[str, int]:
        self.rows += row
        self.total["tokens"] += token.bit_count()
        self.total["macs"] += mac.bit_count()
        self.total["busy"] += busy != 0
        self.total["stalled"] += stall != 0
        self.total["frames"] = self.rows // HEIGHT
        return dict(self.total)


async def drive(dut: Any, rng: Any, model: Model, cycles: int, density: float) -> None:
    """Random inputs; counters are never ahead, and at most LATE cycles behind."""
    past = [dict(model.total)] * (LATE + 1)

    def bits(width: int) -> int:
        return sum((rng.random() < density) << i for i in range(width))

    for _ in range(cycles):
        values = (bits(LANES), bits(PES), bits(PES), bits(LANES), bits(1))
        for port, value in zip(PORTS, values, strict=True):
            getattr(dut, port).value = value
        await RisingEdge(dut.clk_i)
        seen = counts(dut)  # before this edge
        for name in NAMES:
            assert past[-1 - LATE][name] <= seen[name] <= past[-1][name], name
        past.append(model.add(*values))
    quiet(dut)
    await ClockCycles(dut.clk_i, LATE + 1)
    assert counts(dut) == model.total


@cocotb.test()
@cocotb.parametrize(density=[0.02, 0.5, 0.95, 1.0])
async def sums(dut: Any, density: float) -> None:
    rng = seeded(dut, "sums", density)
    quiet(dut)
    await start(dut)
    model = Model()
    await drive(dut, rng, model, 120, density)
    await drive(dut, rng, model, 40, 1 - density)


@cocotb.test()
async def reset_clears(dut: Any) -> None:
    rng = seeded(dut, "reset")
    quiet(dut)
    await start(dut)
    await drive(dut, rng, Model(), 2 * HEIGHT + 5, 0.8)
    for port in PORTS:
        getattr(dut, port).value = 1
    await RisingEdge(dut.clk_i)
    await reset(dut)
    quiet(dut)
    await ClockCycles(dut.clk_i, LATE + 1)
    assert counts(dut) == dict.fromkeys(NAMES, 0)
    await drive(dut, rng, Model(), 50, 0.6)


@cocotb.test()
async def wraps(dut: Any) -> None:
    rng = seeded(dut, "wrap")
    quiet(dut)
    await start(dut)
    await ClockCycles(dut.clk_i, 2)
    for name in NAMES:
        register = getattr(dut, f"{name}_q")
        register.value = 0xFFFFFFFF
    await ClockCycles(dut.clk_i, 2)
    assert counts(dut) == dict.fromkeys(NAMES, 0xFFFFFFFF)
    model = Model()
    for _ in range(3 * HEIGHT):
        values = (rng.getrandbits(LANES) | 1, rng.getrandbits(PES) | 1, 1, 1, 1)
        for port, value in zip(PORTS, values, strict=True):
            getattr(dut, port).value = value
        await RisingEdge(dut.clk_i)
        model.add(*values)
    quiet(dut)
    await ClockCycles(dut.clk_i, LATE + 1)
    assert counts(dut) == {name: total - 1 for name, total in model.total.items()}
