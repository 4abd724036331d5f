"""Resources of a layer before synthesis: a linear model of what yosys makes of the RTL for xc7.

LUTs were fitted to layers of 1 to 27 PEs; flip-flops follow from the registers, and block RAMs from how
Yosys splits memories. `jp-hw synth` counts the real thing.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import log2

from jp_hw.boards import KINDS, Budget
from jp_hw.ir import INPUT
from jp_hw.schedule.design import Lane, LayerDesign, Memory, bits_for
from jp_hw.schedule.memories import (
    BLOCK_ROM_BITS,
    LUT_QUEUE,
    MERGE_QUEUE,
    NEAR_MERGE,
    choose,
    lutram,
    paired,
    pe_blocks,
    read_blocks,
    ring_blocks,
    rom_blocks,
    written_blocks,
)

LUT_BUFFER = 128
"""Buffers of so many tokens at most are LUT RAM (`jp_buffer`)."""


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
        pairs = ((kind, getattr(self, kind), getattr(budget, kind)) for kind in KINDS)
        return [f"{need} {kind.upper()} of {have}" for kind, need, have in pairs if need > have]


IO = Resources(lut=950, ff=750, dsp=0, bram18=0)
"""Tokenizer, logits and registers."""


def rom(memory: Memory) -> Resources:
    """One read-only memory with a registered output."""
    bits = memory.width * memory.depth
    if bits >= BLOCK_ROM_BITS:
        return Resources(0, 0, 0, rom_blocks(memory))
    return Resources(max(memory.width, bits // 38), memory.width, 0, 0)


def pe(layer: LayerDesign) -> Resources:
    """One PE of a layer, without the block RAMs of its pointers and weights, which differ by PE."""
    bits, ring, buses = layer.accumulator_bits, layer.ring_bits, layer.buses
    two_sided = layer.requantize is not None and layer.requantize.signed
    work = 1 + layer.column_bits + ring + layer.value_bits
    more = layer.pointers[0].fields[1].bits
    entry = log2(layer.weights[0].depth)
    table = layer.slots > 2 and not rom_blocks(layer.thresholds[0])
    lut: float = 55 + 3.4 * ring + entry + 1.75 * more + (buses - 1) * (work + 17)
    if layer.requantize is not None:  # the thresholds, and what compares them
        lut += 0.7 * bits + 0.065 * bits * (layer.slots - 2 if table else 0)
    lut += bits * two_sided + 47 * (layer.pool is not None)
    if layer.block_ring:
        lut += bits  # what goes around a word that is being written
    elif ring > 6:
        lut += bits * max(1, 1 << ring >> 8)  # what selects of RAM64M
    lut += lutram(layer.winner_depth, _winner_bits(layer))
    number = 0
    if layer.fifo_depth > LUT_QUEUE:
        number, lut = buses * written_blocks(layer.fifo_depth, work), lut + 1.8 * buses * work
    else:
        lut += buses * lutram(layer.fifo_depth, work)
    if layer.block_ring:
        number += ring_blocks(layer)
    else:
        lut += lutram(1 << ring, bits)
    memories = [] if layer.paired_roms else [layer.pointers[0], layer.weights[0]]
    small = total(rom(m) for m in memories if not rom_blocks(m))
    return Resources(round(lut), round(_pe_registers(layer)), 1, number) + small


def _winner_bits(layer: LayerDesign) -> int:
    """Bits of a winner in its PE's queue, where its channel is only a slot."""
    return 1 + bits_for(layer.slots - 1) + layer.output_x_bits + layer.accumulator_bits


def _pe_registers(layer: LayerDesign) -> float:
    """Flip-flops of a PE, register by register as `jp_pe_core` has them."""
    bits, buses, slots = layer.accumulator_bits, layer.buses, layer.slots
    fifo, winners = log2(layer.fifo_depth), log2(layer.winner_depth)
    flags = 33 + 2 * buses
    addresses = 10 * layer.ring_bits
    column = 3 * layer.value_bits + log2(layer.weights[0].depth) + layer.pointers[0].fields[1].bits
    queues = buses * 3 * fifo + 3 * winners + 2
    places = log2(slots) + 3 + 2 * layer.output_x_bits * (layer.output_x_bits > 1)
    sums = (2 if layer.block_ring else 1) * bits + (bits + 12 if layer.pool is not None else 0)
    result = flags + addresses + column + queues + places + sums + 2 * _winner_bits(layer)
    if layer.requantize is not None:
        result += min(0.7 * bits, 1.6 * (slots - 1)) * (1 + layer.requantize.signed)  # thresholds
    return result


def merges(layer: LayerDesign) -> Resources:
    """The merges: words of all PEs or'ed, the choice of a PE, and a queue."""
    width = layer.winner_width
    each = lutram(MERGE_QUEUE, width) + 22
    lut = sum(width * (stream.pes - 1) / 5 + 4 * stream.pes + each for stream in layer.streams)
    choice = sum(stream.pes * (3 if stream.pes > NEAR_MERGE else 1) for stream in layer.streams)
    return Resources(round(lut), choice + 18 * len(layer.streams), 0, 0)


def buffer(lane: Lane) -> Resources:
    """The buffer before a lane."""
    if not lane.buffer:
        return Resources(0, 0, 0, 0)
    width, depth = lane.token.width, lane.buffer
    if depth <= LUT_BUFFER:
        return Resources(90 + lutram(depth, width), 40 + 2 * width, 0, 0)
    return Resources(110, 40 + 2 * width, 0, written_blocks(depth, width))


def input_map(layer: LayerDesign) -> Resources:
    """The tokenizer's table of places, if the layer reads the network's input."""
    lane = layer.lanes[0]
    if lane.tensor != INPUT:
        return Resources(0, 0, 0, 0)
    depth = lane.width * min(1 << lane.token.channel_bits, lane.masks.depth)
    bits = lane.token.x_bits * (lane.width > 1) + lane.token.channel_bits
    number = read_blocks(depth, bits) if depth * bits >= BLOCK_ROM_BITS else 0
    return Resources(0, 0, 0, number)


def layer_resources(layer: LayerDesign) -> Resources:
    """A whole layer, its requantizer included, and the table of the input that it reads."""
    one, lanes = pe(layer), len(layer.lanes)
    number = layer.pes * one.bram18 + pe_blocks(layer)
    pes = Resources(layer.pes * one.lut, layer.pes * one.ff, layer.pes * one.dsp, number)
    counters = Resources(round(6 + 1.7 * layer.pes), round(165 + 1.15 * layer.pes), 0, 0)
    stages = 47 + 6.5 * layer.column_bits + 8 * layer.ring_bits + 2 * layer.pes
    dispatchers = Resources(50 * lanes, round(stages * lanes), 0, 0)
    tables = total(rom(masks) for masks in layer.masks)
    requantizer = Resources(45, 70, 0 if layer.requantize is None else 1, 0)
    posts = total(rom(stream.post) + requantizer for stream in layer.streams)
    buffers = total(buffer(lane) for lane in layer.lanes)
    table = Resources(0, 0, 0, 0) if layer.table is None else rom(layer.table)
    ends = input_map(layer)
    return total((pes, merges(layer), counters, dispatchers, tables, posts, buffers, table, ends))


def total(parts: Iterable[Resources]) -> Resources:
    """Sum of resources."""
    return sum(parts, start=Resources(0, 0, 0, 0))


def estimate(layers: Iterable[LayerDesign]) -> Resources:
    """A whole accelerator."""
    return IO + total(layer_resources(layer) for layer in layers)


def heaviest(layers: Iterable[LayerDesign], budget: Budget) -> str:
    """Of what a board has the least for these layers: which layer takes most, and how much."""
    parts = {layer.name: layer_resources(layer) for layer in layers}
    all_parts = total(parts.values())
    kind = max(KINDS, key=lambda kind: getattr(all_parts, kind) / getattr(budget, kind))
    name, most = max(parts.items(), key=lambda part: float(getattr(part[1], kind)))
    return f"layer {name} takes {getattr(most, kind)} {kind.upper()}"


def with_memories(layers: Iterable[LayerDesign], budget: Budget) -> tuple[LayerDesign, ...]:
    """The layers with their memories in block RAM or LUTs, as suits the budget."""
    pairs = [paired(layer) for layer in layers]
    return choose(pairs, budget, estimate(pairs).bram18)
