"""The zoo's convolutional networks on their boards: cycles of real images, utilization, exactness.

``python -m benchmarks.networks [--data DIR] [--only NAME] [--images N] [--utilization U]`` generates
each network, as fast as can be or with PEs that are so busy, compares 100 images in csim and 4 in RTL
(with and without stalls) with the golden model, and predicts the cycles of N test images. Times are of
this machine, as ratios where they compare. Prints one JSON object.
"""

import argparse
import json
import platform
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.measures import children, generated, summary
from jp_hw import boards, datasets, golden, zoo
from jp_hw.build import Build, open_build
from jp_hw.csim import binary, csim
from jp_hw.evaluate import network_of
from jp_hw.schedule.cycles import simulate_cycles
from jp_hw.schedule.estimate import estimate
from jp_hw.schedule.explain import explain
from jp_hw.simulate import simulate

BOARDS = {"convnet5": "pynq-z2", "resnet8": "pynq-z2", "resnet32": "zcu104"}
CSIM_IMAGES, RTL_IMAGES, BATCH = 100, 4, 100


def pictures(artifact: zoo.Artifact, data: Path | None, count: int) -> NDArray[np.uint8]:
    """The first test images, cut to the network's size at their centre."""
    test = datasets.load(str(artifact.info["dataset"]["name"]), data).test
    return np.asarray(datasets.centre(test, artifact.input_shape[:2]).images[:count], np.uint8)


def predicted(build: Build, images: NDArray[np.uint8]) -> dict[str, Any]:
    """Cycles per image over many images, what bounds them, and seconds per image of predicting them."""
    simulate_cycles(build.design, images[:2])  # compiles
    begin = time.perf_counter()
    gaps = np.concatenate(
        [
            np.diff(simulate_cycles(build.design, images[i : i + BATCH]).end_cycles)
            for i in range(0, len(images), BATCH)
        ]
    )
    seconds = (time.perf_counter() - begin) / len(images)
    why = explain(build.design, images[:BATCH])
    return {
        "images": len(images),
        "cycles_per_image": float(gaps.mean()),
        "p99": float(np.percentile(gaps, 99)),
        "worst": int(gaps.max()),
        "images_per_second_at_board_clock": build.design.clock_mhz * 1e6 / float(gaps.mean()),
        "utilization": why.utilization,
        "slowest_layer": why.slowest,
        "slowest_layer_utilization": next(
            layer.utilization for layer in why.layers if layer.name == why.slowest
        ),
        "least_cycles_of_slowest_layer": max(layer.cycles for layer in why.layers),
        "seconds_per_image": seconds,
    }


def measured(name: str, data: Path | None, count: int, utilization: float | None) -> dict[str, Any]:
    """One network through everything."""
    artifact = zoo.load(name)
    board, images = boards.load(BOARDS[name]), pictures(artifact, data, count)
    network = network_of(artifact)
    with tempfile.TemporaryDirectory() as folder:
        made = generated(
            network, board, Path(folder) / "build", images[:CSIM_IMAGES], utilization=utilization
        )
        build = open_build(Path(folder) / "build")
        binary(build.folder)
        begin = children()
        logits = csim(build.folder, build.images)
        csim_seconds = (children() - begin) / len(logits)
        reports = [simulate(build, RTL_IMAGES, bench="compiled")]
        begin_rtl = time.perf_counter()
        reports.append(simulate(build, RTL_IMAGES, bench="compiled", stall=0.3))
        rtl_seconds = (time.perf_counter() - begin_rtl) / RTL_IMAGES
        forecast = predicted(build, images)
    guess, budget = estimate(build.design.layers), board.budget
    return {
        "board": board.name,
        **({} if utilization is None else {"utilization_wanted": utilization}),
        **made,
        "weights": sum(
            int(np.count_nonzero(s.weights)) for la in network.layers for s in la.sources
        ),
        "estimated": {kind: getattr(guess, kind) for kind in boards.KINDS},
        "budget": {kind: getattr(budget, kind) for kind in boards.KINDS},
        "csim_images": len(logits),
        "csim_mismatches": int(np.count_nonzero(logits != golden.run(network, build.images))),
        "csim_images_per_cpu_second": 1 / csim_seconds,
        "rtl": [summary(report) for report in reports],
        "predicted": forecast,
        "cycle_model_speed_over_verilator": rtl_seconds / forecast["seconds_per_image"],
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder with CIFAR-10's files")
    parser.add_argument("--only", choices=list(BOARDS), help="one network")
    parser.add_argument("--images", type=int, default=1000, help="test images to predict cycles of")
    parser.add_argument("--utilization", type=float, help="as of `jp-hw generate`")
    options = parser.parse_args()
    result: dict[str, Any] = {"machine": platform.processor() or platform.machine()}
    for name in BOARDS:
        if options.only in (None, name):
            result[name] = measured(name, options.data, options.images, options.utilization)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
