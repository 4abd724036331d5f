"""Runs a jp_hw accelerator on a board with PYNQ; needs numpy and pynq only.

from jp_hw_board import Accelerator

with Accelerator() as accelerator:      # loads the overlay beside this package, and checks it
    logits = accelerator.logits(images) # integers (n, height, width, channels) -> int32 (n, classes)
    print(accelerator.counter_table())
"""

from typing import TYPE_CHECKING, Any

from .bundle import BoardError, Bundle

if TYPE_CHECKING:
    from .accelerator import Accelerator, Result

__all__ = ["Accelerator", "BoardError", "Bundle", "Result"]


def __getattr__(name: str) -> Any:
    """What needs pynq is imported when it is used, so that its absence can be told in one line."""
    if name not in ("Accelerator", "Result"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import accelerator

    return getattr(accelerator, name)
