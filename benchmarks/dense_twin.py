"""What skipping is worth, and what the support for it costs: networks beside their dense twins.

`python -m benchmarks.dense_twin [--resnet8 RUN]` prints one JSON object. `skipping`: mlp3 of the zoo,
and resnet8 (a trained one's folder, or synthetic), against a twin with as many PEs that skips
nothing. `density_one`: the same shapes without a single zero among weights and activations, where
there is nothing to skip: the twin's cycles by the network's. Cycles are those of the cycle simulation,
which is exact; the RTL of mlp3's twin is checked here too.
"""

import argparse
import json
import platform
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks import synthetic
from jp_hw import boards, golden, zoo
from jp_hw.build import emit, open_build
from jp_hw.evaluate import network_of
from jp_hw.ir import Int, Layer, Network
from jp_hw.macs import count
from jp_hw.schedule import Design, schedule
from jp_hw.schedule.cycles import simulate_cycles
from jp_hw.schedule.estimate import estimate
from jp_hw.simulate import simulate
from jp_hw.twin import dense_twin

BOARD = "zcu104"
"""Dense weights do not fit the small boards."""
PES = {"mlp3": 24, "resnet8": 54}
IMAGES = {"mlp3": 64, "resnet8": 3}
RTL_IMAGES = 4


def without_zeros(network: Network) -> Network:
    """The same shape with positive weights and pixels and no thresholds: nothing is zero anywhere."""
    samples = np.maximum(np.abs(network.samples), 1)
    layers = tuple(_positive(layer) for layer in network.layers)
    full = replace(network, layers=layers, samples=samples, input=replace(network.input, theta=0))
    values = golden.tensors(full, samples)
    if not all(value.all() for value in values.values()):
        raise AssertionError("a zero is left")
    return full


def _positive(layer: Layer) -> Layer:
    sources = tuple(
        replace(source, weights=np.maximum(np.abs(source.weights), 1)) for source in layer.sources
    )
    rule = layer.requantize
    if rule is not None:  # sums of 1 and more stay what they are, up to the greatest activation
        ones = np.full_like(rule.multiplier, 256)
        rule = replace(rule, theta=0, shift=8, multiplier=ones, negative=ones)
    return replace(layer, sources=sources, bias=np.abs(layer.bias), requantize=rule)


def scheduled(network: Network, pes: int) -> Design:
    """A design of so many PEs, without columns interleaved: twins have none."""
    return schedule(network, boards.load(BOARD), pes)


def measured(design: Design, images: Int) -> dict[str, object]:
    """Cycles, work and estimated size of a design."""
    macs = sum(layer.macs for layer in count(design.network, images)) / len(images)
    cycles = simulate_cycles(design, images).cycles_per_image
    return {
        "pes": design.pes,
        "macs_per_image": macs,
        "cycles_per_image": cycles,
        "utilization": macs / (design.pes * cycles),
        "estimated": vars(estimate(design.layers)),
    }


def beside_twin(name: str, network: Network, images: Int) -> dict[str, object]:
    """A network and its twin on as many PEs."""
    own, twin = (measured(scheduled(n, PES[name]), images) for n in (network, dense_twin(network)))
    return {
        "network": name,
        "own": own,
        "twin": twin,
        "twin_cycles_by_own": _ratio(twin, own),
    }


def _ratio(twin: dict[str, object], own: dict[str, object]) -> float:
    return float(str(twin["cycles_per_image"])) / float(str(own["cycles_per_image"]))


def rtl_of_twin(network: Network, images: Int) -> dict[str, object]:
    """The twin's RTL: exact logits, every MAC done, and as many cycles as simulated."""
    with tempfile.TemporaryDirectory() as folder:
        plan = emit(scheduled(dense_twin(network), PES["mlp3"]), images.astype(np.uint8))
        report = simulate(open_build(plan.write(Path(folder) / "build")), len(images))
    return {
        "images": len(images),
        "mismatches": report.mismatches,
        "counters_exact": report.counters_exact,
        "cycles_per_image": report.run.cycles_per_image,
        "predicted": report.predicted,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--resnet8", metavar="RUN", help="folder of a trained resnet8")
    given = parser.parse_args()
    artifact = zoo.load("mlp3")
    networks = {"mlp3": network_of(artifact)}
    pictures = {"mlp3": artifact.samples().images[: IMAGES["mlp3"]].astype(np.int64)}
    if given.resnet8:
        trained = zoo.load(given.resnet8)
        networks["resnet8"] = network_of(trained)
        pictures["resnet8"] = trained.samples().images[: IMAGES["resnet8"]].astype(np.int64)
    else:
        batch = synthetic.images(8, (32, 32, 3))
        networks["resnet8"] = synthetic.network("resnet8", 0.2, 0.35, batch=batch)
        pictures["resnet8"] = batch[: IMAGES["resnet8"]].astype(np.int64)
    full = {name: without_zeros(network) for name, network in networks.items()}
    result = {
        "machine": {"processor": platform.machine(), "python": platform.python_version()},
        "board": BOARD,
        "skipping": [beside_twin(name, networks[name], pictures[name]) for name in networks],
        "density_one": [
            beside_twin(name, full[name], np.maximum(pictures[name], 1)) for name in networks
        ],
        "rtl_of_twin": rtl_of_twin(networks["mlp3"], pictures["mlp3"][:RTL_IMAGES]),
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
