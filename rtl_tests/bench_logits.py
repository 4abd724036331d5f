"""Bench of jp_logits: random accumulators in random order, biases and classes come with the job."""

from random import Random
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

CHANNEL_BITS, X_BITS, ACC_BITS, SUM_BITS, CLASSES = (
    parameter(name) for name in ("ChannelBits", "XBits", "AccBits", "SumBits", "Classes")
)
BIAS, CHANNEL_OF = job()["data"]["bias"], job()["data"]["channel_of"]
MARKER = 1 << (CHANNEL_BITS + X_BITS + ACC_BITS)


def frame(rng: Random) -> tuple[list[int], list[int]]:
    """Winners of a frame, and its logits."""
    least, most = -(1 << (ACC_BITS - 1)), (1 << (ACC_BITS - 1)) - 1
    low, high = -(1 << (SUM_BITS - 1)), (1 << (SUM_BITS - 1)) - 1
    winners, logits = [], []
    for channel in CHANNEL_OF:
        bias = BIAS[channel]
        least_acc, most_acc = max(least, low - bias), min(most, high - bias)
        acc = rng.choice(
            [least_acc, most_acc, *(rng.randint(least_acc, most_acc) for _ in range(4))]
        )
        winners.append(channel << (X_BITS + ACC_BITS) | acc & ((1 << ACC_BITS) - 1))
        logits.append(acc + bias)
    rng.shuffle(winners)
    return [*winners, MARKER | rng.getrandbits(ACC_BITS)], logits


class Bench:
    def __init__(self, dut: Any, rng: Random, idle: float, stall: float) -> None:
        self.dut = dut
        self.rng = rng
        self.source = Source(dut, dut.valid_i, dut.ready_o, [dut.winner_i], rng, idle)
        self.errors = Source(dut, dut.error_valid_i, dut.error_ready_o, [dut.error_i], rng, idle**2)
        self.sink = Sink(
            dut,
            dut.m_axis_tvalid_o,
            dut.m_axis_tready_i,
            [dut.m_axis_tdata_o, dut.m_axis_tlast_o, dut.m_axis_tuser_o],
            rng,
            stall,
        )
        self.expected: list[tuple[int, int, int]] = []

    def send(self, frames: int) -> None:
        for _ in range(frames):
            winners, logits = frame(self.rng)
            error = self.rng.getrandbits(1)
            self.source.send(winners)
            self.errors.send([error])
            for i, logit in enumerate(logits):
                self.expected.append((logit & 0xFFFFFFFF, int(i == CLASSES - 1), error))

    async def finish(self) -> None:
        await until(self.dut, lambda: len(self.sink.words) >= len(self.expected))
        await ClockCycles(self.dut.clk_i, 2 * CLASSES + 5)
        assert self.sink.words == self.expected
        assert self.source.done
        assert self.errors.done


@cocotb.test()
@cocotb.parametrize(idle=IDLE, stall=STALL)
async def frames(dut: Any, idle: float, stall: float) -> None:
    rng = seeded(dut, "frames", idle, stall)
    bench = Bench(dut, rng, idle, stall)
    bench.send(3 + 40 // CLASSES)
    await start(dut)
    await bench.finish()
    if idle == stall == 0.0:
        # a frame leaves while the next arrives: CLASSES + 1 cycles each, that is the marker's
        steps = [
            b - a for a, b in zip(bench.sink.cycles, bench.sink.cycles[CLASSES:], strict=False)
        ]
        assert set(steps[2 * CLASSES :]) == {CLASSES + 1}


@cocotb.test()
async def two_frames_fit(dut: Any) -> None:
    """Nobody takes: two whole frames are taken, and what the pipeline and the last stage hold."""
    bench = Bench(dut, seeded(dut, "fit"), 0.0, 1.0)
    bench.send(4)
    await start(dut)
    await ClockCycles(dut.clk_i, 6 * (CLASSES + 1) + 20)
    sent = 2 // CLASSES  # frames whose logits all wait in the two words of the output stage
    taken = len(bench.source.cycles[0])
    assert 2 * (CLASSES + 1) <= taken <= (2 + sent) * (CLASSES + 1) + 2
    assert consecutive(bench.source.cycles[0][: 2 * (CLASSES + 1)])
    assert dut.m_axis_tvalid_o.value == 1
    bench.sink.stall = 0.0
    await bench.finish()


@cocotb.test()
async def waits_for_the_error_flag(dut: Any) -> None:
    bench = Bench(dut, seeded(dut, "flag"), 0.0, 0.0)
    bench.send(2)
    flags, bench.errors.queues[0] = list(bench.errors.queues[0]), type(bench.errors.queues[0])()
    await start(dut)
    await ClockCycles(dut.clk_i, 3 * CLASSES + 20)
    assert bench.sink.words == []
    bench.errors.send(flags)
    await bench.finish()


@cocotb.test()
async def reset_in_a_frame(dut: Any) -> None:
    bench = Bench(dut, seeded(dut, "reset"), 0.1, 0.4)
    bench.send(4)
    await start(dut)
    await until(dut, lambda: len(bench.sink.words) > CLASSES // 2)
    bench.source.clear()
    bench.errors.clear()
    await reset(dut)
    bench.sink.words.clear()
    bench.expected.clear()
    await ClockCycles(dut.clk_i, 2 * CLASSES + 10)
    assert bench.sink.words == []
    bench.send(3)
    await bench.finish()
