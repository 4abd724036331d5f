"""Large networks: how long generation takes, how fast all simulates, and whether all is exact.

`python -m benchmarks.scale [--data DIR]`: convnet5, resnet8 and resnet32 for the PYNQ-Z2 through csim
(100 images) and Verilator (4 images, with and without stalls); AlexNet's shape through csim on one
227x227 image, and its convolutions one by one in RTL on cropped maps. Weights are synthetic (see
`synthetic`); images are CIFAR-10's test set from DIR, or synthetic too. Prints one JSON object.
"""

import argparse
import json
import platform
import resource
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks import synthetic
from jp_hw import boards, datasets, golden, models
from jp_hw.boards import Board
from jp_hw.build import emit, open_build
from jp_hw.csim import binary, csim
from jp_hw.ir import INPUT, Input, Int, Layer, Network, Shape, Source
from jp_hw.schedule import schedule
from jp_hw.simulate import Report, simulate

CIFAR = {"convnet5": (0.12, 0.3), "resnet8": (0.2, 0.35), "resnet32": (0.06, 0.3)}
"""Density and winner rate. More of resnet32's weights than that do not fit the board's block RAM."""
DENSITY, RATE = 0.12, 0.3
"""Of AlexNet."""
CROP = 19
"""Side of the maps that AlexNet's convolutions are simulated on, at most."""
CSIM_IMAGES, RTL_IMAGES = 100, 4


def peak_megabytes() -> float:
    """Peak memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def generated(
    network: Network, board: Board, folder: Path, pes: int | None, images: NDArray[np.uint8]
) -> dict[str, object]:
    """Generate a build and say what that took."""
    begin = time.perf_counter()
    design = schedule(network, board, pes)
    emit(design, images).write(folder)
    return {
        "generate_seconds": time.perf_counter() - begin,
        "peak_megabytes": peak_megabytes(),
        "pes": design.pes,
    }


def pictures(name: str, data: Path | None) -> NDArray[np.uint8]:
    """Images for a network of CIFAR-10's size, cropped to its centre."""
    height, width, channels = models.spec(name).input_shape
    if data is None:
        return synthetic.images(CSIM_IMAGES, (height, width, channels))
    test = datasets.load("cifar10", data).test
    return np.asarray(datasets.centre(test, (height, width)).images[:CSIM_IMAGES], np.uint8)


def classifier(name: str, data: Path | None) -> dict[str, object]:
    """One network for the PYNQ-Z2 through everything."""
    density, rate = CIFAR[name]
    images = pictures(name, data)
    network = synthetic.network(name, density, rate, batch=images)
    with tempfile.TemporaryDirectory() as folder:
        build = Path(folder) / "build"
        made = generated(network, boards.load("pynq-z2"), build, None, images)
        binary(build)
        begin = time.process_time() + children()
        logits = csim(build, images.astype(np.int64))
        seconds = time.process_time() + children() - begin
        begin = time.perf_counter()
        reports = [
            simulate(build, RTL_IMAGES, bench="compiled", stall=stall) for stall in (0.0, 0.3)
        ]
        return {
            **made,
            "csim_images": len(images),
            "csim_mismatches": int(np.count_nonzero(logits != golden.run(network, images))),
            "csim_images_per_cpu_second": len(images) / seconds,
            "rtl_seconds_with_compilation": time.perf_counter() - begin,
            "rtl": [summary(report) for report in reports],
        }


def children() -> float:
    """CPU seconds of this process's finished children."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def summary(report: Report) -> dict[str, object]:
    """A simulation's figures."""
    raw = report.to_json()
    keys = (
        "stall", "images", "mismatches", "counters_exact", "cycles_per_image",
        "predicted_cycles_per_image", "macs_per_image", "utilization",
    )  # fmt: skip
    return {key: raw[key] for key in keys}


def alexnet() -> dict[str, object]:
    """AlexNet's shape through csim, and its convolutions through RTL."""
    network = synthetic.network("alexnet", DENSITY, RATE, batch=synthetic.images(2, (227, 227, 3)))
    board = boards.load("pynq-z2")
    # no board holds the fully connected layers' weights; csim needs none
    endless = dict.fromkeys(("lut", "ff", "dsp", "bram18"), 10**7)
    board = board.model_copy(update={"budget": board.budget.model_copy(update=endless)})
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "build"
        made = generated(network, board, folder, 40, network.samples[:1].astype(np.uint8))
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
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder with CIFAR-10's standard files")
    parser.add_argument("--only", choices=[*CIFAR, "alexnet"], help="one network")
    options = parser.parse_args()
    result: dict[str, object] = {"machine": platform.processor() or platform.machine()}
    for name in CIFAR:
        if options.only in (None, name):
            result[name] = classifier(name, options.data)
    if options.only in (None, "alexnet"):
        result["alexnet"] = alexnet()
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
