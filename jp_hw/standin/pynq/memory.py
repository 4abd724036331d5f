"""Physically contiguous buffers."""

from typing import Any

import numpy as np

from .state import board


class PynqBuffer(np.ndarray):
    """An array that the DMA engine can reach."""

    device_address: int

    @property
    def physical_address(self) -> int:
        """Where the DMA engine finds it."""
        return self.device_address

    def flush(self) -> None:
        """Make the processor's writes visible to the logic: simulated memory has no caches."""

    def invalidate(self) -> None:
        """Make the logic's writes visible to the processor: simulated memory has no caches."""

    def freebuffer(self) -> None:
        """Give the memory back."""
        board().memory.free(self.device_address)


def allocate(shape: Any, dtype: Any = "u4", target: Any = None, **_: Any) -> PynqBuffer:
    """A buffer of this shape and type."""
    kind = np.dtype(dtype)
    count = int(np.prod(shape))
    address, data = board().memory.allocate(count * kind.itemsize)
    plain = data[: count * kind.itemsize].view(kind).reshape(shape)
    buffer: PynqBuffer = plain.view(PynqBuffer)
    buffer.device_address = address
    return buffer
