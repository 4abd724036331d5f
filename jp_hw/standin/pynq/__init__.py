"""Stands in for PYNQ where no board is: its Overlay, MMIO, DMA and buffers, on a simulated board.

Only what PYNQ documents and the driver uses is here; the same calls do the same, and fail with the same
kinds of exception. This is not PYNQ, and none of its code.
"""

from .memory import PynqBuffer, allocate
from .mmio import MMIO
from .overlay import DefaultIP, Overlay

__all__ = ["MMIO", "DefaultIP", "Overlay", "PynqBuffer", "allocate"]
__version__ = "0+jp_hw"
