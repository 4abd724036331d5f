"""Bench of jp_layer: tokens in any order within a row; winners of each row, in any order."""

from random import Random
from typing import Any

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge

from rtl_tests.streams import Sink, Source, job, reset, seeded, start, until

DATA = job()["data"]
LANES = DATA["markers"]  # per lane, a marker's word
WINNER_MARKER = DATA["winner_marker"]
COUNTERS = ("tokens", "macs", "busy", "stalled", "frames")


class Bench:
    def __init__(self, dut: Any, rng: Random, idle: float, stall: float) -> None:
        self.dut, self.rng = dut, rng
        self.source = Source(
            dut,
            dut.token_valid_i,
            dut.token_ready_o,
            [dut.token_i],
            rng,
            idle,
            len(LANES),
            DATA["stride"],
        )
        self.sinks = [
            Sink(
                dut,
                getattr(dut, f"winner{s}_valid_o"),
                getattr(dut, f"winner{s}_ready_i"),
                [getattr(dut, f"winner{s}_o")],
                rng,
                stall,
            )
            for s in range(DATA["streams"])
        ]
        self.clear()

    def clear(self) -> None:
        self.source.clear()
        for sink in self.sinks:
            sink.words.clear()
        self.rows: list[list[list[int]]] = [[] for _ in self.sinks]
        self.tokens = self.macs = self.frames = 0

    def send(self, frame: dict[str, Any]) -> None:
        for lane, rows in enumerate(frame["lanes"]):
            for row in rows:
                shuffled = self.rng.sample(row, len(row))
                self.source.send([*shuffled, LANES[lane]], lane)
                self.tokens += len(row)
        for rows, more in zip(self.rows, frame["streams"], strict=True):
            rows += more
        self.macs += frame["macs"]
        self.frames += 1

    @property
    def words(self) -> list[int]:
        return [word for sink in self.sinks for word in sink.words]

    async def finish(self) -> None:
        expected = sum(len(row) + 1 for rows in self.rows for row in rows)
        await until(self.dut, lambda: len(self.words) >= expected, 30_000)
        await ClockCycles(self.dut.clk_i, 30)
        for sink, wanted in zip(self.sinks, self.rows, strict=True):
            rows: list[list[int]] = [[]]
            for word in sink.words:
                if word & WINNER_MARKER:
                    rows.append([])
                else:
                    rows[-1].append(word)
            assert [sorted(row) for row in rows] == [*wanted, []]
        assert self.source.done
        self.check_counters()

    def check_counters(self) -> None:
        word = int(self.dut.counters_o.value)
        seen = {name: word >> 32 * i & 0xFFFFFFFF for i, name in enumerate(COUNTERS)}
        assert seen["tokens"] == self.tokens
        assert seen["macs"] == self.macs
        assert seen["frames"] == self.frames
        assert seen["busy"] * DATA["pes"] >= self.macs


@cocotb.test()
@cocotb.parametrize((("idle", "stall"), [(0.0, 0.0), (0.6, 0.0), (0.0, 0.6), (0.3, 0.3)]))
async def frames(dut: Any, idle: float, stall: float) -> None:
    rng = seeded(dut, "frames", idle, stall)
    bench = Bench(dut, rng, idle, stall)
    for frame in DATA["frames"]:
        bench.send(frame)
    await start(dut)
    await bench.finish()


@cocotb.test()
async def full_rate_and_blocked(dut: Any) -> None:
    """Nobody takes winners for long: the dispatchers come to wait for full PEs; then all comes out."""
    bench = Bench(dut, seeded(dut, "blocked"), 0.0, 1.0)
    while bench.tokens < DATA["plenty"]:
        for frame in DATA["frames"]:
            bench.send(frame)
    await start(dut)
    await ClockCycles(dut.clk_i, DATA["patience"])
    before = int(dut.counters_o.value)
    await ClockCycles(dut.clk_i, 50)
    for i, name in enumerate(COUNTERS):
        grown = (int(dut.counters_o.value) - before >> 32 * i) & 0xFFFFFFFF
        assert name in ("busy", "stalled") or grown == 0, name
    assert bench.words == []
    assert not bench.source.done
    for sink in bench.sinks:
        sink.stall = 0.0
    await bench.finish()


@cocotb.test()
async def reset_in_a_frame(dut: Any) -> None:
    rng = seeded(dut, "reset")
    bench = Bench(dut, rng, 0.05, 0.1)
    await start(dut)
    for _ in range(3):
        for frame in DATA["frames"]:
            bench.send(frame)
        await until(dut, lambda: len(bench.words) > 1, 30_000)
        await ClockCycles(dut.clk_i, rng.randrange(40))
        bench.source.clear()
        await reset(dut)
        bench.clear()
        await RisingEdge(dut.clk_i)
        await ClockCycles(dut.clk_i, 20)
        assert bench.words == []
        assert int(dut.counters_o.value) == 0
    bench.send(DATA["frames"][0])
    bench.send(DATA["frames"][1])
    await bench.finish()
