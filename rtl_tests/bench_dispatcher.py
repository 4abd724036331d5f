"""Bench of jp_dispatcher: work and the PEs that it is for, against the tables that come with the job."""

from random import Random
from typing import Any

import cocotb
from cocotb.triggers import ClockCycles, FallingEdge, RisingEdge

from rtl_tests.streams import (
    IDLE,
    Source,
    job,
    now,
    parameter,
    reset,
    seeded,
    start,
    until,
)

PES, HEIGHT, WIDTH, VALUE_BITS, X_BITS, CHANNEL_BITS, COLUMN_BITS, RING_BITS = (
    parameter(name)
    for name in (
        "Pes",
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
TABLES = job()["data"]  # rows: [term, base, completed]; columns: [term, base]; masks; channels
MARKER = 1 << (CHANNEL_BITS + X_BITS + VALUE_BITS)
WORK_MARKER = 1 << (COLUMN_BITS + RING_BITS + WIDE)
ALL = (1 << PES) - 1
LATENCY = 4


class Model:
    """Work that tokens become: (PEs, word), in order; PEs 0 for a token that none is sent."""

    def __init__(self) -> None:
        self.row = self.frame = 0

    def work(self, token: int) -> list[tuple[int, int]]:
        term, base, completed = TABLES["rows"][self.row]
        if token & MARKER:
            self.row = (self.row + 1) % HEIGHT
            if self.row == 0:
                self.frame = (self.frame + STEP) % (1 << RING_BITS)
            return [(ALL, WORK_MARKER)] * completed
        value = token & ((1 << VALUE_BITS) - 1)
        x = token >> VALUE_BITS & ((1 << X_BITS) - 1)
        channel = token >> (VALUE_BITS + X_BITS)
        col_term, col_base = TABLES["columns"][x]
        column = term + col_term + channel
        ring = (base + col_base + self.frame) % (1 << RING_BITS)
        if SIGNED and value >> (VALUE_BITS - 1):
            value += (1 << WIDE) - (1 << VALUE_BITS)
        word = ((FIRST + column) << RING_BITS | ring) << WIDE | value
        return [(TABLES["masks"][column], word)]


def frame(rng: Random, most: int, density: float = 1.0) -> list[int]:
    """Tokens of a frame; markers carry garbage."""
    tokens = []
    for _ in range(HEIGHT):
        for _ in range(rng.randrange(most + 1) if rng.random() < density else 0):
            place = rng.randrange(TABLES["channels"]) << X_BITS | rng.randrange(WIDTH)
            tokens.append(place << VALUE_BITS | rng.getrandbits(VALUE_BITS))
        tokens.append(MARKER | rng.getrandbits(VALUE_BITS))
    return tokens


class Bus:
    """Takes work, ready whenever there is none; checks that it waits. sent: what has any PEs."""

    def __init__(self, dut: Any, rng: Random, stall: float) -> None:
        self.dut, self.rng, self.stall = dut, rng, stall
        self.sent: list[tuple[int, int]] = []
        self.cycles: list[int] = []
        self.tokens = self.stalls = 0
        dut.ready_i.value = 1
        cocotb.start_soon(self.run())

    async def run(self) -> None:
        dut, waiting = self.dut, None
        while True:
            await FallingEdge(dut.clk_i)
            if dut.rst_ni.value != 1:
                waiting = None
                continue
            target = int(dut.target_o.value)
            work = (target, int(dut.work_o.value)) if dut.valid_o.value == 1 else None
            assert waiting in (None, work), "work changed while it waited"
            assert work is not None or target == 0
            taken = work is None or self.rng.random() >= self.stall
            dut.ready_i.value = int(taken)
            await RisingEdge(dut.clk_i)
            waiting = None if taken else work
            if taken and work is not None and work[0]:
                self.sent.append(work)
                self.cycles.append(now())
            self.tokens += dut.count_token_o.value == 1
            self.stalls += dut.count_stall_o.value == 1


def same(sent: list[tuple[int, int]], expected: list[tuple[int, int]]) -> bool:
    """Of a marker, only the marker's bit counts."""
    wanted = [(pes, word) for pes, word in expected if pes]
    return len(sent) == len(wanted) and all(
        pes == to and (word & WORK_MARKER == WORK_MARKER if want == WORK_MARKER else word == want)
        for (pes, word), (to, want) in zip(sent, wanted, strict=True)
    )


@cocotb.test()
@cocotb.parametrize(idle=IDLE, stall=(0.0, 0.1, 0.5))
async def frames(dut: Any, idle: float, stall: float) -> None:
    """Enough frames for the ring's start to come round."""
    rng = seeded(dut, "frames", idle, stall)
    tokens = [t for _ in range(5 + 12 // HEIGHT) for t in frame(rng, 6, 0.8)]
    model = Model()
    expected = [work for token in tokens for work in model.work(token)]
    source = Source(dut, dut.token_valid_i, dut.token_ready_o, [dut.token_i], rng, idle)
    bus = Bus(dut, rng, stall)
    source.send(tokens)
    await start(dut)
    wanted = sum(pes != 0 for pes, _ in expected)
    await until(dut, lambda: source.done and len(bus.sent) >= wanted)
    await ClockCycles(dut.clk_i, 200)
    assert same(bus.sent, expected)
    assert bus.tokens == sum(token & MARKER == 0 for token in tokens)
    assert (bus.stalls > 0) == (stall > 0)


@cocotb.test()
async def one_token_a_cycle(dut: Any) -> None:
    """Tokens, and a row's markers, in every cycle; a row that completes nothing costs one, too."""
    rng = seeded(dut, "rate")
    source = Source(dut, dut.token_valid_i, dut.token_ready_o, [dut.token_i], rng)
    bus = Bus(dut, rng, 0.0)
    await start(dut)
    await ClockCycles(dut.clk_i, 4)
    tokens = [t for _ in range(3) for t in frame(rng, 9)]
    model = Model()
    expected, at, step = [], [], 0  # when each piece of work is sent
    for token in tokens:
        work = model.work(token)
        for i, (pes, word) in enumerate(work):
            if pes:
                expected.append((pes, word))
                at.append(step + i)
        step += max(1, len(work))
    source.send(tokens)
    await until(dut, lambda: len(bus.sent) == len(expected))
    await ClockCycles(dut.clk_i, 10)
    assert same(bus.sent, expected)
    # a token is taken at the end of a cycle, work seen at the end of another, LATENCY later; the
    # last of a row's markers goes with the token that is taken
    first = source.cycles[0][0] - (max(1, len(Model().work(tokens[0]))) - 1)
    assert bus.cycles == [first + LATENCY + cycle for cycle in at]


@cocotb.test()
async def reset_in_a_frame(dut: Any) -> None:
    """Row, ring and pending markers start again."""
    rng = seeded(dut, "reset")
    source = Source(dut, dut.token_valid_i, dut.token_ready_o, [dut.token_i], rng, 0.1)
    bus = Bus(dut, rng, 0.05)
    await start(dut)
    for length in (1, 3, 8, 20):
        source.send((frame(rng, 4) + frame(rng, 4) + frame(rng, 4))[: length + HEIGHT])
        await ClockCycles(dut.clk_i, length + HEIGHT)
        source.clear()
        await reset(dut)
        bus.sent.clear()
        await ClockCycles(dut.clk_i, 8)
        assert bus.sent == []
        tokens, model = frame(rng, 5) + frame(rng, 5), Model()
        expected = [work for token in tokens for work in model.work(token)]
        source.send(tokens)
        await until(dut, lambda: source.done)
        await ClockCycles(dut.clk_i, 60)
        assert same(bus.sent, expected)
        await reset(dut)
