"""Bench of jp_drain, against the words of its pool by the book."""

from random import Random
from typing import Any

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge

from rtl_tests.pools import from_parameters, words
from rtl_tests.streams import job, parameter, reset, seeded, start, until

RING, SLOTS = 1 << parameter("RingBits"), parameter("Slots")
HEIGHT, WORDS = parameter("OutHeight"), parameter("MapWidth") * SLOTS
ROW = parameter("RowWords")
POOL = from_parameters(job()["parameters"])

# address, emit, first, live, erase
Word = tuple[int, int, int, int, int]


def expected(number: int) -> list[Word]:
    """Words of an output row, counted over frames."""
    if POOL is None:
        return [((number * ROW + i) % RING, 1, 1, 1, 1) for i in range(WORDS)]
    frame, row = divmod(number, HEIGHT)
    found = []
    for window in words(POOL, SLOTS, frame, row, ROW):
        for i, (at, live, erase) in enumerate(window):
            ends = (int(i == len(window) - 1), int(i == 0))
            found.append((at % RING, *ends, int(live), int(erase)))
    return found


class Driver:
    """Steps at random; starts a row when told so; records the words that steps take."""

    def __init__(self, dut: Any, rng: Random, pause: float) -> None:
        self.dut, self.rng, self.pause = dut, rng, pause
        self.starts = 0
        self.clear()
        dut.start_i.value = 0
        dut.step_i.value = 0
        cocotb.start_soon(self.run())

    def clear(self) -> None:
        self.cleared: list[Word] = []
        self.rows: list[list[Word]] = []
        self.ends = 0

    async def run(self) -> None:
        dut = self.dut
        while True:
            await RisingEdge(dut.clk_i)
            if dut.rst_ni.value != 1:
                dut.start_i.value = 0
                continue
            started, stepped = dut.start_i.value == 1, dut.step_i.value == 1
            busy, end = int(dut.busy_o.value), int(dut.end_o.value)
            assert not (busy and end)
            if started:
                assert not busy
                assert not end
                self.rows.append([])
            elif stepped and busy:
                word = tuple(
                    int(handle.value)
                    for handle in (dut.addr_o, dut.emit_o, dut.first_o, dut.live_o, dut.erase_o)
                )
                (self.cleared if dut.clearing_o.value == 1 else self.rows[-1]).append(word)
            elif stepped and end:
                self.ends += 1
            # may the next edge start a row: nothing is left after this edge's step
            await cocotb.triggers.ReadOnly()
            idle = dut.busy_o.value == 0 and dut.end_o.value == 0
            await cocotb.triggers.Timer(1, "ns")
            begin = idle and self.starts > 0 and self.rng.random() >= self.pause
            self.starts -= begin
            dut.start_i.value = int(begin)
            dut.step_i.value = int(self.rng.random() >= self.pause)


@cocotb.test()
@cocotb.parametrize(pause=(0.0, 0.4))
async def rows(dut: Any, pause: float) -> None:
    """Four frames, after the clearing: every word once, in order, and an end after each row."""
    driver = Driver(dut, seeded(dut, "rows", pause), pause)
    count = driver.starts = 4 * HEIGHT
    await start(dut)
    await until(dut, lambda: driver.ends == count, 60_000)
    await ClockCycles(dut.clk_i, 5)
    assert [word[0] for word in driver.cleared] == list(range(RING))
    assert all(erase and not emit for _, emit, _, _, erase in driver.cleared)
    assert driver.rows == [expected(i) for i in range(count)]
    assert driver.ends == count
    assert (int(dut.busy_o.value), int(dut.clearing_o.value)) == (0, 0)


@cocotb.test()
async def reset_in_a_row(dut: Any) -> None:
    """After a reset the ring is cleared again, and rows begin with the first one."""
    driver = Driver(dut, seeded(dut, "reset"), 0.1)
    await start(dut)
    for words_ in (1, RING + 2, RING + 3 * len(expected(0))):
        driver.starts = 3
        await ClockCycles(dut.clk_i, words_)
        driver.starts = 0
        await reset(dut)
        driver.clear()
        driver.starts = 2
        await until(dut, lambda: driver.ends == 2, 20_000)
        assert len(driver.cleared) == RING
        assert driver.rows == [expected(0), expected(1)]
