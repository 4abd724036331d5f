"""Resources of a layer before synthesis: a linear model of what yosys makes of the RTL for xc7.

The coefficients are fitted to synthesis of generated designs (`benchmarks/resources.py` prints how
well they hold).
"""

from collections.abc import Iterable
from dataclasses import dataclass

from jp_hw.boards import Budget
from jp_hw.schedule.design import LayerDesign, Memory

BRAM_BITS = 18 * 1024
ROM_TO_BRAM_BITS = 8 * 1024
"""Read-only memories beyond this go to block RAM, smaller ones to LUTs."""


@dataclass(frozen=True)
class Resources:
    """What a design takes. bram18: block RAMs of 18 kbit."""

    lut: int
    ff: int
    dsp: int
    bram18: int

    def __add__(self, other: "Resources") -> "Resources":
        return Resources(
            self.lut + other.lut,
            self.ff + other.ff,
            self.dsp + other.dsp,
            self.bram18 + other.bram18,
        )

    def exceeds(self, budget: Budget) -> list[str]:
        """Names and amounts of what is more than the budget holds."""
        pairs = (
            ("LUT", self.lut, budget.lut),
            ("FF", self.ff, budget.ff),
            ("DSP", self.dsp, budget.dsp),
            ("BRAM18", self.bram18, budget.bram18),
        )
        return [f"{need} {name} of {have}" for name, need, have in pairs if need > have]


IO = Resources(lut=1500, ff=1900, dsp=0, bram18=0)
"""Tokenizer, logits and registers."""


def rom(memory: Memory) -> Resources:
    """One read-only memory: block RAM (512 x 36 up to 16384 x 1 each) or LUTs of 64 bits."""
    bits = memory.width * memory.depth
    if bits <= ROM_TO_BRAM_BITS:
        return Resources(-(-bits // 64) // 2, memory.width, 0, 0)
    per_block = next(
        width for depth, width in ((512, 36), (1024, 18), (2048, 9), (4096, 4), (8192, 2), (16384, 1))
        if memory.depth <= depth or depth == 16384
    )  # fmt: skip
    deep = -(-memory.depth // 16384)
    return Resources(0, 0, 0, deep * -(-memory.width // per_block))


def pe(layer: LayerDesign) -> Resources:
    """One PE of a layer, its memories included."""
    work = 1 + layer.column_bits + layer.ring_bits + layer.lanes[0].token.value_bits
    queues = len(layer.lanes) * (20 + work) + 20 + layer.winner_width
    ring = -(-(1 << layer.ring_bits) // 32) * layer.accumulator_bits
    logic = Resources(
        60 + queues + ring + 3 * layer.accumulator_bits,
        120 + 5 * layer.ring_bits + 5 * layer.accumulator_bits,
        1,
        0,
    )
    return logic + total(rom(m) for m in (layer.pointers[0], layer.weights[0]))


def layer_resources(layer: LayerDesign) -> Resources:
    """A whole layer, its requantizer included."""
    one = pe(layer)
    merges = layer.pes * layer.winner_width // 2
    fixed = Resources(500 + merges, 700 + 2 * layer.winner_width * (1 + layer.pes // 8), 0, 0)
    requantizer = Resources(150, 250, 0 if layer.requantize is None else 2, 0)
    tables = total(rom(lane.masks) for lane in layer.lanes)
    pes = Resources(*(layer.pes * value for value in (one.lut, one.ff, one.dsp, one.bram18)))
    return pes + fixed + requantizer + tables + rom(layer.post)


def total(parts: Iterable[Resources]) -> Resources:
    """Sum of resources."""
    return sum(parts, start=Resources(0, 0, 0, 0))


def estimate(layers: Iterable[LayerDesign]) -> Resources:
    """A whole accelerator."""
    return IO + total(layer_resources(layer) for layer in layers)
