"""AXI DMA without scatter-gather, as PYNQ drives it."""

from typing import Any

from ..memory import PynqBuffer
from ..overlay import DefaultIP

RUNNING_MASK, IDLE_MASK, ERROR_MASK = 0x01, 0x02, 0x70


class Channel:
    """One direction; offset: of its registers."""

    def __init__(self, block: DefaultIP, offset: int, max_size: int, align: int) -> None:
        self._block, self._offset = block, offset
        self._max_size, self._align = max_size, align
        self._is_first, self.transferred = True, 0
        self.start()

    @property
    def running(self) -> bool:
        """Whether the channel is not halted."""
        return not self._status & RUNNING_MASK

    @property
    def idle(self) -> bool:
        """Whether its transfer is done."""
        return bool(self._status & IDLE_MASK)

    @property
    def error(self) -> bool:
        """Whether it failed."""
        return bool(self._status & ERROR_MASK)

    @property
    def _status(self) -> int:
        return self._block.read(self._offset + 0x04)

    def start(self) -> None:
        """Let the channel run."""
        self._block.write(self._offset, 1)
        while not self.running:
            pass
        self._is_first = True

    def stop(self) -> None:
        """Halt it."""
        self._block.write(self._offset, 0)
        while self.running:
            pass

    def transfer(self, array: PynqBuffer, start: int = 0, nbytes: int = 0) -> None:
        """Begin a transfer of a buffer; nbytes 0: all from `start` on."""
        if not self.running:
            raise RuntimeError("DMA channel not started")
        if not self.idle and not self._is_first:
            raise RuntimeError("DMA channel not idle")
        nbytes = nbytes or array.nbytes - start
        if nbytes > self._max_size:
            raise ValueError(
                f"Transfer size is {nbytes} bytes, which exceeds the maximum DMA buffer size "
                f"{self._max_size}."
            )
        address = array.physical_address + start
        if address % self._align:
            raise RuntimeError(
                "DMA does not support unaligned transfers; Starting address must be aligned to "
                f"{self._align} bytes."
            )
        array.flush()
        self._block.write(self._offset + 0x18, address & 0xFFFF_FFFF)
        self._block.write(self._offset + 0x1C, address >> 32)
        self._block.write(self._offset + 0x28, nbytes)
        self._is_first = False

    def wait(self) -> None:
        """Until the transfer is done; for ever, if it never is."""
        if not self.running:
            raise RuntimeError("DMA channel not started")
        while not self.idle:
            if self.error:
                raise RuntimeError(f"DMA error, status 0x{self._status:08x}")
        self.transferred = self._block.read(self._offset + 0x28)


class DMA(DefaultIP):
    """The engine and its two channels."""

    def __init__(self, description: dict[str, Any]) -> None:
        super().__init__(description)
        values = description["parameters"]
        size = (1 << int(values["c_sg_length_width"])) - 1
        send, receive = (int(values[f"c_m_axi_{way}_data_width"]) // 8 for way in ("mm2s", "s2mm"))
        self.sendchannel = Channel(self, 0x00, size, send)
        self.recvchannel = Channel(self, 0x30, size, receive)
