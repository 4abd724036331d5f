"""Prints, as one JSON object, what mlp3 costs in cycles and how fast the tools are.

Cycles are exact; times are of this machine, and given as ratios within this run where they compare.
"""

import json
import platform
import tempfile
import time
from pathlib import Path

from jp_hw import boards, golden, zoo
from jp_hw.boards import KINDS
from jp_hw.build import emit, open_build
from jp_hw.csim import binary, csim
from jp_hw.evaluate import network_of
from jp_hw.ir import Network
from jp_hw.macs import count
from jp_hw.schedule import schedule
from jp_hw.schedule.cycles import simulate_cycles
from jp_hw.schedule.estimate import estimate
from jp_hw.simulate import simulate
from jp_hw.synth import synth

IMAGES = 64


def cycles(network: Network, images: golden.Int) -> list[dict[str, object]]:
    """Cycles per image over the number of PEs, beside a dense array of as many multipliers."""
    board, rows = boards.load("pynq-z2"), []
    macs = sum(layer.macs for layer in count(network, images)) / len(images)
    for limit in (6, 12, 24, None):
        design = schedule(network, board, limit)
        taken = simulate_cycles(design, images).cycles_per_image
        dense = network.dense_macs / design.pes
        rows.append(
            {
                "pes": design.pes,
                "cycles_per_image": taken,
                "utilization": macs / (design.pes * taken),
                "ideal_dense_cycles": dense,
                "speedup_over_dense": dense / taken,
            }
        )
    return rows


def tools(network: Network, images: golden.Int) -> dict[str, object]:
    """Speed of csim and of the cycle simulation, and how well resources are estimated."""
    design = schedule(network, boards.load("pynq-z2"))
    with tempfile.TemporaryDirectory() as name:
        build = open_build(emit(design, images).write(Path(name) / "build"))
        binary(build.folder)
        begin = time.perf_counter()
        csim(build.folder, build.images)
        csim_seconds = time.perf_counter() - begin
        simulate(build, 2)  # compiles
        begin = time.perf_counter()
        report = simulate(build, IMAGES)
        rtl_seconds = time.perf_counter() - begin
        simulate_cycles(design, build.images)  # compiles
        begin = time.perf_counter()
        predicted = simulate_cycles(design, build.images).cycles_per_image
        model_seconds = time.perf_counter() - begin
        made = synth(build.folder, design.board, [layer.name for layer in design.layers])
    guess = estimate(design.layers)
    return {
        "csim_images_per_second": len(images) / csim_seconds,
        "cycles_predicted_over_simulated": predicted / report.run.cycles_per_image,
        "cycle_model_speed_over_rtl": rtl_seconds / model_seconds,
        "estimated_over_synthesized": {
            kind: getattr(guess, kind) / getattr(made.total, kind) for kind in KINDS
        },
        "estimated_mhz": made.mhz,
    }


def main() -> None:
    """Measure and print."""
    artifact = zoo.load("mlp3")
    network = network_of(artifact)
    images = artifact.samples().images[:IMAGES].astype(int).reshape(-1, 1, 1, 784)
    result = {
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "python": platform.python_version(),
        },
        "model": "mlp3",
        "cycles": cycles(network, images),
        "tools": tools(network, images),
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
