"""The cocotb side: clock and reset, drivers and monitors of handshaked streams."""

import json
import os
import random
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, ReadOnly, RisingEdge
from cocotb.utils import get_sim_time

PERIOD_NS = 10
IDLE = STALL = (0.0, 0.3, 0.7)
"""Probabilities of a pause in each cycle that stream tests cross."""


@cache
def job() -> dict[str, Any]:
    """What common.run() wrote: parameters, seed, data."""
    return json.loads(Path(os.environ["JP_HW_BENCH"]).read_text())


def parameter(name: str) -> Any:
    return job()["parameters"][name]


def seeded(dut: Any, *name: object) -> random.Random:
    """The random numbers of one scenario; the seed is logged."""
    dut._log.info("seed %s of %s", job()["seed"], name)
    return random.Random(f"{job()['seed']}/{name}")


def now() -> int:
    """The running clock cycle."""
    return round(get_sim_time("ns") / PERIOD_NS)


async def reset(dut: Any, cycles: int = 3) -> None:
    dut.rst_ni.value = 0
    await ClockCycles(dut.clk_i, cycles)
    dut.rst_ni.value = 1


async def start(dut: Any, cycles: int = 3) -> None:
    """Start the clock, then reset."""
    cocotb.start_soon(Clock(dut.clk_i, PERIOD_NS, unit="ns").start())
    await reset(dut, cycles)


async def until(dut: Any, condition: Callable[[], bool], limit: int = 20_000) -> None:
    """Wait for a condition, tested every cycle; at most `limit` cycles."""
    for _ in range(limit):
        if condition():
            return
        await RisingEdge(dut.clk_i)
    raise AssertionError(f"nothing came of it in {limit} cycles")


class Source:
    """Drives `count` streams side by side; valid, once high, waits for ready.

    data: handles of the payload; a word is an int where there is one, else a tuple. Where count > 1,
    there is one handle, `width` bits a stream. Sent words' cycles are in `cycles`.
    """

    def __init__(
        self,
        dut: Any,
        valid: Any,
        ready: Any,
        data: Sequence[Any],
        rng: random.Random,
        idle: float = 0.0,
        count: int = 1,
        width: int = 0,
    ) -> None:
        self.dut, self.valid, self.ready, self.data = dut, valid, ready, data
        self.rng, self.idle, self.count, self.width = rng, idle, count, width
        self.queues: list[deque[Any]] = [deque() for _ in range(count)]
        self.current: list[Any] = [None] * count
        self.cycles: list[list[int]] = [[] for _ in range(count)]
        self.drive()
        cocotb.start_soon(self.run())

    def send(self, words: Iterable[Any], stream: int = 0) -> None:
        self.queues[stream].extend(words)

    def clear(self) -> None:
        """Forget what has not been taken."""
        for queue in self.queues:
            queue.clear()
        self.current = [None] * self.count
        self.drive()

    @property
    def done(self) -> bool:
        return all(word is None for word in self.current) and not any(self.queues)

    def drive(self) -> None:
        self.valid.value = sum((word is not None) << i for i, word in enumerate(self.current))
        if self.count > 1:
            self.data[0].value = sum(
                (w or 0) << (i * self.width) for i, w in enumerate(self.current)
            )
        elif self.current[0] is None:
            for handle in self.data:  # garbage, which nobody may look at
                handle.value = self.rng.getrandbits(len(handle))
        elif len(self.data) > 1:
            for handle, part in zip(self.data, self.current[0], strict=True):
                handle.value = part
        else:
            self.data[0].value = self.current[0]

    async def run(self) -> None:
        while True:
            await RisingEdge(self.dut.clk_i)
            if self.dut.rst_ni.value != 1:
                continue
            ready = int(self.ready.value)
            for i, queue in enumerate(self.queues):
                if self.current[i] is not None and ready >> i & 1:
                    self.current[i] = None
                    self.cycles[i].append(now())
                if self.current[i] is None and queue and self.rng.random() >= self.idle:
                    self.current[i] = queue.popleft()
            self.drive()


class Broadcast:
    """Drives the buses of a group of PEs as jp_bus does: a word goes to some of them, when all of these
    were ready; their queues have one word of slack.

    cycles: per bus, the cycle at whose end each word was taken.
    """

    def __init__(
        self, dut: Any, rng: random.Random, idle: float, buses: int, pes: int, width: int
    ) -> None:
        self.dut, self.rng, self.idle, self.width, self.pes = dut, rng, idle, width, pes
        self.queues: list[deque[tuple[int, int]]] = [deque() for _ in range(buses)]
        self.cycles: list[list[int]] = [[] for _ in range(buses)]
        dut.work_valid_i.value = 0
        dut.work_i.value = 0
        cocotb.start_soon(self.run())

    def send(self, words: Iterable[tuple[int, int]], bus: int = 0) -> None:
        """Words, each with a mask of its PEs."""
        self.queues[bus].extend(words)

    def clear(self) -> None:
        """Forget what has not been sent."""
        for queue in self.queues:
            queue.clear()
        self.dut.work_valid_i.value = 0

    @property
    def done(self) -> bool:
        return not any(self.queues)

    async def run(self) -> None:
        while True:
            await RisingEdge(self.dut.clk_i)
            if self.dut.rst_ni.value != 1:
                self.dut.work_valid_i.value = 0
                continue
            ready, valid, data = int(self.dut.work_ready_o.value), 0, 0
            for b, queue in enumerate(self.queues):
                word = self.rng.getrandbits(self.width)
                targets = queue[0][1] if queue else 0
                wanted = sum(
                    1 << p * len(self.queues) + b for p in range(self.pes) if targets >> p & 1
                )
                if queue and ready & wanted == wanted and self.rng.random() >= self.idle:
                    word, _ = queue.popleft()
                    valid |= wanted
                    self.cycles[b].append(now() + 1)
                data |= word << b * self.width
            self.dut.work_valid_i.value = valid
            self.dut.work_i.value = data


class Queues:
    """Winner queues of `count` PEs side by side, as jp_merge sees them: a word that is popped comes in
    the next cycle, and zeros otherwise. cycles: per queue, in which each word was there first.
    """

    def __init__(self, dut: Any, rng: random.Random, idle: float, count: int, width: int) -> None:
        self.dut, self.rng, self.idle, self.width = dut, rng, idle, width
        self.queues: list[deque[int]] = [deque() for _ in range(count)]
        self.heads: list[int | None] = [None] * count
        self.cycles: list[list[int]] = [[] for _ in range(count)]
        self.drive(0)
        cocotb.start_soon(self.run())

    def send(self, words: Iterable[int], queue: int = 0) -> None:
        self.queues[queue].extend(words)

    def clear(self) -> None:
        """Forget what has not been popped."""
        for queue in self.queues:
            queue.clear()
        self.heads = [None] * len(self.heads)
        self.drive(0)

    @property
    def done(self) -> bool:
        return all(word is None for word in self.heads) and not any(self.queues)

    def drive(self, data: int) -> None:
        self.dut.valid_i.value = sum((w is not None) << i for i, w in enumerate(self.heads))
        top = 1 << (self.width - 1)
        self.dut.marker_i.value = sum(
            bool(self.rng.getrandbits(1) if w is None else w & top) << i
            for i, w in enumerate(self.heads)
        )
        self.dut.data_i.value = data

    async def run(self) -> None:
        while True:
            await RisingEdge(self.dut.clk_i)
            if self.dut.rst_ni.value != 1:
                continue
            pops, data = int(self.dut.pop_o.value), 0
            for i, queue in enumerate(self.queues):
                if pops >> i & 1:
                    word = self.heads[i]
                    assert word is not None, "an empty queue was popped"
                    data |= word << i * self.width
                    self.heads[i] = None
                if self.heads[i] is None and queue and self.rng.random() >= self.idle:
                    self.heads[i] = queue.popleft()
                    self.cycles[i].append(now() + 1)
            self.drive(data)


class Winners:
    """Takes the winners of a PE as jp_merge does: never two in a row. Words, and the cycles of their
    queue's word being there."""

    def __init__(self, dut: Any, rng: random.Random, stall: float = 0.0) -> None:
        self.dut, self.rng, self.stall = dut, rng, stall
        self.words: list[int] = []
        self.cycles: list[int] = []
        dut.winner_pop_i.value = 0
        cocotb.start_soon(self.run())

    async def run(self) -> None:
        popped, coming = False, None
        while True:
            await RisingEdge(self.dut.clk_i)
            if self.dut.rst_ni.value != 1:
                popped, coming = False, None
                self.dut.winner_pop_i.value = 0
                continue
            word, valid = int(self.dut.winner_o.value), int(self.dut.winner_valid_o.value)
            assert coming is not None or word == 0, "a word that nobody popped"
            if coming is not None:
                assert word >> (len(self.dut.winner_o) - 1) == coming, (
                    "not the marker bit of the head"
                )
                self.words.append(word)
            coming = int(self.dut.winner_marker_o.value) if popped else None
            popped = bool(valid) and not popped and self.rng.random() >= self.stall
            if popped:
                self.cycles.append(now())
            self.dut.winner_pop_i.value = int(popped)


class Sink:
    """Takes one stream; checks that valid and data wait for ready. Words, and their cycles."""

    def __init__(
        self,
        dut: Any,
        valid: Any,
        ready: Any,
        data: Sequence[Any],
        rng: random.Random,
        stall: float = 0.0,
    ) -> None:
        self.dut, self.valid, self.ready, self.data = dut, valid, ready, data
        self.rng, self.stall = rng, stall
        self.words: list[Any] = []
        self.cycles: list[int] = []
        self.open = False
        self.strict = True  # else the stream may break off
        self.ready.value = 0
        cocotb.start_soon(self.run())

    def sample(self) -> Any:
        values = tuple(int(handle.value) for handle in self.data)
        return values if len(values) > 1 else values[0]

    async def run(self) -> None:
        waiting = None
        while True:
            await RisingEdge(self.dut.clk_i)
            if self.dut.rst_ni.value != 1:
                waiting = None
                continue
            if int(self.valid.value) == 1:
                word = self.sample()
                assert waiting in (None, word) or not self.strict, "data changed while valid waited"
                waiting = None if self.open else word
                if self.open:
                    self.words.append(word)
                    self.cycles.append(now())
            else:
                assert waiting is None or not self.strict, "valid fell before ready came"
                waiting = None
            self.open = self.rng.random() >= self.stall
            self.ready.value = int(self.open)


def consecutive(cycles: Sequence[int]) -> bool:
    """Whether something happened in every cycle."""
    return list(cycles) == list(range(cycles[0], cycles[0] + len(cycles)))


async def outputs_ignore_inputs(
    dut: Any, outputs: Sequence[Any], change: Callable[[], None]
) -> None:
    """Check that outputs do not move in the cycle in which inputs change (they are registered)."""
    await RisingEdge(dut.clk_i)
    await ReadOnly()
    before = [handle.value for handle in outputs]
    await cocotb.triggers.Timer(PERIOD_NS // 4, "ns")
    change()
    await ReadOnly()
    assert [handle.value for handle in outputs] == before
