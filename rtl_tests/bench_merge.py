"""Bench of jp_merge."""

from collections.abc import Sequence
from random import Random
from typing import Any

import cocotb
from cocotb.triggers import ClockCycles

from jp_hw.schedule.memories import NEAR_MERGE
from rtl_tests.streams import (
    IDLE,
    STALL,
    Queues,
    Sink,
    consecutive,
    parameter,
    reset,
    seeded,
    start,
    until,
)

INPUTS, WIDTH = parameter("Inputs"), parameter("Width")
MARKER = 1 << (WIDTH - 1)
DATA = MARKER - 1

Rows = list[list[list[int]]]


def random_rows(rng: Random, count: int, most: int) -> Rows:
    """Words by row, then by input."""
    return [
        [
            [rng.getrandbits(WIDTH) & DATA for _ in range(rng.randrange(most + 1))]
            for _ in range(INPUTS)
        ]
        for _ in range(count)
    ]


def bench(dut: Any, rng: Random, idle: float, stall: float) -> tuple[Queues, Sink]:
    source = Queues(dut, rng, idle, INPUTS, WIDTH)
    return source, Sink(dut, dut.valid_o, dut.ready_i, [dut.data_o], rng, stall)


def send(source: Queues, rows: Rows, rng: Random) -> None:
    """Markers carry data, which means nothing."""
    for row in rows:
        for i, words in enumerate(row):
            source.send([*words, MARKER | rng.getrandbits(WIDTH)], i)


def is_merge(words: Sequence[int], inputs: Sequence[Sequence[int]]) -> bool:
    """Whether words are an interleaving of the inputs that keeps the order of each."""
    reached = {tuple([0] * len(inputs))}
    for word in words:
        reached = {
            (*at[:i], at[i] + 1, *at[i + 1 :])
            for at in reached
            for i, queue in enumerate(inputs)
            if at[i] < len(queue) and queue[at[i]] == word
        }
    return tuple(len(queue) for queue in inputs) in reached


def received(sink: Sink) -> list[int]:
    """The words that came, markers without data."""
    return [MARKER if word & MARKER else word for word in sink.words]


@cocotb.test()
@cocotb.parametrize(idle=IDLE, stall=STALL)
async def rows(dut: Any, idle: float, stall: float) -> None:
    rng = seeded(dut, "rows", idle, stall)
    sent = random_rows(rng, 12, 4)
    sent[3] = [[] for _ in range(INPUTS)]  # a row without winners
    source, sink = bench(dut, rng, idle, stall)
    send(source, sent, rng)
    await start(dut)
    total = sum(1 + sum(map(len, row)) for row in sent)
    await until(dut, lambda: len(sink.words) >= total)
    await ClockCycles(dut.clk_i, 5)
    assert len(sink.words) == total
    left = received(sink)
    for row in sent:
        end = left.index(MARKER)
        assert is_merge(left[:end], row)
        left = left[end + 1 :]
    assert left == []
    assert source.done


@cocotb.test()
async def one_a_cycle(dut: Any) -> None:
    """Two queues share the output, a word of each in turn, or four; one alone leaves it idle."""
    turns = 2 if INPUTS <= NEAR_MERGE else 4
    rng = seeded(dut, "rate")
    source, sink = bench(dut, rng, 0.0, 0.0)
    await start(dut)
    await ClockCycles(dut.clk_i, 5)
    words = [[1 + rng.getrandbits(WIDTH) % DATA for _ in range(20)] for _ in range(INPUTS)]
    for i, own in enumerate(words):
        source.send(own, i)
    await until(dut, lambda: len(sink.words) == 20 * INPUTS)
    assert sink.cycles[0] - source.cycles[0][0] == turns + 1
    sharing = words[:turns]
    first = [word for turn in zip(*sharing, strict=True) for word in turn]
    assert sink.words[: len(first)] == first
    if turns <= INPUTS:
        assert consecutive(sink.cycles[: 20 * turns])
    else:
        assert sink.cycles[-1] - sink.cycles[0] == 19 * turns


@cocotb.test()
async def words_wait_for_a_reader(dut: Any) -> None:
    """The queue behind fills up, and nothing is lost."""
    rng = seeded(dut, "full")
    source, sink = bench(dut, rng, 0.0, 1.0)
    await start(dut)
    for i in range(INPUTS):
        source.send([i % DATA + 1] * 30, i)
    await ClockCycles(dut.clk_i, 150)
    taken = sum(30 - len(queue) for queue in source.queues)
    assert parameter("Depth") - 2 <= taken <= parameter("Depth") + INPUTS
    sink.stall = 0.0
    await until(dut, lambda: len(sink.words) == 30 * INPUTS)
    assert sorted(sink.words) == sorted(i % DATA + 1 for i in range(INPUTS) for _ in range(30))


@cocotb.test()
async def a_marker_waits_for_all(dut: Any) -> None:
    rng = seeded(dut, "waits")
    source, sink = bench(dut, rng, 0.0, 0.0)
    await start(dut)
    for i in range(INPUTS - 1):
        source.send([MARKER, 1, MARKER], i)
    await ClockCycles(dut.clk_i, 20)
    assert received(sink) == []
    source.send([2 & DATA], INPUTS - 1)
    await ClockCycles(dut.clk_i, 8)
    assert received(sink) == [2 & DATA]
    source.send([MARKER], INPUTS - 1)
    await ClockCycles(dut.clk_i, 9 + INPUTS)
    assert received(sink) == [2 & DATA, MARKER] + [1] * (INPUTS - 1)


@cocotb.test()
async def reset_in_a_row(dut: Any) -> None:
    rng = seeded(dut, "reset")
    source, sink = bench(dut, rng, 0.3, 0.3)
    send(source, random_rows(rng, 6, 5), rng)
    await start(dut)
    await ClockCycles(dut.clk_i, 25)
    await reset(dut)
    source.clear()
    sink.words.clear()
    await ClockCycles(dut.clk_i, 3)
    assert received(sink) == []
    for i in range(INPUTS):
        source.send([i & DATA, MARKER], i)
    await until(dut, lambda: len(sink.words) == INPUTS + 1, 200)
    assert sorted(sink.words[:-1]) == sorted(i & DATA for i in range(INPUTS))
    assert sink.words[-1] == MARKER
