"""AlexNet's shape: how long generation takes, and whether all is exact.

`python -m benchmarks.alexnet`: through csim on one 227x227 image, and its convolutions one by one in RTL
on cropped maps. Weights and images are synthetic (see `synthetic`). Prints one JSON object.
"""

import argparse
import json
import platform
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks import synthetic
from benchmarks.measures import generated
from jp_hw import boards, golden
from jp_hw.boards import Board
from jp_hw.build import emit, open_build
from jp_hw.csim import binary, csim
from jp_hw.ir import INPUT, Input, Int, Layer, Network, Shape, Source
from jp_hw.schedule import schedule
from jp_hw.simulate import simulate

DENSITY, RATE = 0.12, 0.3
"""Density and winner rate."""
CROP = 19
"""Side of the maps that AlexNet's convolutions are simulated on, at most."""


def alexnet() -> dict[str, object]:
    """AlexNet's shape through csim, and its convolutions through RTL."""
    network = synthetic.network("alexnet", DENSITY, RATE, batch=synthetic.images(2, (227, 227, 3)))
    board = boards.load("pynq-z2")
    # no board holds the fully connected layers' weights; csim needs none
    endless = dict.fromkeys(("lut", "ff", "dsp", "bram18"), 10**7)
    board = board.model_copy(update={"budget": board.budget.model_copy(update=endless)})
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "build"
        made = generated(network, board, folder, network.samples[:1].astype(np.uint8), pes=40)
        build = open_build(folder)
        binary(folder)
        begin = time.perf_counter()
        logits = csim(folder, build.images[:1])
        seconds = time.perf_counter() - begin
        exact = bool(np.array_equal(logits, golden.run(network, build.images[:1])))
    tensors = golden.tensors(network, network.samples[:2])
    return {
        **made,
        "csim_seconds_per_image": seconds,
        "csim_bit_exact": exact,
        "convolutions": [
            convolution(network, layer, tensors[layer.sources[0].tensor], board)
            for layer in network.layers[:5]
        ],
    }


def convolution(network: Network, layer: Layer, values: Int, board: Board) -> dict[str, object]:
    """One convolution of a network in RTL, on the corner of the maps that it reads."""
    small = cropped(network, layer, values)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "build"
        emit(schedule(small, board, 9), small.samples[:2]).write(folder)
        reports = [simulate(folder, 2, bench="compiled", stall=stall) for stall in (0.0, 0.3)]
    return {
        "name": layer.name,
        "input": str(small.input.shape),
        "output": str(small.layers[0].output),
        "mismatches": [report.mismatches for report in reports],
        "counters_exact": [report.counters_exact for report in reports],
        "cycles_per_image": reports[0].run.cycles_per_image,
        "predicted_cycles_per_image": reports[0].predicted,
    }


def cropped(network: Network, layer: Layer, values: Int) -> Network:
    """A layer alone on the corner of its map, and ten logits that each read a tenth of its outputs."""
    (source,) = layer.sources
    height, width = (min(side, CROP) for side in values.shape[1:3])
    images = values[:, :height, :width]
    sums = [
        (side + 2 * source.padding[i] - source.dilation[i] * (source.weights.shape[2 + i] - 1) - 1)
        // source.stride[i]
        + 1
        for i, side in enumerate((height, width))
    ]
    pool, shape = layer.pool, Shape(sums[0], sums[1], layer.output.channels)
    if pool is not None:
        size = [(side - pool.window[i]) // pool.stride[i] + 1 for i, side in enumerate(sums)]
        pool, shape = replace(pool, size=(sums[0], sums[1])), Shape(*size, shape.channels)
    first = replace(layer, sources=(replace(source, tensor=INPUT),), output=shape, pool=pool)
    picks = np.arange(shape.channels) % 10 == np.arange(10)[:, None]
    kernel = np.broadcast_to(
        picks[:, :, None, None], (10, shape.channels, shape.height, shape.width)
    )
    last = Source(layer.name, kernel.astype(np.int64))
    logits = Layer("logits", (last,), np.zeros(10, np.int64), Shape(1, 1, 10), None)
    spec = Input(Shape(height, width, images.shape[3]), scale=network.input.scale)
    return Network(layer.name, spec, (first, logits), images)


def main() -> None:
    """Measure and print."""
    argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0]).parse_args()
    machine = platform.processor() or platform.machine()
    print(json.dumps({"machine": machine, "alexnet": alexnet()}, indent=2))


if __name__ == "__main__":
    main()
