"""The accelerator behind PYNQ's Overlay and DMA."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pynq

from .bundle import BoardError, Bundle

DMA_CONTROL, DMA_STATUS = 0x00, 0x04
DMA_RESET, DMA_IDLE, DMA_ERRORS = 1 << 2, 1 << 1, 0x70
DMA_RECEIVE = 0x30
DMA_LENGTH = 0x28
SOFT_RESET = 1
SHORT, LONG = 1 << 1, 1 << 2
BATCH_BYTES = 1 << 22
"""Bytes that one transfer carries at most; larger batches are sent in parts."""


@dataclass(frozen=True)
class Result:
    """Logits int32 (n, classes), seconds in all, and clock cycles of the logic meanwhile."""

    logits: np.ndarray
    seconds: float
    cycles: int

    @property
    def classes(self) -> np.ndarray:
        """The class of each image: its largest logit, the first of equals."""
        found: np.ndarray = self.logits.argmax(axis=1)
        return found


class Accelerator:
    """A loaded, checked accelerator.

    folder: the bundle, by default the folder that this package lies in. timeout: seconds that one
    transfer may take. Raises BoardError where the bundle, the board or the loaded logic do not
    belong together.
    """

    def __init__(self, folder: str | Path | None = None, *, timeout: float = 10.0) -> None:
        self.bundle = Bundle.open(Path(folder or Path(__file__).resolve().parent.parent))
        self.bundle.check_files()
        self.board = self.bundle.check_board()
        self.timeout = timeout
        self._manifest = self.bundle.manifest
        try:
            self._overlay = pynq.Overlay(str(self.bundle.bitstream))
        except (OSError, RuntimeError, ValueError) as error:
            raise BoardError(f"the overlay cannot be loaded: {_one_line(error)}") from error
        self._dma: Any = self._overlay.dma
        self._logic: Any = self._overlay.accelerator
        self._registers: Mapping[str, int] = self._manifest["registers"]
        self._buffers: dict[str, Any] = {}
        self.check_identity()

    def __enter__(self) -> "Accelerator":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the buffers back."""
        for buffer in self._buffers.values():
            buffer.freebuffer()
        self._buffers.clear()

    # ---- registers

    def read(self, register: str) -> int:
        """A register by its name."""
        return int(self._logic.read(self._registers[register]))

    def check_identity(self) -> None:
        """Compare magic, version and network digest; BoardError says what is loaded instead."""
        magic = self.read("magic")
        if magic != self._manifest["magic"]:
            raise BoardError(f"what is loaded is no jp_hw accelerator (magic 0x{magic:08x})")
        version = self.read("version")
        if version >> 16 != self._manifest["version"] >> 16:
            raise BoardError(
                f"the loaded accelerator has register map {version >> 16}.{version & 0xFFFF}, this "
                f"driver knows {self._manifest['version'] >> 16}; build and deploy anew"
            )
        digest = f"{self.read('digest_high'):08x}{self.read('digest_low'):08x}"
        if not self._manifest["digest"].startswith(digest):
            raise BoardError(
                f"the loaded accelerator holds network {digest}, the bundle is of network "
                f"{self._manifest['digest'][:16]}; build and deploy anew"
            )

    def counters(self) -> dict[str, dict[str, int]]:
        """Per layer: its counters since the last reset."""
        return {
            layer: {name: self.read(f"{layer}_{name}") for name in self._manifest["counters"]}
            for layer in self._manifest["layers"]
        }

    def counter_table(self) -> str:
        """The counters as a table of text."""
        names = ["layer", *self._manifest["counters"]]
        rows = [[layer, *map(str, found.values())] for layer, found in self.counters().items()]
        widths = [max(len(row[i]) for row in [names, *rows]) for i in range(len(names))]
        return "\n".join(
            "  ".join(
                text.rjust(width) if i else text.ljust(width)
                for i, (text, width) in enumerate(zip(row, widths, strict=True))
            )
            for row in [names, *rows]
        )

    # ---- reset

    def reset(self) -> None:
        """Drop all that is under way, in the DMA engine and in the logic, and start from zero."""
        self._dma.write(DMA_CONTROL, DMA_RESET)
        self._wait_for("the DMA engine's reset", lambda: not self._dma.read(0) & DMA_RESET)
        self._logic.write(self._registers["control"], SOFT_RESET)
        self._wait_for("the reset", lambda: not self.read("status") & 1)
        for channel in (self._dma.sendchannel, self._dma.recvchannel):
            channel.start()

    def _wait_for(self, what: str, done: Any) -> None:
        end = time.monotonic() + self.timeout
        while not done():
            if time.monotonic() > end:
                raise BoardError(f"{what} did not end within {self.timeout:g} s; restart the board")

    # ---- frames

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Logits of images: integers (n, height, width, channels) -> int32 (n, classes)."""
        return self.run(images).logits

    def classify(self, images: np.ndarray) -> np.ndarray:
        """Class numbers of images."""
        return self.run(images).classes

    def run(self, images: np.ndarray) -> Result:
        """Send images, receive logits.

        Raises BoardError for images of another shape or range, where a transfer fails, and where
        it takes longer than the timeout; after the latter two everything was reset, and the next
        call starts anew.
        """
        frames = self._frames(np.asarray(images))
        classes = int(self._manifest["classes"])
        parts = max(1, BATCH_BYTES // max(frames.shape[1], 4 * classes))
        results = np.zeros((len(frames), classes), np.int32)
        begin, first = time.perf_counter(), self.read("cycles")
        for i in range(0, len(frames), parts):
            results[i : i + parts] = self._transfer(frames[i : i + parts], classes)
        cycles = (self.read("cycles") - first) & 0xFFFF_FFFF
        seconds = time.perf_counter() - begin
        status = self.read("status")
        if status & (SHORT | LONG):
            self.reset()
            raise BoardError("the accelerator lost its place in the stream of frames; it was reset")
        return Result(results, seconds, cycles)

    def _frames(self, images: np.ndarray) -> np.ndarray:
        """Bytes (n, frame), every frame padded to whole beats of 8 bytes."""
        shape = tuple(self._manifest["input"][key] for key in ("height", "width", "channels"))
        size = int(np.prod(shape))
        if images.ndim < 2 or len(images) == 0 or images[:1].size != size:
            wanted = ", ".join(map(str, shape))
            raise BoardError(f"images of shape {images.shape}; the network reads (n, {wanted})")
        low, high = (-128, 127) if self._manifest["input"]["signed"] else (0, 255)
        if not np.issubdtype(images.dtype, np.integer):
            raise BoardError(f"images of type {images.dtype}; the network reads integers")
        if images.min() < low or images.max() > high:
            raise BoardError(f"images hold values outside {low}..{high}")
        frames = np.zeros((len(images), -(-size // 8) * 8), np.uint8)
        frames[:, :size] = images.reshape(len(images), size).astype(np.int64).astype(np.uint8)
        return frames

    def _transfer(self, frames: np.ndarray, classes: int) -> np.ndarray:
        """One batch through the DMA engine."""
        sent = self._buffer("send", frames.size, np.uint8)
        received = self._buffer("receive", len(frames) * classes, np.int32)
        sent[: frames.size] = frames.reshape(-1)
        nbytes = len(frames) * classes * 4
        try:
            self._dma.recvchannel.transfer(received, 0, nbytes)
            self._dma.sendchannel.transfer(sent, 0, frames.size)
            self._wait(len(frames))
        except RuntimeError as error:
            self.reset()
            raise BoardError(f"{_one_line(error)}; the accelerator was reset") from error
        except BoardError:
            self.reset()
            raise
        arrived = self._dma.read(DMA_RECEIVE + DMA_LENGTH)
        if arrived != nbytes:
            self.reset()
            raise BoardError(
                f"{arrived} bytes of logits arrived, {nbytes} were expected; the accelerator was reset"
            )
        received.invalidate()
        return np.array(received[: nbytes // 4]).reshape(len(frames), classes)

    def _wait(self, frames: int) -> None:
        """Until both channels are done; PYNQ's own wait() would wait for ever."""
        end = time.monotonic() + self.timeout
        while True:
            statuses = {
                name: self._dma.read(offset + DMA_STATUS)
                for name, offset in (("receive", DMA_RECEIVE), ("send", 0))
            }
            for name, status in statuses.items():
                if status & DMA_ERRORS:
                    raise BoardError(
                        f"the DMA engine's {name} channel failed (status 0x{status:08x}); the "
                        "accelerator was reset"
                    )
            if all(status & DMA_IDLE for status in statuses.values()):
                return
            if time.monotonic() > end:
                raise BoardError(
                    f"the accelerator did not answer {frames} images within {self.timeout:g} s; it was "
                    "reset"
                )

    def _buffer(self, name: str, count: int, dtype: Any) -> Any:
        """A buffer of at least so many elements, kept for the next batch."""
        kept = self._buffers.get(name)
        if kept is None or len(kept) < count:
            if kept is not None:
                kept.freebuffer()
            kept = pynq.allocate(shape=(count,), dtype=dtype)
            if kept.physical_address + kept.nbytes > 1 << 32:
                raise BoardError("the buffer lies above 4 GB, where the DMA engine does not reach")
            self._buffers[name] = kept
        return kept


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
