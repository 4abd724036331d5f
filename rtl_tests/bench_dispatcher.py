"""Bench of jp_dispatcher: the work that tokens become, against the tables that come with the job."""

from random import Random
from typing import Any

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge

from rtl_tests.streams import (
    IDLE,
    STALL,
    Sink,
    Source,
    job,
    parameter,
    reset,
    seeded,
    start,
    until,
)

HEIGHT, WIDTH, VALUE_BITS, X_BITS, CHANNEL_BITS, COLUMN_BITS, RING_BITS = (
    parameter(name)
    for name in (
        "Height",
        "Width",
        "ValueBits",
        "XBits",
        "ChannelBits",
        "ColumnBits",
        "RingBits",
    )
)
WIDE, SIGNED = parameter("OutValueBits"), parameter("ValueSigned")
FIRST, STEP = parameter("FirstColumn"), parameter("FrameStep")
TABLES = job()[
    "data"
]  # rows: [term, base, completed, live, cut]; columns: [term, base, sides, live]; channels
MARKER = 1 << (CHANNEL_BITS + X_BITS + VALUE_BITS)
SIDE_BITS, CUT_BITS = parameter("SideBits"), parameter("CutBits")
WORK_MARKER = 1 << (COLUMN_BITS + CUT_BITS + SIDE_BITS + RING_BITS + WIDE)
LATENCY = 2


class Model:
    """Work that tokens become, in order; markers without data."""

    def __init__(self) -> None:
        self.row = self.frame = 0

    def work(self, token: int) -> list[int]:
        term, base, completed, live, cut = TABLES["rows"][self.row]
        if token & MARKER:
            self.row = (self.row + 1) % HEIGHT
            if self.row == 0:
                self.frame = (self.frame + STEP) % (1 << RING_BITS)
            return [WORK_MARKER] * completed
        value = token & ((1 << VALUE_BITS) - 1)
        x = token >> VALUE_BITS & ((1 << X_BITS) - 1)
        channel = token >> (VALUE_BITS + X_BITS)
        col_term, col_base, sides, col_live = TABLES["columns"][x]
        if not (live and col_live):
            return []
        column = FIRST + term + col_term + channel + cut * parameter("CutColumns")
        ring = (base + col_base + self.frame) % (1 << RING_BITS)
        if SIGNED and value >> (VALUE_BITS - 1):
            value += (1 << WIDE) - (1 << VALUE_BITS)
        place = ((column << CUT_BITS | cut) << SIDE_BITS | sides) << RING_BITS | ring
        return [place << WIDE | value]


def frame(rng: Random, most: int, density: float = 1.0) -> list[int]:
    """Tokens of a frame; markers carry garbage."""
    tokens = []
    for _ in range(HEIGHT):
        for _ in range(rng.randrange(most + 1) if rng.random() < density else 0):
            place = rng.randrange(TABLES["channels"]) << X_BITS | rng.randrange(WIDTH)
            tokens.append(place << VALUE_BITS | rng.getrandbits(VALUE_BITS))
        tokens.append(MARKER | rng.getrandbits(VALUE_BITS))
    return tokens


def bench(dut: Any, rng: Random, idle: float = 0.0, stall: float = 0.0) -> tuple[Source, Sink]:
    source = Source(dut, dut.token_valid_i, dut.token_ready_o, [dut.token_i], rng, idle)
    return source, Sink(dut, dut.valid_o, dut.ready_i, [dut.work_o], rng, stall)


def received(sink: Sink) -> list[int]:
    """The words that came, markers without data."""
    return [WORK_MARKER if word & WORK_MARKER else word for word in sink.words]


async def count_tokens(dut: Any, counted: list[int]) -> None:
    while True:
        await RisingEdge(dut.clk_i)
        if dut.rst_ni.value == 1:
            counted[0] += dut.count_token_o.value == 1


@cocotb.test()
@cocotb.parametrize(idle=IDLE, stall=STALL)
async def frames(dut: Any, idle: float, stall: float) -> None:
    """Enough frames for the ring's start to come round."""
    rng = seeded(dut, "frames", idle, stall)
    tokens = [t for _ in range(5 + 12 // HEIGHT) for t in frame(rng, 6, 0.8)]
    model, counted = Model(), [0]
    expected = [work for token in tokens for work in model.work(token)]
    source, sink = bench(dut, rng, idle, stall)
    source.send(tokens)
    await start(dut)
    cocotb.start_soon(count_tokens(dut, counted))
    await until(dut, lambda: source.done and len(sink.words) >= len(expected))
    await ClockCycles(dut.clk_i, 20)
    assert received(sink) == expected
    assert counted[0] == sum(token & MARKER == 0 for token in tokens)


@cocotb.test()
async def one_token_a_cycle(dut: Any) -> None:
    """Tokens, and a row's markers, in every cycle; a row that completes nothing costs one, too."""
    rng = seeded(dut, "rate")
    source, sink = bench(dut, rng)
    await start(dut)
    await ClockCycles(dut.clk_i, 4)
    tokens = [t for _ in range(3) for t in frame(rng, 9)]
    model = Model()
    expected, at, step, first = [], [], 0, 0  # when each piece of work is sent
    for number, token in enumerate(tokens):
        work = model.work(token)
        expected += work
        at += range(step, step + len(work))
        step += max(1, len(work))
        first = first if number else step - 1
    source.send(tokens)
    await until(dut, lambda: len(sink.words) == len(expected))
    await ClockCycles(dut.clk_i, 10)
    assert received(sink) == expected
    # a token is taken at the end of a cycle; the last of a row's markers goes with the token that is
    begin = source.cycles[0][0] - first
    assert sink.cycles == [begin + LATENCY + cycle for cycle in at]


@cocotb.test()
async def reset_in_a_frame(dut: Any) -> None:
    """Row, ring and pending markers start again."""
    rng = seeded(dut, "reset")
    source, sink = bench(dut, rng, 0.1, 0.05)
    sink.strict = False
    await start(dut)
    for length in (1, 3, 8, 20):
        source.send((frame(rng, 4) + frame(rng, 4) + frame(rng, 4))[: length + HEIGHT])
        await ClockCycles(dut.clk_i, length + HEIGHT)
        source.clear()
        await reset(dut)
        sink.words.clear()
        await ClockCycles(dut.clk_i, 8)
        assert sink.words == []
        tokens, model = frame(rng, 5) + frame(rng, 5), Model()
        expected = [work for token in tokens for work in model.work(token)]
        source.send(tokens)
        await until(dut, lambda: source.done)
        await ClockCycles(dut.clk_i, 60)
        assert received(sink) == expected
        await reset(dut)
