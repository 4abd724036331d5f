"""`python3 -m jp_hw_board selftest | run FILE.npy | check`: one JSON object on standard output."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from .bundle import BoardError, Bundle

HERE = Path(__file__).resolve().parent.parent


def main(arguments: list[str] | None = None) -> int:
    """Run a command; 0 if all is well, 1 if results differ, 2 with one line on standard error."""
    parser = argparse.ArgumentParser(prog="jp_hw_board")
    parser.add_argument("command", choices=("selftest", "run", "check"))
    parser.add_argument("images", nargs="?", help="for run: a .npy file, integers (n, h, w, c)")
    parser.add_argument("--timeout", type=float, default=10.0, help="seconds that a batch may take")
    options = parser.parse_args(arguments)
    try:
        result = _command(options)
    except BoardError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except RuntimeError as error:  # how PYNQ says that a bus access or the DMA engine failed
        print(f"error: the board failed: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    print(json.dumps(result))
    return 0 if result.get("passed", True) else 1


def _command(options: argparse.Namespace) -> dict[str, Any]:
    if options.command == "check":
        bundle = Bundle.open(HERE)
        bundle.check_files()
        return {"board": bundle.check_board(), "model": bundle.manifest["model"]}
    try:
        from .accelerator import Accelerator
        from .selftest import self_test
    except ImportError as error:
        raise BoardError(
            f"the package pynq cannot be imported ({error}); use a PYNQ image, its Python and root"
        ) from error
    with Accelerator(timeout=options.timeout) as accelerator:
        if options.command == "selftest":
            return self_test(accelerator)
        return _run(accelerator, options.images)


def _run(accelerator: Any, path: str | None) -> dict[str, Any]:
    if path is None:
        raise BoardError("run needs a .npy file with images")
    try:
        images = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise BoardError(f"cannot read images from {path}: {error}") from error
    clock = accelerator.bundle.manifest["clock_mhz"]
    single = accelerator.run(images[:1])
    result = accelerator.run(images)
    return {
        "logits": result.logits.tolist(),
        "classes": result.classes.tolist(),
        "latency_us": single.cycles / clock,
        "cycles_per_image": result.cycles / len(images),
        "images_per_second": len(images) / result.seconds,
        "counters": accelerator.counters(),
    }


if __name__ == "__main__":
    sys.exit(main())
