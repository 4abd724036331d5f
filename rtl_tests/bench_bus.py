"""Bench of jp_bus."""

from collections import deque
from random import Random
from typing import Any

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge

from rtl_tests.streams import IDLE, STALL, consecutive, now, parameter, reset, seeded, start, until

LANES, PES, WIDTH = (parameter(name) for name in ("Lanes", "Pes", "Width"))
MARKER = 1 << (WIDTH - 1)
ALL = (1 << PES) - 1

Offer = tuple[int, int]
"""The PEs that a word is for, and the word."""


class Lanes:
    """Offers each lane's words; a word, once offered, waits. cycles: per lane, in which they were taken."""

    def __init__(self, dut: Any, rng: Random, idle: float) -> None:
        self.dut, self.rng, self.idle = dut, rng, idle
        self.queues: list[deque[Offer]] = [deque() for _ in range(LANES)]
        self.current: list[Offer | None] = [None] * LANES
        self.cycles: list[list[int]] = [[] for _ in range(LANES)]
        self.drive()
        cocotb.start_soon(self.run())

    @property
    def done(self) -> bool:
        return not any(self.current) and not any(self.queues)

    def clear(self) -> None:
        for queue in self.queues:
            queue.clear()
        self.current = [None] * LANES
        self.drive()

    def drive(self) -> None:
        valid = targets = work = 0
        for lane, offer in enumerate(self.current):
            pes, word = offer or (0, self.rng.getrandbits(WIDTH))
            valid |= (offer is not None) << lane
            targets |= pes << lane * PES
            work |= word << lane * WIDTH
        self.dut.valid_i.value = valid
        self.dut.target_i.value = targets
        self.dut.work_i.value = work

    async def run(self) -> None:
        while True:
            await RisingEdge(self.dut.clk_i)
            if self.dut.rst_ni.value != 1:
                continue
            ready, valid = int(self.dut.ready_o.value), int(self.dut.valid_i.value)
            assert ready | valid == (1 << LANES) - 1, "an idle lane must be able to go on"
            for lane, queue in enumerate(self.queues):
                if self.current[lane] is not None and ready >> lane & 1:
                    self.current[lane] = None
                    self.cycles[lane].append(now())
                if self.current[lane] is None and queue and self.rng.random() >= self.idle:
                    self.current[lane] = queue.popleft()
            self.drive()


class Array:
    """Stands for the PEs: every PE stalls on its own; checks that work only comes after ready."""

    def __init__(self, dut: Any, rng: Random, stall: float) -> None:
        self.dut, self.rng, self.stall = dut, rng, stall
        self.words: list[list[int]] = [[] for _ in range(PES)]
        self.cycles: list[int] = []
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
            ready = int(dut.pe_ready_i.value)
            some = sum((self.rng.random() >= self.stall) << p for p in range(PES))
            dut.pe_ready_i.value = some if self.open is None else self.open


def random_rows(rng: Random, count: int, most: int) -> list[list[list[Offer]]]:
    """Offers by row, then by lane, of columns that some PEs have, or none; a word names its lane."""
    return [
        [
            [
                (rng.getrandbits(PES) & rng.getrandbits(PES), rng.getrandbits(WIDTH - 5) << 4 | lane)
                for _ in range(rng.randrange(most + 1))
            ]
            for lane in range(LANES)
        ]
        for _ in range(count)
    ]


def send(lanes: Lanes, rows: list[list[list[Offer]]], rng: Random) -> None:
    """Markers carry data, which means nothing."""
    for row in rows:
        for lane, offers in enumerate(row):
            lanes.queues[lane].extend([*offers, (ALL, MARKER | rng.getrandbits(WIDTH - 1))])


def check(words: list[int], pe: int, rows: list[list[list[Offer]]]) -> None:
    """A PE's words: of every row those of each lane in their order, then one marker."""
    at = 0
    for row in rows:
        length = sum(pes >> pe & 1 for offers in row for pes, _ in offers)
        part, marker = words[at : at + length], words[at + length]
        for lane, offers in enumerate(row):
            wanted = [word for pes, word in offers if pes >> pe & 1]
            assert [word for word in part if word & 15 == lane] == wanted
        assert marker & MARKER and not any(word & MARKER for word in part)
        at += length + 1
    assert at == len(words)


@cocotb.test()
@cocotb.parametrize(idle=IDLE, stall=STALL)
async def rows(dut: Any, idle: float, stall: float) -> None:
    rng = seeded(dut, "rows", idle, stall)
    sent = random_rows(rng, 12, 6)
    sent[3] = [[] for _ in range(LANES)]  # a row without work
    lanes, array = Lanes(dut, rng, idle), Array(dut, rng, stall if PES < 8 else stall / 8)
    send(lanes, sent, rng)
    await start(dut)
    await until(dut, lambda: lanes.done)
    await ClockCycles(dut.clk_i, 3)
    for pe in range(PES):
        check(array.words[pe], pe, sent)


@cocotb.test()
async def a_word_a_cycle(dut: Any) -> None:
    """All lanes together fill the bus; a lane that has nothing takes no cycle of it."""
    rng = seeded(dut, "rate")
    lanes, array = Lanes(dut, rng, 0.0), Array(dut, rng, 0.0)
    await start(dut)
    await ClockCycles(dut.clk_i, 4)
    for lane in range(LANES):
        lanes.queues[lane].extend((ALL, i << 4 | lane) for i in range(5 + 3 * lane))
    await until(dut, lambda: lanes.done)
    await ClockCycles(dut.clk_i, 3)
    assert len(array.words[0]) == sum(5 + 3 * lane for lane in range(LANES))
    assert consecutive(array.cycles)
    assert consecutive(sorted(cycle for own in lanes.cycles for cycle in own))
    assert array.cycles[0] == lanes.cycles[0][0] + 1


@cocotb.test()
async def waits_only_for_those_that_are_meant(dut: Any) -> None:
    """PEs that a word is not for may be full for ever; another lane passes one that waits."""
    rng = seeded(dut, "meant")
    lanes, array = Lanes(dut, rng, 0.0), Array(dut, rng, 0.0)
    array.open = ALL & ~1
    await start(dut)
    await ClockCycles(dut.clk_i, 4)
    lanes.queues[0].append((1, 0))
    for lane in range(1, LANES):
        lanes.queues[lane].extend([(ALL & ~1, lane)] * 3)
    await ClockCycles(dut.clk_i, 40)
    assert array.words[0] == []
    assert lanes.current[0] is not None
    assert not any(lanes.current[1:])
    for words in array.words[1:]:
        assert sorted(words) == sorted(3 * list(range(1, LANES)))
    array.open = ALL
    await ClockCycles(dut.clk_i, 5)
    assert array.words[0] == [0] and lanes.done


@cocotb.test()
async def a_marker_waits_for_all_lanes_and_all_pes(dut: Any) -> None:
    rng = seeded(dut, "marker")
    lanes, array = Lanes(dut, rng, 0.0), Array(dut, rng, 0.0)
    array.open = ALL
    await start(dut)
    await ClockCycles(dut.clk_i, 4)
    for lane in range(1, LANES):
        lanes.queues[lane].append((ALL, MARKER))
    await ClockCycles(dut.clk_i, 10)
    assert array.words == [[]] * PES
    array.open = ALL >> 1
    await ClockCycles(dut.clk_i, 3)
    lanes.queues[0].append((ALL, MARKER))
    await ClockCycles(dut.clk_i, 10)
    assert array.words == [[]] * PES
    array.open = ALL
    await ClockCycles(dut.clk_i, 5)
    assert [len(words) for words in array.words] == [1] * PES
    assert lanes.done


@cocotb.test()
async def reset_sends_nothing(dut: Any) -> None:
    rng = seeded(dut, "reset")
    lanes, array = Lanes(dut, rng, 0.2), Array(dut, rng, 0.2 / PES)
    await start(dut)
    for length in (3, 8, 20):
        send(lanes, random_rows(rng, 9, 5), rng)
        await ClockCycles(dut.clk_i, length)
        lanes.clear()
        await reset(dut)
        for words in array.words:
            words.clear()
        await ClockCycles(dut.clk_i, 4)
        assert array.words == [[]] * PES
        sent = random_rows(rng, 4, 5)
        send(lanes, sent, rng)
        await until(dut, lambda: lanes.done)
        await ClockCycles(dut.clk_i, 3)
        for pe in range(PES):
            check(array.words[pe], pe, sent)
        await reset(dut)
        for words in array.words:
            words.clear()
