"""The scheduler's entry point."""

from collections.abc import Sequence

from jp_hw import golden
from jp_hw.boards import Board
from jp_hw.errors import JpHwError
from jp_hw.ir import Network
from jp_hw.schedule.allocate import allocate
from jp_hw.schedule.build import Placement, build_layers, input_memories
from jp_hw.schedule.design import Design, LayerDesign


def schedule(
    network: Network, board: Board, pes: int | None = None, clock_mhz: float | None = None
) -> Design:
    """Schedule a network for a board.

    pes: at most so many PEs in all; as many as help and fit unless given. clock_mhz: the board's
    default unless given. Deterministic. Raises JpHwError if the network does not fit.
    """
    clock = board.clock_mhz if clock_mhz is None else clock_mhz
    if not 1.0 <= clock <= 1000.0:
        raise JpHwError(f"a clock of {clock} MHz is outside 1..1000 (--clock)")
    tensors = golden.tensors(network, network.samples)
    return _design(network, board, clock, allocate(network, tensors, board, pes))


def place(
    network: Network, board: Board, clock_mhz: float, placements: Sequence[Placement]
) -> Design:
    """The design whose layers are computed at given places."""
    return _design(network, board, clock_mhz, build_layers(network, placements))


def _design(
    network: Network, board: Board, clock_mhz: float, layers: tuple[LayerDesign, ...]
) -> Design:
    keep, byte_map = input_memories(network)
    return Design(network, board, clock_mhz, keep, byte_map, layers)
