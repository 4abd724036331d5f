"""Classifies images on a target: the simulated board here, or the bundle that a board has."""

import json
import shlex
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from jp_hw.build import Build
from jp_hw.bundle import DRIVER, bundle_files, metadata_text, write_bundle
from jp_hw.deploy import MANIFEST, Remote, driver
from jp_hw.errors import JpHwError
from jp_hw.images import Images
from jp_hw.ir import Int
from jp_hw.ir_file import digest
from jp_hw.plan import write_inside
from jp_hw.shell import shell_files
from jp_hw.simboard import standin_files
from jp_hw.ssh import Board, Host, on_board

SIMULATED_BITSTREAM = b"A simulated overlay: its logic is a program that runs the RTL.\n"


@dataclass(frozen=True)
class Classified:
    """logits int64 (n, classes); latency_us: of one image alone, from its sending to its logits."""

    logits: Int
    latency_us: float
    cycles_per_image: float
    images_per_second: float
    counters: dict[str, dict[str, int]]

    @property
    def classes(self) -> Int:
        """The class of each image: its largest logit, the first of equals."""
        found: Int = self.logits.argmax(axis=1)
        return found

    def scores(self, logit_scale: float) -> np.ndarray:
        """Softmax of each image's logits in real units, at its class."""
        real = self.logits * logit_scale
        powers = np.exp(real - real.max(axis=1, keepdims=True))
        return np.asarray(powers.max(axis=1) / powers.sum(axis=1))


def simulated_bundle(build: Build, folder: Path) -> Path:
    """A bundle whose logic is a program for this machine; compiled where it is not yet."""
    for name, text in shell_files(build.design).items():
        write_inside(build.folder, name, text)
    board = build.design.board
    files = standin_files(build.folder, (board.pynq.names or (board.name,))[0])
    metadata = metadata_text(board, build.design.clock_mhz)
    return write_bundle(folder, bundle_files(build, SIMULATED_BITSTREAM, metadata, files))


def classify_here(build: Build, images: Images, timeout: float = 600.0) -> Classified:
    """Images through the shipped driver on the simulated board, in a process of its own."""
    bundle = simulated_bundle(build, build.folder / "sim" / "bundle")
    with tempfile.TemporaryDirectory() as scratch:
        path = write_inside(Path(scratch), "images.npy", _npy(images))
        command = [sys.executable, "-m", DRIVER, "run", str(path), "--timeout", f"{timeout:g}"]
        done = subprocess.run(command, cwd=bundle, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise JpHwError(f"the simulated board: {lines[-1].removeprefix('error: ')}")
    return _classified(json.loads(done.stdout))


def classify_there(build: Build, images: Images, host: Host, remote: Remote) -> Classified:
    """Images through a board's current bundle, which must be of this build's network."""
    return on_board(host, lambda board: _classify_there(board, build, images, remote))


async def _classify_there(board: Board, build: Build, images: Images, remote: Remote) -> Classified:
    current = f"{remote.folder}/current"
    status, text, _ = await board.command(f"cat {shlex.quote(current)}/{MANIFEST}")
    if status != 0:
        raise JpHwError(f"{board.host.shown} has no bundle yet; deploy one: jp-hw deploy")
    manifest = json.loads(text)
    if manifest["digest"] != digest(build.network):
        raise JpHwError(
            f"{board.host.shown} has network {manifest['model']} {manifest['digest'][:16]}, not this "
            "build's; deploy it: jp-hw deploy"
        )
    name = (await board.checked("mktemp /tmp/jp_hw-XXXXXX.npy", "making a file")).strip()
    try:
        sftp = await board.sftp()
        async with sftp.open(name, "wb") as file:
            await file.write(_npy(images))
        command = f"run {shlex.quote(name)} --timeout {remote.timeout:g}"
        status, report, line = await driver(board, remote, current, command)
    finally:
        await board.command(f"rm -f {shlex.quote(name)}")
    if status != 0:
        raise JpHwError(f"{board.host.shown}: {line}")
    return _classified(report)


def _npy(images: Images) -> bytes:
    packed = BytesIO()
    np.save(packed, images.values, allow_pickle=False)
    return packed.getvalue()


def _classified(report: dict[str, Any]) -> Classified:
    return Classified(
        np.array(report["logits"], np.int64),
        report["latency_us"],
        report["cycles_per_image"],
        report["images_per_second"],
        report["counters"],
    )
