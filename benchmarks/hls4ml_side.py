"""mlp3 by jp_hw and, dense, by hls4ml, side by side: `python -m benchmarks.hls4ml_side`.

hls4ml gets the same float weights, zeros included, without the winner thresholds (it has no such
layer), and quantizes them itself to its default of 16 bits; it gets about as many multipliers per
layer as jp_hw has PEs there. Prints one JSON object: size of the generated C++, time to compile it
with g++, images per second in C simulation on one core, labels hit, and, where Vitis HLS is on
PATH, the cycles that it reports for either.
"""

import contextlib
import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from jp_hw import boards, zoo
from jp_hw.build import emit, open_build
from jp_hw.csim import binary, csim
from jp_hw.evaluate import network_of
from jp_hw.hls import compile_hls
from jp_hw.schedule import Design, schedule
from jp_hw.simulate import simulate

PRECISION = "ap_fixed<16,6>"
PART, CLOCK_NS = "xc7z020clg400-1", 10.0
LAYERS = ("fc1", "fc2", "fc3")
SECONDS = 2.0


def has_vitis() -> bool:
    """Whether a program of Vitis HLS is on PATH."""
    return any(map(shutil.which, ("vitis-run", "vitis_hls")))


def size_of(folder: Path) -> int:
    """Bytes of C++ in a folder."""
    return sum(
        path.stat().st_size for kind in ("cpp", "h", "hpp") for path in folder.rglob(f"*.{kind}")
    )


def speed(run: Callable[[], object], images: int) -> float:
    """Images per CPU second of this process and its children, over at least SECONDS."""
    begin, count = _cpu(), 0
    while _cpu() - begin < SECONDS:
        run()
        count += images
    return count / (_cpu() - begin)


def _cpu() -> float:
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def own(folder: Path, design: Design, images: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Figures of the sparse accelerator."""
    build = open_build(emit(design, images, labels).write(folder / "build"))
    begin = _cpu()
    binary(build.folder)
    compiled = _cpu() - begin
    batch = np.tile(build.images, (16, 1, 1, 1))
    right = int((csim(build.folder, build.images).argmax(1) == labels).sum())
    result = {
        "cpp_bytes": size_of(build.folder / "hls"),
        "compile_cpu_seconds": compiled,
        "csim_images_per_cpu_second": speed(lambda: csim(build.folder, batch), len(batch)),
        "correct": right,
        "multipliers": design.pes,
        "hls_cycles_per_image": None,
    }
    if has_vitis():
        compile_hls(build.folder, "vitis", design.board, 1000.0 / CLOCK_NS)
        run = simulate(build, 4, rtl="hls").run
        result["hls_cycles_per_image"] = run.cycles_per_image
    return result


def dense(folder: Path, design: Design, images: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Figures of hls4ml's accelerator."""
    import hls4ml
    import torch

    tensors = zoo.load("mlp3").tensors
    stages: list[torch.nn.Module] = []
    for name in LAYERS:
        weight, bias = tensors[f"{name}.weight"], tensors[f"{name}.bias"]
        linear = torch.nn.Linear(weight.shape[1], weight.shape[0])
        linear.load_state_dict({"weight": torch.tensor(weight), "bias": torch.tensor(bias)})
        stages += [linear, torch.nn.ReLU()]
    model = torch.nn.Sequential(*stages[:-1]).eval()
    config = hls4ml.utils.config_from_pytorch_model(
        model, (784,), granularity="name", backend="Vitis", default_precision=PRECISION
    )
    linears = [name for name, kind in model.named_children() if isinstance(kind, torch.nn.Linear)]
    for name, layer in zip(linears, design.layers, strict=True):
        place = config["LayerName"].get(name) or config["LayerName"][f"_{name}"]
        size = next(m.weight.numel() for n, m in model.named_children() if n == name)
        place["Strategy"] = "Resource"
        place["ReuseFactor"] = size // layer.pes  # hls4ml takes the nearest that it can
    converted = hls4ml.converters.convert_from_pytorch_model(
        model,
        output_dir=str(folder / "hls4ml"),
        hls_config=config,
        backend="Vitis",
        io_type="io_parallel",
        part=PART,
        clock_period=CLOCK_NS,
    )
    begin = _cpu()
    converted.compile()
    compiled = _cpu() - begin
    pixels = np.ascontiguousarray(images.reshape(len(images), -1) / 255, np.float32)
    right = int((converted.predict(pixels).argmax(1) == labels).sum())
    multipliers = sum(
        -(
            -int(layer.get_attr("n_in"))
            * int(layer.get_attr("n_out"))
            // layer.get_attr("reuse_factor")
        )
        for layer in converted.get_layers()
        if layer.class_name == "Dense"
    )
    result = {
        "cpp_bytes": size_of(folder / "hls4ml" / "firmware") - size_of(_ap_types(folder)),
        "compile_cpu_seconds": compiled,
        "csim_images_per_cpu_second": speed(lambda: converted.predict(pixels), len(pixels)),
        "correct": right,
        "multipliers": multipliers,
        "hls_cycles_per_image": None,
    }
    if has_vitis():
        report = converted.build(csim=False)["CSynthesisReport"]
        result["hls_cycles_per_image"] = int(report["IntervalMax"])
    return result


def _ap_types(folder: Path) -> Path:
    return folder / "hls4ml" / "firmware" / "ap_types"


def main() -> None:
    """Measure and print."""
    artifact = zoo.load("mlp3")
    samples = artifact.samples()
    labels = np.asarray(samples.labels, np.int64)
    design = schedule(network_of(artifact), boards.load("pynq-z2"))
    with tempfile.TemporaryDirectory() as name:
        result: dict[str, Any] = {
            "machine": platform.processor() or platform.machine(),
            "model": "mlp3",
            "images": len(labels),
            "precision_of_hls4ml": PRECISION,
            "jp_hw": own(Path(name), design, samples.images.reshape(-1, 1, 1, 784), labels),
        }
        with contextlib.redirect_stdout(sys.stderr):  # hls4ml tells what it does
            result["hls4ml"] = dense(Path(name), design, samples.images, labels)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
