"""Registers by address."""

from .state import board


class MMIO:
    """A range of addresses on the control bus."""

    def __init__(self, base_addr: int, length: int = 4) -> None:
        if base_addr < 0 or length < 0:
            raise ValueError("Base address or length cannot be negative.")
        self.base_addr, self.length = base_addr, length

    def read(self, offset: int = 0, length: int = 4) -> int:
        """The 32-bit word at an offset."""
        self._check(offset)
        if length != 4:
            raise ValueError("the simulated board reads words of 4 bytes")
        return board().read(self.base_addr + offset)

    def write(self, offset: int, data: int) -> None:
        """Write the 32-bit word at an offset."""
        self._check(offset)
        board().write(self.base_addr + offset, int(data) & 0xFFFF_FFFF)

    def _check(self, offset: int) -> None:
        if offset < 0:
            raise ValueError("Offset cannot be negative.")
        if offset % 4:
            raise MemoryError("Unaligned access: offset must be multiple of 4.")
        if offset >= self.length:
            raise IndexError(f"offset {offset} is outside the {self.length} bytes of this range")
