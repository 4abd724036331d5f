"""Bench of a generated top: frames as they should not be, soft reset, registers."""

from random import Random
from types import SimpleNamespace
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles
from cocotbext.axi import AxiLiteBus, AxiLiteMaster, AxiResp

from rtl_tests.streams import PERIOD_NS, Sink, Source, job, seeded, until

DATA = job()["data"]
REGISTERS = DATA["registers"]  # name -> offset
SHORT, LONG, BUSY = 2, 4, 1


class Bench:
    def __init__(self, dut: Any, rng: Random, idle: float, stall: float) -> None:
        self.dut = dut
        self.ports = SimpleNamespace(clk_i=dut.aclk, rst_ni=dut.aresetn)
        self.source = Source(
            self.ports,
            dut.s_axis_tvalid,
            dut.s_axis_tready,
            [dut.s_axis_tdata, dut.s_axis_tkeep, dut.s_axis_tlast],
            rng,
            idle,
        )
        self.sink = Sink(
            self.ports,
            dut.m_axis_tvalid,
            dut.m_axis_tready,
            [dut.m_axis_tdata, dut.m_axis_tkeep, dut.m_axis_tlast, dut.m_axis_tuser],
            rng,
            stall,
        )
        self.master = AxiLiteMaster(
            AxiLiteBus.from_prefix(dut, "s_axi"), dut.aclk, dut.aresetn, False
        )
        for port in (self.master.write_if, self.master.read_if):
            port.log.setLevel("WARNING")
        self.expected: list[tuple[int, ...]] = []
        self.frames = 0

    async def start(self) -> None:
        cocotb.start_soon(Clock(self.dut.aclk, PERIOD_NS, unit="ns").start())
        await self.pin_reset()

    async def pin_reset(self) -> None:
        self.dut.aresetn.value = 0
        await ClockCycles(self.dut.aclk, 4)
        self.dut.aresetn.value = 1
        await ClockCycles(self.dut.aclk, 2)

    def send(self, frame: dict[str, Any]) -> None:
        self.source.send([tuple(beat) for beat in frame["beats"]])
        last = len(frame["logits"]) - 1
        for i, logit in enumerate(frame["logits"]):
            self.expected.append((logit & 0xFFFFFFFF, 15, int(i == last), int(frame["error"])))
        self.frames += 1

    async def finish(self) -> None:
        await until(self.ports, lambda: len(self.sink.words) >= len(self.expected), 100_000)
        await until(self.ports, lambda: self.source.done)
        await ClockCycles(self.dut.aclk, 200)
        assert self.sink.words == self.expected

    def forget(self) -> None:
        self.source.clear()
        self.sink.words.clear()
        self.expected.clear()
        self.frames = 0

    async def read(self, name: str) -> int:
        answer = await self.master.read(REGISTERS[name], 4)
        assert answer.resp == AxiResp.OKAY
        return int.from_bytes(answer.data, "little")

    async def write(self, name: str, value: int) -> None:
        answer = await self.master.write(REGISTERS[name], value.to_bytes(4, "little"))
        assert answer.resp == AxiResp.OKAY

    async def check_frames(self) -> None:
        """All frame counters, and that nothing is going on."""
        assert await self.read("frames") == self.frames
        for layer in DATA["layers"]:
            assert await self.read(f"{layer}_frames") == self.frames
        assert await self.read("status") & BUSY == 0


@cocotb.test()
@cocotb.parametrize((("idle", "stall"), [(0.0, 0.0), (0.4, 0.4), (0.0, 0.9)]))
async def malformed_frames(dut: Any, idle: float, stall: float) -> None:
    """Every malformed frame is flagged, and the frames around it are exact."""
    bench = Bench(dut, seeded(dut, "malformed", idle, stall), idle, stall)
    await bench.start()
    for frame in DATA["frames"]:
        bench.send(frame)
    await bench.finish()
    await bench.check_frames()
    assert await bench.read("status") == SHORT | LONG
    macs = [await bench.read(f"{layer}_macs") for layer in DATA["layers"]]
    tokens = [await bench.read(f"{layer}_tokens") for layer in DATA["layers"]]
    assert macs == DATA["macs"]
    assert tokens == DATA["tokens"]


@cocotb.test()
@cocotb.parametrize(kind=["short", "long"])
async def error_bits(dut: Any, kind: str) -> None:
    """Sticky, cleared one by one by writing 1."""
    bit, other = (SHORT, LONG) if kind == "short" else (LONG, SHORT)
    bench = Bench(dut, seeded(dut, "bits", kind), 0.0, 0.0)
    await bench.start()
    assert await bench.read("status") == 0
    bench.send(next(f for f in DATA["frames"] if f["kind"] == kind))
    bench.send(next(f for f in DATA["frames"] if f["kind"] == "exact"))
    await bench.finish()
    assert await bench.read("status") == bit
    await bench.write("status", other | BUSY)
    assert await bench.read("status") == bit
    await bench.write("status", bit)
    assert await bench.read("status") == 0


@cocotb.test()
async def identity(dut: Any) -> None:
    bench = Bench(dut, seeded(dut, "identity"), 0.0, 0.0)
    await bench.start()
    for name, value in DATA["constants"].items():
        assert await bench.read(name) == value, name
    beyond = 4 * len(REGISTERS)
    assert (await bench.master.read(beyond, 4)).resp == AxiResp.SLVERR
    assert (await bench.master.write(beyond, bytes(4))).resp == AxiResp.SLVERR
    before = await bench.read("cycles")
    await ClockCycles(dut.aclk, 100)
    assert 100 <= await bench.read("cycles") - before < 140
    for name in ("magic", "frames"):
        await bench.write(name, 0xFFFFFFFF)  # read only: no effect
    assert await bench.read("magic") == DATA["constants"]["magic"]
    assert await bench.read("frames") == 0


@cocotb.test()
@cocotb.parametrize(
    (
        ("pin", "cycles", "stall"),
        [(False, 1, 0.0), (False, 30, 0.0), (False, 150, 0.0), (False, 600, 1.0), (True, 200, 0.0)],
    )
)
async def reset_in_a_frame(dut: Any, pin: bool, cycles: int, stall: float) -> None:
    """The control register's reset, or the pin's, in mid-frame; frames and counters begin again.

    stall 1: while results wait to be taken.
    """
    bench = Bench(dut, seeded(dut, "reset", pin, cycles, stall), 0.1, stall)
    await bench.start()
    exact = [frame for frame in DATA["frames"] if frame["kind"] == "exact"]
    for frame in DATA["frames"][: 1 if cycles == 1 else 3]:
        bench.send(frame)
    bench.source.queues[0].pop()  # the last frame stays unfinished
    await ClockCycles(dut.aclk, cycles)
    if bench.source.cycles[0]:
        assert await bench.read("status") & BUSY
    bench.sink.strict = False
    bench.source.clear()
    if pin:
        await bench.pin_reset()
    else:
        await bench.write("control", 1)
        await ClockCycles(dut.aclk, 20)
    bench.forget()
    bench.sink.strict, bench.sink.stall = True, 0.2
    await ClockCycles(dut.aclk, 100)
    assert bench.sink.words == []
    assert await bench.read("control") == 0
    await bench.check_frames()
    assert await bench.read("status") == 0
    assert await bench.read("cycles") < 1000
    for frame in exact[:2]:
        bench.send(frame)
    await bench.finish()
    await bench.check_frames()
    assert await bench.read("status") == 0


@cocotb.test()
async def control_without_its_bit(dut: Any) -> None:
    bench = Bench(dut, seeded(dut, "control"), 0.0, 0.0)
    await bench.start()
    bench.send(DATA["frames"][0])
    await bench.finish()
    await bench.write("control", 0xFFFFFFFE)
    await ClockCycles(dut.aclk, 20)
    await bench.check_frames()
