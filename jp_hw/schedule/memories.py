"""Which memories are block RAM, and which are LUTs: a board's block RAM saves what LUTs it can.

Shapes are those of 7 series RAMB18E1 (AMD UG473); UltraScale+ has the same.
"""

from collections.abc import Sequence
from dataclasses import replace

from jp_hw.boards import Budget
from jp_hw.schedule.design import LayerDesign, Memory

BLOCK_ROM_BITS = 2560
"""Read-only memories of so many bits go to block RAM (`jp_rom`), smaller ones to LUTs."""
LUT_COLUMNS = 64
"""Of so many columns at most, pointers may be LUTs (`jp_pe`)."""
LUT_QUEUE = 64
"""Queues of so many words at most are LUT RAM (`jp_fifo`)."""
MERGE_QUEUE, NEAR_MERGE = 16, 8
"""Words of the queue behind a merge, and inputs of one that chooses within a cycle (`jp_merge`)."""
LUTS_WORTH = 24
"""LUTs that a block RAM must save at least to become a PE's accumulators."""
TWO_PORTS = ((1024, 18), (2048, 9), (4096, 4), (8192, 2), (16384, 1))
ONE_PORT = ((512, 36), *TWO_PORTS)
"""Depths and widths of a block RAM of 18 kbit; the first one only with one port for reading."""


def blocks(depth: int, width: int, shapes: Sequence[tuple[int, int]] = ONE_PORT) -> int:
    """Block RAMs of 18 kbit that a memory takes. Bits that never change take none."""
    return min(-(-depth // d) * -(-width // w) for d, w in shapes)


def read_blocks(depth: int, width: int) -> int:
    """Block RAMs of 18 kbit of a read-only memory with one port: several words may share a row of 72."""
    rows = -(-depth // 512)
    packed = -(-rows * width // 36)
    return min(blocks(depth, width), packed + packed % 2)


def written_blocks(depth: int, width: int) -> int:
    """Block RAMs of 18 kbit of a memory that is written: words may share a row, byte by byte (of 9)."""
    return min(blocks(depth, width), -(-(-(-depth // 512) * -(-width // 9)) // 4))


def rom_blocks(memory: Memory, *, block: bool = False) -> int:
    """Block RAMs of 18 kbit of a `jp_rom`: none if it is small enough for LUTs and may be there."""
    if not block and memory.depth * memory.width < BLOCK_ROM_BITS:
        return 0
    some, every = memory.extremes
    return read_blocks(memory.depth, (some ^ every).bit_count())


def pointer_blocks(pointers: Memory) -> int:
    """Block RAMs of 18 kbit of a PE's pointers: none of so few columns that a LUT a bit holds them."""
    return rom_blocks(pointers, block=pointers.depth > LUT_COLUMNS)


def pair_blocks(pointers: Memory, weights: Memory) -> int:
    """Block RAMs of 18 kbit of a `jp_rom_pair`."""
    depth = 1 << (pointers.depth + weights.depth - 1).bit_length()
    (some, every), (more, both) = pointers.extremes, weights.extremes
    if pointers.width != weights.width or depth != pointers.depth + weights.depth:
        every = 0  # there are zeros in between, or above
    return blocks(depth, ((some | more) ^ (every & both)).bit_count(), TWO_PORTS)


def pe_blocks(layer: LayerDesign) -> int:
    """Block RAMs of 18 kbit of all pointers, weights and thresholds of a layer."""
    apart, pair = pe_rom_blocks(layer.pointers, layer.weights)
    return threshold_blocks(layer) + (pair if layer.paired_roms else apart)


def pe_rom_blocks(pointers: Sequence[Memory], weights: Sequence[Memory]) -> tuple[int, int]:
    """Block RAMs of 18 kbit of the pointers and weights of some PEs: apart, and paired."""
    pairs = list(zip(pointers, weights, strict=True))
    apart = sum(pointer_blocks(one) + rom_blocks(other) for one, other in pairs)
    return apart, sum(pair_blocks(*pair) for pair in pairs)


def pe_memory(pointers: Sequence[Memory], weights: Sequence[Memory]) -> tuple[int, int]:
    """Block RAMs of 18 kbit of some PEs, and bits of pointers that are none: both as few as can be."""
    apart, pair = pe_rom_blocks(pointers, weights)
    bits = 0 if pointer_blocks(pointers[0]) else pointers[0].depth * pointers[0].width
    return (min(apart, pair), 0) if apart else (0, bits)


def threshold_blocks(layer: LayerDesign) -> int:
    """Block RAMs of 18 kbit of all thresholds of a layer: none of those that are small."""
    word = sum(field.bits for field in layer.thresholds[0].fields)
    most = max(count for stream in layer.groups for _, count in stream)
    if ((most - 1) * layer.slot_pitch + layer.slots) * word < BLOCK_ROM_BITS:
        return 0
    return sum(rom_blocks(memory) for memory in layer.group_thresholds)


def winner_blocks(layer: LayerDesign) -> int:
    """Block RAMs of 18 kbit of all queues of winners of a layer, if they are block RAM."""
    if layer.winner_depth <= LUT_QUEUE:
        return 0
    groups = sum(len(stream) for stream in layer.groups)
    return groups * written_blocks(layer.winner_depth, layer.winner_width)


def lutram(depth: int, width: int) -> int:
    """LUTs of a RAM with one write and one read port (RAM32M, RAM64M)."""
    return 4 * (-(-width // 6) if depth <= 32 else -(-depth // 64) * -(-width // 3))


def ring_blocks(layer: LayerDesign) -> int:
    """Block RAMs of 18 kbit of a PE's accumulators, if they are block RAM."""
    return written_blocks(1 << layer.ring_bits, layer.accumulator_bits)


def choose(layers: Sequence[LayerDesign], budget: Budget, used: int) -> tuple[LayerDesign, ...]:
    """The layers with their memories placed.

    used: block RAMs of 18 kbit that the layers take when all accumulators are LUTs. Accumulators
    become block RAM by layers, where that saves the most LUTs for each block RAM, while there are any.
    """
    chosen = list(layers)
    free = budget.bram18 - used

    def saved(i: int) -> float:
        layer = layers[i]
        return lutram(1 << layer.ring_bits, layer.accumulator_bits) / ring_blocks(layer)

    for i in sorted(range(len(chosen)), key=saved, reverse=True):
        need = chosen[i].pes * ring_blocks(chosen[i])
        if need <= free and saved(i) >= LUTS_WORTH:
            chosen[i] = replace(chosen[i], block_ring=True)
            free -= need
    return tuple(chosen)


def paired(layer: LayerDesign) -> LayerDesign:
    """The layer, pointers and weights of a PE in one memory where that takes no more block RAM."""
    apart, pair = pe_rom_blocks(layer.pointers, layer.weights)
    return replace(layer, paired_roms=apart > 0 and pair <= apart)
