"""Starts the shipped driver in processes of its own, and spoils bundles; for tests of boards."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jp_hw.bundle import MANIFEST, write_bundle
from jp_hw.deploy import read_bundle

HERE = Path(__file__).resolve().parent
REAL_PYNQ = os.environ.get("JP_HW_PYNQ")
Run = Callable[..., subprocess.CompletedProcess[str]]


def driver(bundle: Path, *words: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "jp_hw_board", *map(str, words)]
    return run(command, bundle, env)


def real_driver(bundle: Path, *words: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    assert REAL_PYNQ
    command = [REAL_PYNQ, "-W", "ignore", str(HERE / "real_pynq.py"), str(bundle), *map(str, words)]
    return run(command, bundle, env)


def run(command: list[str], folder: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    kept = {key: value for key, value in os.environ.items() if key not in ("BOARD", "PYTHONPATH")}
    return subprocess.run(
        command,
        cwd=folder,
        env={**kept, **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def fails(done: subprocess.CompletedProcess[str]) -> str:
    """The one line with which the driver ends."""
    assert done.returncode == 2, done.stdout + done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: "), done.stderr
    return lines[0]


def edit(bundle: Path, **changes: Any) -> None:
    path = bundle / MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def edit_board(bundle: Path, **changes: Any) -> None:
    path = bundle / "simulated_board.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    manifest = json.loads((bundle / MANIFEST).read_text())
    del manifest["files"][path.name]
    edit(bundle, files=manifest["files"])


SCRIPT = """
import json, sys
import numpy as np
from jp_hw_board import Accelerator, BoardError
import pynq
from pynq.state import board
vectors = np.load("vectors.npz")
images, logits = vectors["images"], vectors["logits"]

def refused(call):
    try:
        call()
    except BoardError as error:
        return str(error)
    raise SystemExit("nothing was refused")
"""


def script(bundle: Path, code: str) -> list[Any]:
    """What a script prints, that uses the driver as a user would; JSON, a line each."""
    done = run([sys.executable, "-c", SCRIPT + code], bundle, {})
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def spoiled(bundle: Path, folder: Path, **changes: object) -> Path:
    """A bundle with another description of its simulated board, consistent in itself."""
    files = read_bundle(bundle)
    board = {**json.loads(files["simulated_board.json"]), **changes}
    files["simulated_board.json"] = json.dumps(board).encode()
    manifest = json.loads(files.pop(MANIFEST))
    manifest["files"] = {name: hashlib.sha256(text).hexdigest() for name, text in files.items()}
    return write_bundle(folder, {**files, MANIFEST: json.dumps(manifest).encode()})


def state(folder: Path) -> tuple[str, list[str]]:
    """The current bundle, and all that lie there."""
    return str((folder / "current").readlink()), sorted(
        path.name for path in (folder / "bundles").iterdir()
    )


@contextmanager
def unharmed(folder: Path) -> Iterator[None]:
    """What happens here leaves the bundle of before in place and usable."""
    before = state(folder)
    yield
    current, bundles = state(folder)
    assert current == before[0]
    assert [name for name in bundles if not name.startswith(".")] == before[1]
    done = subprocess.run(
        [sys.executable, "-m", "jp_hw_board", "selftest"],
        cwd=folder / "current",
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
