"""Bench of jp_drain, against the words of its pool by the book."""

from random import Random
from typing import Any

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge

from rtl_tests.pools import from_parameters, words
from rtl_tests.streams import job, parameter, reset, seeded, start, until

PES = parameter("Pes")
RING, SLOTS = 1 << parameter("RingBits"), parameter("Slots")
HEIGHT, ROW = parameter("OutHeight"), parameter("MapWidth") * SLOTS
POOL = from_parameters(job()["parameters"])

# address, emit, first, live, erase
Word = tuple[int, int, int, int, int]


def expected(number: int) -> list[Word]:
    """Words of an output row, counted over frames."""
    if POOL is None:
        return [((number * ROW + i) % RING, 1, 1, 1, 1) for i in range(ROW)]
    frame, row = divmod(number, HEIGHT)
    found = []
    for window in words(POOL, SLOTS, frame, row):
        for i, (at, live, erase) in enumerate(window):
            ends = (int(i == len(window) - 1), int(i == 0))
            found.append((at % RING, *ends, int(live), int(erase)))
    return found


class Driver:
    """Steps at random; PEs have rows to drain as told; records the words that are read, by PE."""

    def __init__(self, dut: Any, rng: Random, pause: float) -> None:
        self.dut, self.rng, self.pause = dut, rng, pause
        self.rows_left = [0] * PES
        self.clear()
        dut.pending_i.value = 0
        dut.step_i.value = 0
        cocotb.start_soon(self.run())

    def clear(self) -> None:
        self.cleared: list[Word] = []
        self.rows: list[list[list[Word]]] = []  # by row, then PE
        self.now: list[list[Word]] = [[]]
        self.ends = 0

    def add(self, rows: int) -> None:
        self.rows_left = [left + rows for left in self.rows_left]

    async def run(self) -> None:
        dut = self.dut
        while True:
            await RisingEdge(dut.clk_i)
            if dut.rst_ni.value != 1:
                dut.pending_i.value = 0
                self.clear()
                continue
            read, done, end = (int(h.value) for h in (dut.read_o, dut.done_o, dut.end_o))
            pending = int(dut.pending_i.value)
            assert done & ~read == 0
            word = tuple(
                int(handle.value)
                for handle in (dut.addr_o, dut.emit_o, dut.first_o, dut.live_o, dut.erase_o)
            )
            if len(self.cleared) < RING:
                assert read == (1 << PES) - 1
                assert not (done or end)
                self.cleared.append(word)
            elif read:
                assert dut.step_i.value == 1
                assert read == 1 << (len(self.now) - 1), "not this PE's turn"
                assert read & pending
                self.now[-1].append(word)
            if done:
                assert read == done
                self.rows_left[len(self.now) - 1] -= 1
                self.now.append([])
            if end:
                assert not read
                assert dut.step_i.value == 1
                assert len(self.now) == PES + 1
                self.rows.append(self.now[:-1])
                self.now = [[]]
                self.ends += 1
            for p, left in enumerate(self.rows_left):  # never the cycle after done_o
                if not pending >> p & 1 and left and self.rng.random() >= self.pause:
                    pending |= 1 << p
            dut.pending_i.value = pending & ~done
            dut.step_i.value = int(self.rng.random() >= self.pause)


@cocotb.test()
@cocotb.parametrize(pause=(0.0, 0.4))
async def rows(dut: Any, pause: float) -> None:
    """Four frames, after the clearing: every word of every PE once, in order, an end after each row."""
    driver = Driver(dut, seeded(dut, "rows", pause), pause)
    count = 4 * HEIGHT
    driver.add(count)
    await start(dut)
    await until(dut, lambda: driver.ends == count, 60_000)
    await ClockCycles(dut.clk_i, 5)
    assert [word[0] for word in driver.cleared] == list(range(RING))
    assert all(erase and not emit for _, emit, _, _, erase in driver.cleared)
    assert driver.rows == [[expected(i)] * PES for i in range(count)]
    assert driver.ends == count
    assert int(dut.read_o.value) == 0


@cocotb.test()
async def reset_in_a_row(dut: Any) -> None:
    """After a reset the ring is cleared again, and rows begin with the first one."""
    driver = Driver(dut, seeded(dut, "reset"), 0.1)
    await start(dut)
    for words_ in (1, RING + 2, RING + 3 * len(expected(0))):
        driver.add(3)
        await ClockCycles(dut.clk_i, words_)
        await reset(dut)
        driver.rows_left = [2] * PES
        await until(dut, lambda: driver.ends == 2, 20_000)
        assert len(driver.cleared) == RING
        assert driver.rows == [[expected(0)] * PES, [expected(1)] * PES]
