"""Bench of jp_axil behind the usual port names (top axil_top)."""

import itertools
from random import Random
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge
from cocotbext.axi import AxiLiteBus, AxiLiteMaster, AxiResp

from rtl_tests.streams import PERIOD_NS, parameter, reset, seeded

REGISTERS, ADDR_BITS = parameter("Registers"), parameter("AddrBits")
BEYOND = (1 << ADDR_BITS) // 4  # word indices that an address can reach
CHANNELS = ("aw", "w", "b", "ar", "r")


class Bench:
    def __init__(self, dut: Any, rng: Random) -> None:
        self.dut = dut
        self.values = [rng.getrandbits(32) for _ in range(REGISTERS)]
        self.pulses: list[tuple[int, int]] = []

    async def start(self) -> None:
        dut = self.dut
        dut.values_i.value = sum(value << 32 * i for i, value in enumerate(self.values))
        cocotb.start_soon(Clock(dut.clk_i, PERIOD_NS, unit="ns").start())
        await reset(dut)
        await RisingEdge(dut.clk_i)
        cocotb.start_soon(self.watch())

    async def watch(self) -> None:
        while True:
            await RisingEdge(self.dut.clk_i)
            if self.dut.write_valid_o.value == 1:
                pulse = int(self.dut.write_index_o.value), int(self.dut.write_data_o.value)
                self.pulses.append(pulse)


def master_of(dut: Any) -> AxiLiteMaster:
    master = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axi"), dut.clk_i, dut.rst_ni, False)
    for port in (master.write_if, master.read_if):
        port.log.setLevel("WARNING")
    return master


def channel(master: AxiLiteMaster, name: str) -> Any:
    part = master.write_if if name in ("aw", "w", "b") else master.read_if
    return getattr(part, f"{name}_channel")


@cocotb.test()
@cocotb.parametrize(paused=["", "aw", "w", "b", "ar", "r", "all"])
async def accesses(dut: Any, paused: str) -> None:
    """Reads and writes together; a paused channel decides which of address and data comes first."""
    rng = seeded(dut, "accesses", paused)
    bench, master = Bench(dut, rng), master_of(dut)
    await bench.start()
    for name in CHANNELS:
        if paused in (name, "all"):
            pause = Random(rng.random())
            channel(master, name).set_pause_generator(
                pause.random() < 0.8 for _ in itertools.count()
            )
    expected = []

    async def read() -> None:
        for _ in range(25):
            index = rng.randrange(min(REGISTERS + 2, BEYOND))
            answer = await master.read(4 * index, 4)
            known = index < REGISTERS
            assert answer.resp == (AxiResp.OKAY if known else AxiResp.SLVERR)
            assert int.from_bytes(answer.data, "little") == (bench.values[index] if known else 0)

    reads = cocotb.start_soon(read())
    for _ in range(25):
        index = rng.randrange(min(REGISTERS + 2, BEYOND))
        size, shift = rng.choice([(4, 0), (4, 0), (1, 2), (2, 2), (3, 1), (2, 0), (3, 0)])
        data = rng.randbytes(size)
        answer = await master.write(4 * index + shift, data)
        good = index < REGISTERS and size == 4
        assert answer.resp == (AxiResp.OKAY if good else AxiResp.SLVERR)
        if good:
            expected.append((index, int.from_bytes(data, "little")))
    await reads
    assert bench.pulses == expected


def idle(dut: Any) -> None:
    for name in (
        "awaddr",
        "awvalid",
        "wdata",
        "wstrb",
        "wvalid",
        "bready",
        "araddr",
        "arvalid",
        "rready",
    ):
        getattr(dut, f"s_axi_{name}").value = 0


async def handshake(dut: Any, name: str, **payload: int) -> None:
    """Send on one channel until it is taken."""
    for signal, value in payload.items():
        getattr(dut, f"s_axi_{signal}").value = value
    getattr(dut, f"s_axi_{name}valid").value = 1
    await RisingEdge(dut.clk_i)
    while getattr(dut, f"s_axi_{name}ready").value != 1:
        await RisingEdge(dut.clk_i)
    getattr(dut, f"s_axi_{name}valid").value = 0


async def answer(dut: Any, name: str) -> int:
    """Take a response; its code."""
    getattr(dut, f"s_axi_{name}ready").value = 1
    for _ in range(20):
        await RisingEdge(dut.clk_i)
        if getattr(dut, f"s_axi_{name}valid").value == 1:
            getattr(dut, f"s_axi_{name}ready").value = 0
            return int(getattr(dut, f"s_axi_{name}resp").value)
    raise AssertionError(f"no answer on {name}")


@cocotb.test()
@cocotb.parametrize(data_first=[False, True], gap=[0, 1, 7])
async def order_of_address_and_data(dut: Any, data_first: bool, gap: int) -> None:
    bench = Bench(dut, seeded(dut, "order", data_first, gap))
    idle(dut)
    await bench.start()
    for index in (0, REGISTERS - 1):
        first, second = ("w", "aw") if data_first else ("aw", "w")
        payload = {"w": {"wdata": 0xC0FFEE00 + index, "wstrb": 15}, "aw": {"awaddr": 4 * index}}
        await handshake(dut, first, **payload[first])
        await ClockCycles(dut.clk_i, gap) if gap else None
        assert dut.s_axi_bvalid.value == 0
        await handshake(dut, second, **payload[second])
        assert await answer(dut, "b") == AxiResp.OKAY
        await RisingEdge(dut.clk_i)
        assert dut.s_axi_bvalid.value == 0
        assert bench.pulses[-1] == (index, 0xC0FFEE00 + index)
    assert len(bench.pulses) == 2


@cocotb.test()
async def unaligned_is_refused(dut: Any) -> None:
    bench = Bench(dut, seeded(dut, "unaligned"))
    idle(dut)
    await bench.start()
    for address in (1, 2, 3):
        await handshake(dut, "w", wdata=1, wstrb=15)
        await handshake(dut, "aw", awaddr=address)
        assert await answer(dut, "b") == AxiResp.SLVERR
        await handshake(dut, "ar", araddr=address)
        assert await answer(dut, "r") == AxiResp.SLVERR
    assert bench.pulses == []


@cocotb.test()
async def every_strobe(dut: Any) -> None:
    bench = Bench(dut, seeded(dut, "strobe"))
    idle(dut)
    await bench.start()
    for strobe in range(16):
        await handshake(dut, "aw", awaddr=0)
        await handshake(dut, "w", wdata=strobe, wstrb=strobe)
        assert await answer(dut, "b") == (AxiResp.OKAY if strobe == 15 else AxiResp.SLVERR)
    assert bench.pulses == [(0, 15)]


@cocotb.test()
async def answers_wait(dut: Any) -> None:
    """Responses and read data stay until they are taken, though the register changes."""
    bench = Bench(dut, seeded(dut, "wait"))
    idle(dut)
    await bench.start()
    await handshake(dut, "ar", araddr=0)
    await handshake(dut, "aw", awaddr=4 * REGISTERS % (1 << ADDR_BITS))
    await handshake(dut, "w", wdata=9, wstrb=15)
    await ClockCycles(dut.clk_i, 3)
    before = bench.values[0]
    dut.values_i.value = 0
    for _ in range(10):
        await RisingEdge(dut.clk_i)
        assert dut.s_axi_rvalid.value == 1
        assert int(dut.s_axi_rdata.value) == before
        assert dut.s_axi_bvalid.value == 1
        assert dut.s_axi_arready.value == 0
        assert dut.s_axi_awready.value == 0
        assert dut.s_axi_wready.value == 0
    assert await answer(dut, "r") == AxiResp.OKAY
    wraps = 4 * REGISTERS >= 1 << ADDR_BITS  # no address is beyond: this one was 0
    assert await answer(dut, "b") == (AxiResp.OKAY if wraps else AxiResp.SLVERR)


@cocotb.test()
async def reset_forgets(dut: Any) -> None:
    bench = Bench(dut, seeded(dut, "reset"))
    idle(dut)
    await bench.start()
    await handshake(dut, "aw", awaddr=4 * (REGISTERS - 1))
    await handshake(dut, "ar", araddr=0)
    dut.rst_ni.value = 0
    await ClockCycles(dut.clk_i, 3)
    for name in ("awready", "wready", "arready", "bvalid", "rvalid"):
        assert getattr(dut, f"s_axi_{name}").value == 0
    dut.rst_ni.value = 1
    await RisingEdge(dut.clk_i)
    await handshake(dut, "w", wdata=7, wstrb=15)
    await ClockCycles(dut.clk_i, 4)
    assert dut.s_axi_bvalid.value == 0
    assert bench.pulses == []
    await handshake(dut, "aw", awaddr=0)
    assert await answer(dut, "b") == AxiResp.OKAY
    assert bench.pulses == [(0, 7)]
