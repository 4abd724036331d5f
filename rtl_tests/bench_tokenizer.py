"""Bench of jp_tokenizer: frames of every kind of length, against tokens.expect()."""

from random import Random
from typing import Any

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge

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
from rtl_tests.tokens import Beat, Format, beats_of, expect

FMT = Format(
    parameter("Height"),
    parameter("RowBytes"),
    parameter("Theta"),
    bool(parameter("Signed")),
    parameter("XBits"),
    parameter("ChannelBits"),
    tuple(job()["data"]["keep"]),
    tuple(job()["data"]["place"]),
)
LATENCY = 6
LARGEST = 128 if FMT.signed else 255  # by magnitude
EDGES = [FMT.theta, FMT.theta - 1, 256 - FMT.theta, 257 - FMT.theta, 128, 127, 255, 1]
# at least two frames, and enough beats to fill the queue inside
FRAMES = max(2, 24 // FMT.beats)


def random_bytes(rng: Random, count: int) -> bytes:
    """Bytes of which a random share is not zero; many at the threshold's edges."""
    share = rng.choice([0.0, 0.1, 0.5, 1.0] if count < 400 else [0.02, 0.2])
    return bytes(
        (rng.choice(EDGES) % 256 if rng.random() < 0.3 else rng.randrange(256))
        if rng.random() < share
        else 0
        for _ in range(count)
    )


def exact(rng: Random) -> list[Beat]:
    return beats_of(random_bytes(rng, FMT.frame_bytes), rng)


def short(rng: Random) -> list[Beat]:
    """tlast comes early; the last beat's tkeep may be partial, or empty (no byte at all)."""
    count = rng.randrange(FMT.frame_bytes)
    return beats_of(random_bytes(rng, count), rng) or [Beat(rng.getrandbits(64), 0, 1)]


def longer(rng: Random) -> list[Beat]:
    return beats_of(random_bytes(rng, FMT.frame_bytes + rng.choice([1, 2, 7, 8, 9, 30])), rng)


def holes(rng: Random) -> list[Beat]:
    """Null bytes in mid-frame."""
    beats = exact(rng)
    at = rng.randrange(len(beats))
    beats[at] = Beat(beats[at].data, beats[at].keep & rng.getrandbits(8), beats[at].last)
    return beats


def late_last(rng: Random) -> list[Beat]:
    """tlast on an empty beat after the frame."""
    beats = exact(rng)
    beats[-1] = Beat(beats[-1].data, beats[-1].keep, 0)
    return [*beats, Beat(rng.getrandbits(64), 0, 1)]


def holes_and_longer(rng: Random) -> list[Beat]:
    beats = longer(rng)
    return [Beat(beats[0].data, beats[0].keep & 0xFE, beats[0].last), *beats[1:]]


KINDS = {
    "exact": exact,
    "short": short,
    "longer": longer,
    "holes": holes,
    "late_last": late_last,
    "holes_and_longer": holes_and_longer,
}


class Bench:
    def __init__(self, dut: Any, rng: Random, idle: float, stall: float) -> None:
        self.dut, self.rng, self.stall = dut, rng, stall
        self.source = Source(
            dut,
            dut.s_axis_tvalid_i,
            dut.s_axis_tready_o,
            [dut.s_axis_tdata_i, dut.s_axis_tkeep_i, dut.s_axis_tlast_i],
            rng,
            idle,
        )
        self.sink = Sink(dut, dut.token_valid_o, dut.token_ready_i, [dut.token_o], rng, stall)
        self.tokens: list[int] = []
        self.flags: list[bool] = []
        self.shorts = self.longs = 0
        self.clear()
        dut.frame_ready_i.value = 0
        cocotb.start_soon(self.watch())

    def clear(self) -> None:
        self.expected: list[int] = []
        self.errors: list[bool] = []
        self.expected_shorts = self.expected_longs = 0
        self.shorts = self.longs = 0
        self.tokens.clear()
        self.flags.clear()
        self.sink.words.clear()
        self.sink.cycles.clear()

    async def watch(self) -> None:
        """Take the frames' error flags, now and then; count the pulses."""
        dut = self.dut
        while True:
            await RisingEdge(dut.clk_i)
            if dut.rst_ni.value != 1:
                continue
            if dut.frame_valid_o.value == 1:
                assert dut.frame_ready_i.value == 1
                self.flags.append(dut.frame_error_o.value == 1)
            self.shorts += dut.short_o.value == 1
            self.longs += dut.long_o.value == 1
            dut.frame_ready_i.value = int(self.rng.random() >= self.stall)

    def send(self, beats: list[Beat]) -> None:
        outcome = expect(beats, FMT)
        self.source.send([(beat.data, beat.keep, beat.last) for beat in beats])
        self.expected += outcome.tokens
        self.errors.append(outcome.short or outcome.long)
        self.expected_shorts += outcome.short
        self.expected_longs += outcome.long

    async def finish(self) -> None:
        await until(self.dut, lambda: len(self.sink.words) >= len(self.expected), 60_000)
        await until(self.dut, lambda: self.source.done)  # a cut frame's rest
        await ClockCycles(self.dut.clk_i, 12)
        marker = FMT.marker
        words = [marker if word & marker else word for word in self.sink.words]
        assert words == self.expected
        assert self.flags == self.errors
        assert self.longs == self.expected_longs
        # a frame of many broken beats can pulse for each
        assert self.expected_shorts <= self.shorts
        assert (self.shorts > 0) == (self.expected_shorts > 0)
        assert self.dut.receiving_o.value == 0


@cocotb.test()
@cocotb.parametrize(idle=IDLE, stall=STALL)
async def any_frames(dut: Any, idle: float, stall: float) -> None:
    """Frames of all kinds, back to back."""
    rng = seeded(dut, "any", idle, stall)
    bench = Bench(dut, rng, idle, stall)
    for _ in range(FRAMES):
        bench.send(rng.choice(list(KINDS.values()))(rng))
    bench.send(exact(rng))
    await start(dut)
    await bench.finish()


@cocotb.test()
@cocotb.parametrize(kind=list(KINDS))
async def one_kind(dut: Any, kind: str) -> None:
    """Frames of one kind, an exact one after each."""
    rng = seeded(dut, "kind", kind)
    bench = Bench(dut, rng, 0.2, 0.2)
    for _ in range(max(2, FRAMES // 4)):
        bench.send(KINDS[kind](rng))
        bench.send(exact(rng))
    await start(dut)
    await bench.finish()
    assert any(bench.errors) == (kind != "exact") or kind == "holes"


@cocotb.test()
async def one_token_a_cycle(dut: Any) -> None:
    """Dense frames: a token or marker in every cycle, across rows and frames."""
    rng = seeded(dut, "dense")
    bench = Bench(dut, rng, 0.0, 0.0)
    await start(dut)
    await ClockCycles(dut.clk_i, 4)
    for _ in range(FRAMES):
        bench.send(beats_of(bytes([LARGEST]) * FMT.frame_bytes, rng))
    await bench.finish()
    assert consecutive(bench.sink.cycles)
    assert not FMT.keep[0] or bench.sink.cycles[0] - bench.source.cycles[0][0] == LATENCY


@cocotb.test(skip=FMT.row_bytes < 64 or not all(FMT.keep))
@cocotb.parametrize(group=[1, 2, 3, 4])
async def zero_beats_are_free(dut: Any, group: int) -> None:
    """One beat in `group` counts, with `group` bytes: still a token in every cycle."""
    rng = seeded(dut, "free", group)
    bench = Bench(dut, rng, 0.0, 0.0)
    await start(dut)
    await ClockCycles(dut.clk_i, 4)
    for _ in range(3):
        data = bytearray(FMT.frame_bytes)
        for beat in range(0, FMT.beats, group):
            for i in rng.sample(range(8), group):
                data[8 * beat + i] = LARGEST
        bench.send(beats_of(bytes(data), rng))
    await bench.finish()
    assert consecutive(bench.sink.cycles)


@cocotb.test()
async def receiving(dut: Any) -> None:
    """High from the first beat until the frame's last token has left, also while the frame waits."""
    rng = seeded(dut, "receiving")
    bench = Bench(dut, rng, 0.0, 0.0)
    await start(dut)
    await ClockCycles(dut.clk_i, 4)
    assert dut.receiving_o.value == 0
    beats = exact(rng)
    if len(beats) > 1:
        bench.send(beats)
        held = bench.source.queues[0].pop()
        await until(dut, lambda: bench.source.done)
        await ClockCycles(dut.clk_i, 40)
        assert dut.receiving_o.value == 1
        assert bench.flags == []
        bench.source.send([held])
    else:
        bench.send(beats)
    await bench.finish()


@cocotb.test()
async def reset_in_a_frame(dut: Any) -> None:
    """Also while the rest of a long frame is dropped, and while rows wait."""
    rng = seeded(dut, "reset")
    bench = Bench(dut, rng, 0.1, 0.3)
    await start(dut)
    for kind in (exact, longer, short, exact):
        bench.send(kind(rng))
        bench.send(exact(rng))
        await ClockCycles(dut.clk_i, 3 + rng.randrange(1 + 2 * FMT.beats))
        bench.source.clear()
        await reset(dut)
        bench.clear()
        await ClockCycles(dut.clk_i, 12)
        assert bench.sink.words == []
        assert bench.flags == []
        assert dut.receiving_o.value == 0
    bench.send(exact(rng))
    bench.send(exact(rng))
    await bench.finish()
