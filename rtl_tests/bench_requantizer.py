"""Bench of jp_requantizer: expected values come with the job, from the golden model's formula."""

from typing import Any

import cocotb
from cocotb.triggers import ClockCycles

from rtl_tests.streams import (
    IDLE,
    STALL,
    Sink,
    Source,
    consecutive,
    job,
    parameter,
    reset,
    seeded,
    start,
    until,
)

ACC_BITS, VALUE_BITS, X_BITS, CHANNEL_BITS = (
    parameter(name) for name in ("AccBits", "ValueBits", "XBits", "ChannelBits")
)
PLACE_BITS = X_BITS + CHANNEL_BITS
LATENCY = 6 + parameter("Table")


def words(rng: Any, some: int) -> tuple[list[int], list[int | None]]:
    """Winners, a marker now and then, and the tokens they become; None: only the marker bit counts."""
    winners, tokens = [], []
    cases = job()["data"]
    for channel, acc, value in cases if some >= len(cases) else rng.sample(cases, some):
        place = channel << X_BITS | rng.getrandbits(X_BITS)
        winners.append(place << ACC_BITS | acc & ((1 << ACC_BITS) - 1))
        tokens.append(place << VALUE_BITS | value & ((1 << VALUE_BITS) - 1))
        if rng.random() < 0.1:
            winners.append(1 << (PLACE_BITS + ACC_BITS))
            tokens.append(None)
    return winners, tokens


def same(seen: list[int], expected: list[int | None]) -> bool:
    marker = 1 << (PLACE_BITS + VALUE_BITS)
    return len(seen) == len(expected) and all(
        word & marker if want is None else word == want
        for word, want in zip(seen, expected, strict=True)
    )


@cocotb.test()
@cocotb.parametrize(idle=IDLE, stall=STALL)
async def stream(dut: Any, idle: float, stall: float) -> None:
    rng = seeded(dut, "stream", idle, stall)
    winners, tokens = words(rng, 100_000 if idle == stall == 0.0 else 150)
    source = Source(dut, dut.valid_i, dut.ready_o, [dut.winner_i], rng, idle)
    sink = Sink(dut, dut.valid_o, dut.ready_i, [dut.token_o], rng, stall)
    await start(dut)
    await ClockCycles(dut.clk_i, 3)
    source.send(winners)
    await until(dut, lambda: len(sink.words) == len(tokens))
    await ClockCycles(dut.clk_i, LATENCY + 2)
    assert same(sink.words, tokens)
    if stall == 0.0:
        assert all(b - a == LATENCY for a, b in zip(source.cycles[0], sink.cycles, strict=True))
        assert idle > 0 or consecutive(sink.cycles)


@cocotb.test()
async def reset_in_the_stream(dut: Any) -> None:
    rng = seeded(dut, "reset")
    source = Source(dut, dut.valid_i, dut.ready_o, [dut.winner_i], rng, 0.2)
    sink = Sink(dut, dut.valid_o, dut.ready_i, [dut.token_o], rng, 0.2)
    source.send(words(rng, 50)[0])
    await start(dut)
    await ClockCycles(dut.clk_i, 30)
    source.clear()
    await reset(dut)
    sink.words.clear()
    await ClockCycles(dut.clk_i, LATENCY + 2)
    assert sink.words == []
    winners, tokens = words(rng, 30)
    source.send(winners)
    await until(dut, lambda: len(sink.words) == len(tokens), 500)
    assert same(sink.words, tokens)
