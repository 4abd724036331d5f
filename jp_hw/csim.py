"""C simulation: the generated HLS C++, compiled with g++ and run on images.

Compiles against the ap_types headers (ap_int, hls_stream) that hls4ml ships; hls4ml itself is not
imported.
"""

import hashlib
import importlib.util
import os
import re
import shlex
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jp_hw.errors import JpHwError
from jp_hw.ir import Int
from jp_hw.plan import run_tool, write_inside

FLAGS = ("-std=c++17", "-O3", "-Wall", "-Wextra", "-Wno-unknown-pragmas")
COMPILE_SECONDS = 1800.0
RUN_SECONDS = 3600.0


@dataclass(frozen=True)
class CsimResult:
    """logits: int64 (n, classes); errors: bool (n,), the frames that were marked as faulty."""

    logits: Int
    errors: NDArray[np.bool_]


def csim(build: Path, images: np.ndarray) -> Int:
    """Logits of a batch as the generated C++ computes them.

    build: folder that holds `hls/`; the binary is kept in `csim/`, and reused while up to date.
    images: integers (n, height, width, channels), each a byte, -128..255. Returns int64
    (n, classes). Raises JpHwError if the compiler or its headers are missing, if it fails, or if
    the images do not fit the network.
    """
    images = np.asarray(images)
    if images.ndim < 2 or not np.issubdtype(images.dtype, np.integer):
        raise JpHwError(
            f"images of type {images.dtype} and shape {images.shape}; "
            "csim reads integers (n, height, width, channels)"
        )
    if len(images) and (images.min() < -128 or images.max() > 255):
        raise JpHwError("images hold values that are no bytes; csim reads -128..255")
    data = (images.astype(np.int64) & 255).astype(np.uint8).reshape(len(images), -1)
    result = _run(build, data.tobytes(), len(images), None, None)
    return result.logits


def csim_frames(build: Path, frames: Sequence[bytes], holes: int | None = None) -> CsimResult:
    """Feed frames of any length, as a host would that gets the length wrong.

    holes: seed for dropping random bytes (their tkeep is 0), so that they read as zero.
    """
    return _run(build, b"".join(frames), len(frames), [len(frame) for frame in frames], holes)


def binary(build: Path) -> Path:
    """The compiled simulation of a build, made if it is missing or out of date.

    The environment's CXX and CXXFLAGS are honoured.
    """
    folder = Path(build).absolute()
    hls, out = folder / "hls", folder / "csim"
    if not (hls / "top.cpp").is_file():
        raise JpHwError(f"{folder} has no hls/top.cpp; make the build with `jp-hw generate`")
    compiler = shlex.split(os.environ.get("CXX", "")) or ["g++"]
    flags = [*FLAGS, *shlex.split(os.environ.get("CXXFLAGS", ""))]
    command = [*compiler, *flags, "-isystem", str(ap_types())]
    digest = hashlib.sha256("\0".join(command).encode())
    for path in sorted([*hls.glob("*.cpp"), *hls.glob("*.hpp")]):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    target, stamp = out / "testbench", out / "digest"
    if target.is_file() and stamp.is_file() and stamp.read_text() == digest.hexdigest():
        return target
    out.mkdir(parents=True, exist_ok=True)
    partial = out / "testbench.partial"
    run_tool(
        # as one translation unit: most of the time goes into the ap_types headers
        [*command, "-include", hls / "top.cpp", hls / "testbench.cpp", "-o", partial],
        out,
        log="compile.log",
        timeout=COMPILE_SECONDS,
    )
    stamp.unlink(missing_ok=True)
    partial.replace(target)
    write_inside(out, "digest", digest.hexdigest())
    return target


def ap_types() -> Path:
    """Folder of the ap_types headers inside the installed hls4ml, found without importing it."""
    spec = importlib.util.find_spec("hls4ml")
    roots = (spec.submodule_search_locations or []) if spec is not None else []
    for root in roots:
        headers = Path(root) / "templates" / "vivado" / "ap_types"
        if (headers / "ap_int.h").is_file():
            return headers
    raise JpHwError(
        "csim needs the ap_types headers of hls4ml, which is not installed: pip install hls4ml"
    )


def _run(
    build: Path, data: bytes, count: int, lengths: Sequence[int] | None, holes: int | None
) -> CsimResult:
    program = binary(build)
    with tempfile.TemporaryDirectory(prefix="run-", dir=program.parent) as name:
        folder = Path(name)
        (folder / "images.bin").write_bytes(data)
        command = [str(program), "images.bin", "logits.bin", "--errors", "errors.bin"]
        if lengths is not None:
            (folder / "lengths.txt").write_text("".join(f"{length}\n" for length in lengths))
            command += ["--lengths", "lengths.txt"]
        if holes is not None:
            command += ["--holes", str(holes)]
        # the log stays when the folder of this run is gone
        text = run_tool(command, folder, log=str(program.parent / "run.log"), timeout=RUN_SECONDS)
        logits = np.fromfile(folder / "logits.bin", "<i4").astype(np.int64)
        errors = np.fromfile(folder / "errors.bin", np.uint8) != 0
    match = re.search(r"^frames (\d+) classes (\d+) ", text, re.MULTILINE)
    if match is None:
        raise JpHwError(f"csim printed no summary; see {program.parent / 'run.log'}")
    frames, classes = int(match[1]), int(match[2])
    if frames != count or len(logits) != frames * classes or len(errors) != frames:
        raise JpHwError(
            f"csim made {frames} frames of {count} images: they are not of the network's input size"
        )
    return CsimResult(logits.reshape(frames, classes), errors)
