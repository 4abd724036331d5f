"""The AXI4-Lite register map: the one table that every other description is rendered from."""

from dataclasses import dataclass
from typing import Literal

MAGIC = 0x4A504857  # "JPHW"
VERSION = 0x0001_0000  # major.minor, 16 bit each

ERROR_SHORT = 1 << 1
ERROR_LONG = 1 << 2
COUNTERS = ("tokens", "macs", "busy", "stalled", "frames")
"""Per-layer counters, in the order of their registers and of jp_layer's counters_o."""


@dataclass(frozen=True)
class Register:
    """One 32-bit register; value: what the hardware drives, a SystemVerilog expression."""

    name: str
    offset: int
    access: Literal["ro", "rw", "w1c"]
    description: str
    value: str

    @property
    def index(self) -> int:
        """Word index."""
        return self.offset // 4


_COMMON: tuple[tuple[str, Literal["ro", "rw", "w1c"], str, str], ...] = (
    ("magic", "ro", f"0x{MAGIC:08x}: this is a jp_hw accelerator", f"32'h{MAGIC:08x}"),
    (
        "version",
        "ro",
        "version of this register map: major, minor (16 bit each)",
        f"32'h{VERSION:08x}",
    ),
    ("digest_high", "ro", "first 32 bits of the network's digest", "Digest[63:32]"),
    ("digest_low", "ro", "next 32 bits of the network's digest", "Digest[31:0]"),
    ("control", "rw", "bit 0: write 1 to reset everything but this interface; reads 0", "32'd0"),
    (
        "status",
        "w1c",
        "bit 0: busy; bit 1: a frame was too short; bit 2: a frame was too long (write 1 to clear)",
        "{29'd0, long_q, short_q, busy}",
    ),
    ("frames", "ro", "frames whose logits were sent since reset", "frames_q"),
    ("cycles", "ro", "cycles since reset, wraps", "cycles_q"),
    ("layers", "ro", "number of layers", "32'(Layers)"),
)
_WHAT = {
    "tokens": "tokens taken",
    "macs": "multiply-accumulates done",
    "busy": "cycles with any work",
    "stalled": "cycles in which its tokens waited for a full PE",
    "frames": "frames completed",
}


def register_map(layers: tuple[str, ...]) -> tuple[Register, ...]:
    """All registers of an accelerator with layers of these names, in order of their offsets.

    All counters are 32 bit, count since reset, and wrap.
    """
    registers = [
        Register(name, 4 * i, access, text, value)
        for i, (name, access, text, value) in enumerate(_COMMON)
    ]
    for layer, layer_name in enumerate(layers):
        for i, counter in enumerate(COUNTERS):
            registers.append(
                Register(
                    f"{layer_name}_{counter}",
                    4 * len(registers),
                    "ro",
                    f"layer {layer_name}: {_WHAT[counter]}",
                    f"counters_{layer}[{32 * i} +: 32]",
                )
            )
    return tuple(registers)
