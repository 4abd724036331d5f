"""Bench of jp_bus."""

from random import Random
from typing import Any

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge

from rtl_tests.streams import (
    IDLE,
    STALL,
    Source,
    consecutive,
    job,
    now,
    parameter,
    reset,
    seeded,
    start,
    until,
)

LANES, PES, COLUMNS, FIRST = (
    parameter(name) for name in ("Lanes", "Pes", "Columns", "FirstColumn")
)
BELOW = parameter("PlaceBits") + parameter("ValueBits")
WIDTH = 1 + parameter("ColumnBits") + BELOW
MARKER, ALL = 1 << (WIDTH - 1), (1 << PES) - 1
PE_MARKER = 1 << (parameter("PeColumnBits") + BELOW)
STORED, CUT = parameter("CutColumns"), BELOW - parameter("CutBits")
MASKS = job()["data"]
EVERY, BUT_FIRST = 0, 1  # columns of all PEs, and of all but the first one
LATENCY = 3 if LANES == 1 else 4

Rows = list[list[list[int]]]
"""Work by row, then by lane."""


class Array:
    """Stands for the PEs: every PE stalls on its own; checks that work only comes after ready."""

    def __init__(self, dut: Any, rng: Random, stall: float) -> None:
        self.dut, self.rng, self.stall = dut, rng, stall
        self.words: list[list[int]] = [[] for _ in range(PES)]
        self.cycles: list[int] = []
        self.stalls = 0
        self.open: int | None = None  # the PEs that are ready, instead of random ones
        dut.pe_ready_i.value = 0
        cocotb.start_soon(self.run())

    async def run(self) -> None:
        dut, ready = self.dut, 0
        while True:
            await RisingEdge(dut.clk_i)
            if dut.rst_ni.value != 1:
                continue
            valid = int(dut.pe_valid_o.value)
            assert valid & ~ready == 0, "work for a PE that was not ready a cycle before"
            for pe in range(PES):
                if valid >> pe & 1:
                    self.words[pe].append(int(dut.pe_work_o.value))
            if valid:
                self.cycles.append(now())
            self.stalls += dut.count_stall_o.value == 1
            ready = int(dut.pe_ready_i.value)
            some = sum((self.rng.random() >= self.stall) << p for p in range(PES))
            dut.pe_ready_i.value = some if self.open is None else self.open


def bench(dut: Any, rng: Random, idle: float = 0.0, stall: float = 0.0) -> tuple[Source, Array]:
    source = Source(dut, dut.valid_i, dut.ready_o, [dut.work_i], rng, idle, LANES, WIDTH)
    return source, Array(dut, rng, stall)


def work(column: int, lane: int, rng: Random) -> int:
    """A word that names its lane in its value."""
    cut = column // STORED if STORED else 0
    return (column << BELOW | cut << CUT) + (rng.getrandbits(CUT - 3) << 3 | lane)


def random_rows(rng: Random, count: int, most: int) -> Rows:
    return [
        [
            [work(rng.randrange(COLUMNS), lane, rng) for _ in range(rng.randrange(most + 1))]
            for lane in range(LANES)
        ]
        for _ in range(count)
    ]


def send(source: Source, rows: Rows, rng: Random) -> None:
    """Markers carry data, which means nothing."""
    for row in rows:
        for lane, words in enumerate(row):
            source.send([*words, MARKER | rng.getrandbits(WIDTH - 1)], lane)


def check(words: list[int], pe: int, rows: Rows) -> None:
    """A PE's words: of every row those of each lane in their order, then one marker."""
    at = 0
    for row in rows:
        wanted = [[w for w in own if MASKS[w >> BELOW] >> pe & 1] for own in row]
        length = sum(map(len, wanted))
        part, marker = words[at : at + length], words[at + length]
        for lane, own in enumerate(wanted):
            named = [
                word + ((FIRST - (STORED and (word >> BELOW) // STORED * STORED)) << BELOW)
                for word in own
            ]
            assert [word for word in part if word & 7 == lane] == named
        assert marker & PE_MARKER and not any(word & PE_MARKER for word in part)
        at += length + 1
    assert at == len(words)


@cocotb.test()
@cocotb.parametrize(idle=IDLE, stall=STALL)
async def rows(dut: Any, idle: float, stall: float) -> None:
    rng = seeded(dut, "rows", idle, stall)
    sent = random_rows(rng, 12, 6)
    sent[3] = [[] for _ in range(LANES)]  # a row without work
    source, array = bench(dut, rng, idle, stall if PES < 8 else stall / 8)
    send(source, sent, rng)
    await start(dut)
    await until(dut, lambda: source.done)
    await until(dut, lambda: all(sum(w >= PE_MARKER for w in own) == 12 for own in array.words))
    await ClockCycles(dut.clk_i, 10)
    for pe in range(PES):
        check(array.words[pe], pe, sent)
    assert stall == 0.0 or array.stalls > 0


@cocotb.test()
async def a_word_a_cycle(dut: Any) -> None:
    """All lanes together fill the bus; a lane that has nothing takes no cycle of it."""
    rng = seeded(dut, "rate")
    source, array = bench(dut, rng)
    await start(dut)
    await ClockCycles(dut.clk_i, 4)
    for lane in range(LANES):
        source.send([work(EVERY, lane, rng) for _ in range(5 + 3 * lane)], lane)
    total = sum(5 + 3 * lane for lane in range(LANES))
    await until(dut, lambda: len(array.words[0]) == total)
    await ClockCycles(dut.clk_i, 10)
    assert len(array.words[0]) == total
    assert consecutive(array.cycles)
    taken = sorted(cycle for own in source.cycles for cycle in own)
    assert consecutive(taken)
    assert array.cycles[0] == taken[0] + LATENCY


@cocotb.test()
async def lanes_take_turns(dut: Any) -> None:
    rng = seeded(dut, "turns")
    source, array = bench(dut, rng)
    await start(dut)
    await ClockCycles(dut.clk_i, 4)
    for lane in range(LANES):
        source.send([work(EVERY, lane, rng) for _ in range(9)], lane)
    await until(dut, lambda: len(array.words[0]) == 9 * LANES)
    lanes = [word & 7 for word in array.words[0]]
    for i in range(0, len(lanes), LANES):
        assert sorted(lanes[i : i + LANES]) == list(range(LANES))


@cocotb.test()
async def waits_only_for_those_that_are_meant(dut: Any) -> None:
    """PEs that a word is not for may be full for ever."""
    rng = seeded(dut, "meant")
    source, array = bench(dut, rng)
    array.open = ALL & ~1
    await start(dut)
    await ClockCycles(dut.clk_i, 4)
    source.send([work(BUT_FIRST, 0, rng)] * 3 + [work(EVERY, 0, rng), work(BUT_FIRST, 0, rng)])
    await ClockCycles(dut.clk_i, 40)
    assert [len(words) for words in array.words] == [0] + [3] * (PES - 1)
    assert array.stalls > 20
    array.open = ALL
    await ClockCycles(dut.clk_i, 10)
    assert [len(words) for words in array.words] == [1] + [5] * (PES - 1)


@cocotb.test()
async def a_marker_waits_for_all_lanes_and_all_pes(dut: Any) -> None:
    rng = seeded(dut, "marker")
    source, array = bench(dut, rng)
    array.open = ALL >> 1  # the last one is full
    await start(dut)
    await ClockCycles(dut.clk_i, 4)
    for lane in range(1, LANES):
        source.send([MARKER], lane)
    await ClockCycles(dut.clk_i, 20)
    assert array.words == [[]] * PES and array.stalls == 0
    source.send([MARKER], 0)
    await ClockCycles(dut.clk_i, 20)
    assert array.words == [[]] * PES and array.stalls > 0
    array.open = ALL
    await ClockCycles(dut.clk_i, 10)
    assert [len(words) for words in array.words] == [1] * PES
    assert source.done


@cocotb.test()
async def reset_sends_nothing(dut: Any) -> None:
    rng = seeded(dut, "reset")
    source, array = bench(dut, rng, 0.2, 0.2 / PES)
    await start(dut)
    for length in (3, 8, 20):
        send(source, random_rows(rng, 9, 5), rng)
        await ClockCycles(dut.clk_i, length)
        source.clear()
        await reset(dut)
        for words in array.words:
            words.clear()
        await ClockCycles(dut.clk_i, 8)
        assert array.words == [[]] * PES
        sent = random_rows(rng, 4, 5)
        send(source, sent, rng)
        await until(dut, lambda: source.done)
        await ClockCycles(dut.clk_i, 100)
        for pe in range(PES):
            check(array.words[pe], pe, sent)
        await reset(dut)
        for words in array.words:
            words.clear()
