"""Bench of jp_open, the open flow's whole top: a processor on one side, memory on the other."""

import os
import random
from collections.abc import Iterator
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles
from cocotbext.axi import AxiBus, AxiMaster, AxiRam, AxiResp

ACCELERATOR, DMA = 0x4000_0000, 0x4001_0000
SEND, RECEIVE = DMA, DMA + 0x30
CONTROL, STATUS, ADDRESS, LENGTH = 0x00, 0x04, 0x18, 0x28
RUN, RESET, HALTED, IDLE, INTERNAL, DECODE, DONE = 1, 4, 1, 2, 0x10, 0x40, 0x1000
SOURCE, TARGET = 0x1000, 0x4000


def pauses(probability: float, seed: int) -> Iterator[bool]:
    rng = random.Random(seed)
    while True:
        yield rng.random() < probability


class Processor:
    """Register accesses, and the memory behind the DMA engine."""

    def __init__(self, dut: Any, stall: float) -> None:
        ps, self.dut = dut.u_ps7, dut
        Clock(ps.clk, 10, unit="ns").start()
        self.bus = AxiMaster(AxiBus.from_prefix(ps, "gp"), ps.clk, ps.rst_n, False)
        self.memory = AxiRam(AxiBus.from_prefix(ps, "hp"), ps.clk, ps.rst_n, False, size=1 << 16)
        for part in (
            self.bus.write_if,
            self.bus.read_if,
            self.memory.write_if,
            self.memory.read_if,
        ):
            part.log.setLevel("WARNING")
        if stall:
            write, read = self.memory.write_if, self.memory.read_if
            for i, channel in enumerate((write.aw_channel, write.w_channel, write.b_channel)):
                channel.set_pause_generator(pauses(stall, i))
            for i, channel in enumerate((read.ar_channel, read.r_channel)):
                channel.set_pause_generator(pauses(stall, 9 + i))

    async def start(self) -> None:
        ps = self.dut.u_ps7
        ps.rst_n.value = 0
        await ClockCycles(ps.clk, 10)
        ps.rst_n.value = 1
        await ClockCycles(ps.clk, 100)

    async def read(self, address: int) -> int:
        answer = await self.bus.read(address, 4)
        assert answer.resp == AxiResp.OKAY, hex(address)
        return int.from_bytes(answer.data, "little")

    async def write(self, address: int, value: int) -> None:
        answer = await self.bus.write(address, value.to_bytes(4, "little"))
        assert answer.resp == AxiResp.OKAY, hex(address)

    async def transfer(self, channel: int, address: int, nbytes: int) -> None:
        await self.write(channel + ADDRESS, address)
        await self.write(channel + ADDRESS + 4, 0)
        await self.write(channel + LENGTH, nbytes)

    async def wait(self, channel: int) -> int:
        for _ in range(2000):
            status = await self.read(channel + STATUS)
            if status & (IDLE | HALTED):
                return status
        raise AssertionError(f"status stays {status:#x}")

    async def reset(self) -> None:
        await self.write(SEND + CONTROL, RESET)
        for _ in range(200):
            if not await self.read(SEND + CONTROL) & RESET:
                break
        else:
            raise AssertionError("the reset does not end")
        await self.write(ACCELERATOR + 0x10, 1)
        await ClockCycles(self.dut.u_ps7.clk, 100)
        for channel in (SEND, RECEIVE):
            assert await self.read(channel + STATUS) == HALTED
            await self.write(channel + CONTROL, RUN)
            assert await self.read(channel + STATUS) == 0


@cocotb.test()
@cocotb.parametrize(stall=[0.0, 0.4])
async def batches(dut: Any, stall: float) -> None:
    """Batches of frames at several places in memory, with and without a memory that pauses."""
    vectors = np.load(os.environ["JP_VECTORS"])
    images, logits = vectors["images"], vectors["logits"]
    processor = Processor(dut, stall)
    await processor.start()
    assert await processor.read(ACCELERATOR) == 0x4A504857
    await processor.reset()
    size = -(-images[0].size // 8) * 8
    frames = np.zeros((len(images), size), np.uint8)
    frames[:, : images[0].size] = images.reshape(len(images), -1)
    for source, target, count in (
        (SOURCE, TARGET, 4),
        (SOURCE + 40, TARGET + 4, 3),
        (SOURCE + 120, TARGET, 1),
    ):
        processor.memory.write(source, frames[:count].tobytes())
        processor.memory.write(target - 4, bytes(4 * logits[:count].size + 8))
        await processor.transfer(RECEIVE, target, 4 * logits[:count].size)
        await processor.transfer(SEND, source, count * size)
        for channel in (SEND, RECEIVE):
            assert await processor.wait(channel) == IDLE | DONE
            await processor.write(channel + STATUS, DONE)
            assert await processor.read(channel + STATUS) == IDLE
        found = processor.memory.read(target - 4, 4 * logits[:count].size + 8)
        assert found[:4] == found[-4:] == bytes(4), "words beside the target were written"
        assert np.array_equal(np.frombuffer(found[4:-4], "<i4").reshape(count, -1), logits[:count])
        assert await processor.read(RECEIVE + LENGTH) == 4 * logits[:count].size


@cocotb.test()
async def faults(dut: Any) -> None:
    """What AXI DMA calls errors, and resets in the middle of everything."""
    vectors = np.load(os.environ["JP_VECTORS"])
    images, logits = vectors["images"], vectors["logits"]
    processor = Processor(dut, 0.3)
    await processor.start()
    await processor.write(SEND + LENGTH, 64)  # not running: nothing happens
    assert await processor.read(SEND + STATUS) == HALTED
    await processor.reset()
    for channel, address, nbytes in (
        (SEND, SOURCE, 0),
        (SEND, SOURCE + 4, 8),
        (RECEIVE, TARGET + 2, 8),
    ):
        await processor.transfer(channel, address, nbytes)
        assert await processor.wait(channel) == INTERNAL | HALTED
        await processor.write(channel + CONTROL, RUN)
        assert await processor.read(channel + STATUS) == INTERNAL | HALTED, "until a reset"
        await processor.reset()
    size = -(-images[0].size // 8) * 8
    frame = images[0].tobytes() + bytes(size - images[0].size)
    processor.memory.write(SOURCE, frame * 8)
    # more logits than there is room for
    await processor.transfer(RECEIVE, TARGET, 8)
    await processor.transfer(SEND, SOURCE, size)
    assert await processor.wait(RECEIVE) == INTERNAL | HALTED
    await processor.reset()
    # a reset while bursts are under way, and while nobody takes the logits
    for _ in range(3):
        await processor.transfer(SEND, SOURCE, 8 * size)
        await processor.reset()
    processor.memory.write(TARGET, bytes(256))
    await processor.transfer(RECEIVE, TARGET, 256)
    await processor.transfer(SEND, SOURCE, size)
    assert await processor.wait(RECEIVE) == IDLE | DONE
    assert await processor.read(RECEIVE + LENGTH) == logits[0].nbytes // logits.itemsize * 4
    found = processor.memory.read(TARGET, 4 * logits.shape[1])
    assert np.array_equal(np.frombuffer(found, "<i4"), logits[0])


@cocotb.test()
async def bridge(dut: Any) -> None:
    """Bursts and addresses where nothing is are answered with an error, and the bus goes on."""
    processor = Processor(dut, 0.0)
    await processor.start()
    assert (await processor.bus.read(ACCELERATOR, 8)).resp == AxiResp.SLVERR
    assert (await processor.bus.write(ACCELERATOR + 0x10, bytes(12))).resp == AxiResp.SLVERR
    for address in (ACCELERATOR + 0xFC, ACCELERATOR + 0x8000, DMA + 0x1000):
        assert (await processor.bus.read(address, 4)).resp == AxiResp.SLVERR
        assert (await processor.bus.write(address, bytes(4))).resp == AxiResp.SLVERR
    assert await processor.read(ACCELERATOR) == 0x4A504857
    assert await processor.read(SEND + STATUS) == HALTED
