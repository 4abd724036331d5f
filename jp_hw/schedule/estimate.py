"""Resources of a layer before synthesis: a linear model of what yosys makes of the RTL for xc7.

LUTs were fitted to layers of 1 to 27 PEs; flip-flops follow from the registers, and block RAMs from how
Yosys splits memories. `jp-hw synth` counts the real thing.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import log2

from jp_hw.boards import KINDS, Budget
from jp_hw.ir import INPUT
from jp_hw.schedule.design import Lane, LayerDesign, Memory
from jp_hw.schedule.memories import (
    BLOCK_ROM_BITS,
    LUT_QUEUE,
    MERGE_QUEUE,
    NEAR_MERGE,
    choose,
    lutram,
    paired,
    pe_blocks,
    pointer_blocks,
    read_blocks,
    ring_blocks,
    rom_blocks,
    threshold_blocks,
    winner_blocks,
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

    def __mul__(self, count: int) -> "Resources":
        return Resources(self.lut * count, self.ff * count, self.dsp * count, self.bram18 * count)

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
    work = 1 + layer.pointer_bits + layer.cut_bits + 2 * layer.beside_bits + ring + layer.value_bits
    more, entry = layer.pointers[0].fields[1].bits, log2(layer.weights[0].depth)
    lut: float = 29 + 1.6 * ring + entry + 1.75 * more + 2 * layer.beside_bits
    if buses > 1:
        lut += (buses - 1) * (work + 8) + 5 * buses
    number = 0
    if layer.fifo_depth > LUT_QUEUE:
        number, lut = buses * written_blocks(layer.fifo_depth, work), lut + 1.8 * buses * work
    else:
        lut += buses * lutram(layer.fifo_depth, work)
    if layer.block_ring:
        number += ring_blocks(layer)
        lut += bits + 5  # what goes around a word that is being written
    else:
        lut += lutram(1 << ring, bits)
        lut += bits * (max(1, 1 << ring >> 8) if ring > 6 else 0)  # what selects of RAM64M
    ff: float = 14 + 8 * ring + 3 * layer.value_bits + entry + more
    ff += 6 * layer.beside_bits + layer.cut_bits
    ff += buses * (3 * log2(layer.fifo_depth) + 2) + bits * (2 if layer.block_ring else 1)
    pointers, weights = layer.pointers[0], layer.weights[0]
    blocks = ((pointers, pointer_blocks(pointers)), (weights, rom_blocks(weights)))
    small = total(rom(memory) for memory, number in blocks if not (number or layer.paired_roms))
    return Resources(round(lut), round(ff), 1, number) + small


def group(layer: LayerDesign, pes: int) -> Resources:
    """What so many PEs share: what drains them, thresholds in LUTs, and the queue of winners."""
    bits, pool, winner = layer.accumulator_bits, layer.pool is not None, layer.winner_width
    lut: float = 18 + 2 * layer.ring_bits + 140 * pool
    lut += bits * -(-(pes - 1) // 5)  # the words of all PEs or'ed
    if layer.winner_depth > LUT_QUEUE:
        lut += 20 + winner  # what goes around a word that is being written
    else:
        lut += lutram(layer.winner_depth, winner)
    ff: float = 21 + 4 * layer.ring_bits + bits + 2 * winner + 2 * layer.output_x_bits + 23 * pool
    ff += 3 * log2(layer.winner_depth) + 2
    if layer.requantize is not None:
        signed, words = layer.requantize.signed, (pes - 1) * layer.slot_pitch + layer.slots
        lut += 16 + 0.7 * bits * (1 + signed)
        ff += bits * min(0.7, layer.slots / 16) * (1 + signed)
        if not threshold_blocks(layer):
            lut += bits * min(1, words / 16) * -(-words // 64) * (1 + signed)
    return Resources(round(lut), round(ff), 0, 0)


def merges(layer: LayerDesign) -> Resources:
    """The merges: words of all groups or'ed, the choice of a group, and a queue."""
    width = layer.winner_width
    each = lutram(MERGE_QUEUE, width) + 19
    groups = [len(stream) for stream in layer.groups]
    lut = sum(width * (count - 1) / 5 + 4 * count + each for count in groups)
    choice = sum(count * (3 if count > NEAR_MERGE else 1) for count in groups)
    return Resources(round(lut), choice + 18 * len(groups), 0, 0)


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
    lanes = len(layer.lanes)
    pes = pe(layer) * layer.pes + Resources(0, 0, 0, pe_blocks(layer) + winner_blocks(layer))
    groups = total(group(layer, count) for stream in layer.groups for _, count in stream)
    counters = Resources(round(6 + 1.7 * layer.pes), round(165 + 1.15 * layer.pes), 0, 0)
    stages = 47 + 6.5 * layer.column_bits + 8 * layer.ring_bits + 2 * layer.pes
    dispatchers = Resources(50 * lanes, round(stages * lanes), 0, 0)
    tables = total(rom(masks) for masks in layer.masks)
    requantizer = Resources(45, 70, 0 if layer.requantize is None else 1, 0)
    posts = total(rom(stream.post) + requantizer for stream in layer.streams)
    buffers = total(buffer(lane) for lane in layer.lanes)
    table = Resources(0, 0, 0, 0) if layer.table is None else rom(layer.table)
    ends = input_map(layer)
    return total(
        (pes, groups, merges(layer), counters, dispatchers, tables, posts, buffers, table, ends)
    )


def ring_choices(layer: LayerDesign) -> tuple[Resources, Resources]:
    """A whole layer with its accumulators in LUTs, and in block RAM."""
    luts, blocks = (replace(layer, block_ring=block) for block in (False, True))
    need, more = layer_resources(luts), pe(blocks) + pe(luts) * -1
    return need, need + more * layer.pes


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
