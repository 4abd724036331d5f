"""The simulated board: its logic is a process that runs the RTL, its DMA engine a model of AXI DMA.

The model follows AXI DMA's documentation (AMD PG021) in direct register mode: channels that run,
halt and fail, transfers that end at tlast, and addresses that must be aligned to the memory's
width. What the documentation calls undefined (an unaligned address) is an internal error here, so
that it is noticed. Uses the standard library and numpy only; `registers` and `memory` are all that
a board has.
"""

import json
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

DESCRIPTION = "simulated_board.json"
"""In the bundle's folder: the board's name, the logic's program, and the folder it runs in."""
CYCLES_PER_POLL, IDLE_CYCLES_PER_POLL = 2048, 16
"""How far the logic's clock runs on while the processor reads a status register once: with images under
way far, so that simulations end soon, and otherwise about as far as on a board."""
RUN, RESET = 1 << 0, 1 << 2
HALTED, IDLE, INTERNAL, DECODE, DONE = 1 << 0, 1 << 1, 1 << 4, 1 << 6, 1 << 12
ERRORS = 0x70
SINK_DONE, SINK_FULL = 2, 3


class Logic:
    """The process behind the pipe; see harness.cpp for the requests."""

    def __init__(self, program: Path, folder: Path) -> None:
        program.chmod(0o755)  # copies lose it
        self._process = subprocess.Popen(
            [program], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def ask(
        self, operation: str, a: int = 0, b: int = 0, *, words: int = 0, data: bytes = b""
    ) -> Any:
        """Send a request; the tuple of 32-bit numbers that comes back."""
        pipe, answers = self._process.stdin, self._process.stdout
        if pipe is None or answers is None:
            raise RuntimeError("the simulated logic has no pipes")
        try:
            pipe.write(struct.pack("<cII", operation.encode(), a, b) + data)
            pipe.flush()
            answer = answers.read(4 * words)
        except BrokenPipeError:
            answer = b""
        if len(answer) != 4 * words:
            raise RuntimeError(f"the simulated logic ended with status {self._process.wait()}")
        return struct.unpack(f"<{words}I", answer)

    def taken(self) -> bytes:
        """The words that the sink took."""
        (count,) = self.ask("G", words=1)
        answers = self._process.stdout
        return answers.read(4 * count) if answers is not None else b""

    def close(self) -> None:
        """End the process."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.wait()


class Memory:
    """DDR: physically contiguous buffers at addresses that grow."""

    def __init__(self, first: int = 0x1600_0000) -> None:
        self._next = first
        self._buffers: dict[int, np.ndarray] = {}

    def allocate(self, nbytes: int) -> tuple[int, np.ndarray]:
        """A page-aligned address and its bytes."""
        address, data = self._next, np.zeros(max(nbytes, 1), np.uint8)
        self._next += (data.size // 4096 + 1) * 4096
        self._buffers[address] = data
        return address, data

    def free(self, address: int) -> None:
        """Forget a buffer."""
        self._buffers.pop(address, None)

    def view(self, address: int, nbytes: int) -> np.ndarray | None:
        """The bytes at an address, None where no buffer holds them all."""
        for first, data in self._buffers.items():
            if first <= address and address + nbytes <= first + data.size:
                return data[address - first : address - first + nbytes]
        return None


class Channel:
    """One direction of the DMA engine: its registers, and what a transfer does."""

    def __init__(self, align: int, length_bits: int, begin: Callable[[int, int], bool]) -> None:
        self._align, self._mask, self._begin = align, (1 << length_bits) - 1, begin
        self.reset()

    def reset(self) -> None:
        """As after power-up: halted."""
        self.control, self.status = 0, HALTED
        self.address, self.length, self.active = 0, 0, False

    def fail(self, bit: int) -> None:
        """An error halts a channel until the engine is reset."""
        self.status = (self.status | bit | HALTED) & ~IDLE
        self.active = False

    def finish(self, nbytes: int) -> None:
        """A transfer ended well."""
        self.length, self.active = nbytes, False
        self.status |= IDLE | DONE

    def write(self, offset: int, value: int) -> None:
        """A register write, at an offset within the channel."""
        if offset == 0x00:
            self.control = value & ~RESET
            if not self.status & ERRORS:
                self.status = self.status & ~HALTED if value & RUN else self.status | HALTED
        elif offset == 0x04:
            self.status &= ~(value & 0x7000)
        elif offset == 0x18:
            self.address = self.address & ~0xFFFF_FFFF | value
        elif offset == 0x1C:
            self.address = self.address & 0xFFFF_FFFF | value << 32
        elif offset == 0x28 and not self.status & HALTED:
            self.length = value & self._mask
            self.status &= ~IDLE
            if self.length == 0 or self.address % self._align:
                self.fail(INTERNAL)
            elif not self._begin(self.address, self.length):
                self.fail(DECODE)
            else:
                self.active = True

    def read(self, offset: int) -> int:
        """A register read."""
        low, high = self.address & 0xFFFF_FFFF, self.address >> 32
        values = {0x00: self.control, 0x04: self.status, 0x18: low, 0x1C: high, 0x28: self.length}
        return values.get(offset, 0)


class Dma:
    """AXI DMA without scatter-gather, both channels."""

    def __init__(self, logic: Logic, memory: Memory, length_bits: int) -> None:
        self._logic, self._memory = logic, memory
        self.send = Channel(8, length_bits, self._begin_send)
        self.receive = Channel(4, length_bits, self._begin_receive)
        self._has_sent = False

    def write(self, offset: int, value: int) -> None:
        """A register write; the reset bit of either channel resets both."""
        channel = self.receive if offset >= 0x30 else self.send
        if offset % 0x30 == 0 and value & RESET:
            self._logic.ask("C")
            self.send.reset()
            self.receive.reset()
        else:
            channel.write(offset % 0x30, value)

    def read(self, offset: int) -> int:
        """A register read; while a transfer is under way, time passes."""
        if self.send.active or self.receive.active:
            self._progress()
        return (self.receive if offset >= 0x30 else self.send).read(offset % 0x30)

    def _begin_send(self, address: int, length: int) -> bool:
        data = self._memory.view(address, length)
        if data is not None:
            self._logic.ask("I", length, 1, data=data.tobytes())
            self._has_sent = True
        return data is not None

    def _begin_receive(self, address: int, length: int) -> bool:
        if self._memory.view(address, length) is None:
            return False
        self._logic.ask("S", length // 4)
        self._has_sent = False
        return True

    def _progress(self) -> None:
        cycles = CYCLES_PER_POLL if self._has_sent else IDLE_CYCLES_PER_POLL
        _, left, sink, words = self._logic.ask("X", cycles, words=4)
        if self.send.active and left == 0:
            self.send.finish(self.send.length)
        if self.receive.active and sink in (SINK_DONE, SINK_FULL):
            data = np.frombuffer(self._logic.taken(), np.uint8)
            target = self._memory.view(self.receive.address, 4 * words)
            if target is None:
                self.receive.fail(DECODE)
                return
            target[:] = data
            if sink == SINK_DONE:
                self.receive.finish(4 * words)
            else:  # more came than the transfer has room for
                self.receive.fail(INTERNAL)


class Board:
    """A board, on which logic can be loaded; folder: the bundle that describes it."""

    def __init__(self, folder: Path) -> None:
        text = (folder / DESCRIPTION).read_text(encoding="utf-8")
        self.memory = Memory()
        self._folder = folder
        self._description: dict[str, Any] = json.loads(text)
        self.name: str = self._description["board"]
        self.logic: Logic | None = None
        self._regions: list[tuple[int, int, str]] = []
        self._dma: Dma | None = None

    def load(self, regions: list[tuple[int, int, str]], length_bits: int) -> None:
        """Load the logic; regions: first and last address and name of each block."""
        if self.logic is not None:
            self.logic.close()
        program = self._folder / self._description["program"]
        self.logic = Logic(program.resolve(), self._folder / self._description["folder"])
        self._regions = regions
        self._dma = Dma(self.logic, self.memory, length_bits)
        if lost := self._description.get("lose_beats", 0):
            self.logic.ask("D", lost)

    def _block(self, address: int) -> tuple[str, int, Logic, Dma]:
        if self.logic is None or self._dma is None:
            raise RuntimeError("nothing is loaded on the simulated board")
        for first, last, name in self._regions:
            if first <= address <= last:
                return name, address - first, self.logic, self._dma
        raise RuntimeError(f"bus error: nothing is at 0x{address:08x}")

    def read(self, address: int) -> int:
        """A 32-bit read on the control bus."""
        name, offset, logic, dma = self._block(address)
        if name == "dma":
            return dma.read(offset)
        data, response = logic.ask("R", offset, words=2)
        if response:
            raise RuntimeError(f"bus error: reading 0x{address:08x} was answered {response}")
        return int(data)

    def write(self, address: int, value: int) -> None:
        """A 32-bit write on the control bus."""
        name, offset, logic, dma = self._block(address)
        if name == "dma":
            dma.write(offset, value)
            return
        (response,) = logic.ask("W", offset, value, words=1)
        if response:
            raise RuntimeError(f"bus error: writing 0x{address:08x} was answered {response}")
