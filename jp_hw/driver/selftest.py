"""The self-test: recorded images through the accelerator, every logit and counter compared."""

from pathlib import Path
from typing import Any

import numpy as np
import pynq

from .accelerator import Accelerator
from .bundle import Bundle

VECTORS = "vectors.npz"


def self_test(accelerator: Accelerator, images: int | None = None) -> dict[str, Any]:
    """Run the bundle's recorded vectors; plain data, with `passed`.

    images: only so many of them. The counters are compared with those recorded with all images, so
    with fewer they are reported, but not compared.
    """
    vectors = load_vectors(accelerator.bundle)
    count = len(vectors["images"]) if images is None else min(images, len(vectors["images"]))
    accelerator.reset()
    single = accelerator.run(vectors["images"][:1])
    accelerator.reset()
    result = accelerator.run(vectors["images"][:count])
    counters = accelerator.counters()
    wrong = int(np.count_nonzero(result.logits != vectors["logits"][:count]))
    exact = None
    if count == len(vectors["images"]):
        exact = all(
            counters[layer][name] == value
            for layer, values in accelerator.bundle.manifest["expected_counters"].items()
            for name, value in values.items()
        )
    return {
        "passed": wrong == 0 and exact is not False,
        "board": accelerator.board,
        "pynq": pynq.__version__,
        "model": accelerator.bundle.manifest["model"],
        "digest": accelerator.bundle.manifest["digest"],
        "images": count,
        "mismatches": wrong,
        "logits": int(result.logits.size),
        "counters_exact": exact,
        "counters": counters,
        "cycles_per_image": result.cycles / count,
        "images_per_second": count / result.seconds,
        "latency_us": single.cycles / accelerator.bundle.manifest["clock_mhz"],
        "clock_mhz": accelerator.bundle.manifest["clock_mhz"],
    }


def load_vectors(bundle: Bundle) -> dict[str, np.ndarray]:
    """images (n, height, width, channels) and logits (n, classes), as recorded."""
    with np.load(Path(bundle.folder) / VECTORS, allow_pickle=False) as file:
        return {name: file[name] for name in ("images", "logits")}
