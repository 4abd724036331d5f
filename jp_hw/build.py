"""Build folders: everything that later commands need, and how it is read back."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from jp_hw import golden, ir_file
from jp_hw.boards import Board
from jp_hw.emit.hls import hls_files
from jp_hw.emit.host import host_files
from jp_hw.emit.rtl import rtl_files
from jp_hw.errors import JpHwError
from jp_hw.ir import Int, Network
from jp_hw.macs import ANY
from jp_hw.plan import FORMAT, MANIFEST, Plan
from jp_hw.registers import register_map
from jp_hw.schedule import Design, Placement, place
from jp_hw.schedule.allocate import MOST_SHARE
from jp_hw.schedule.run import Misplaced
from jp_hw.schedule.search import QUEUES, SLACKS, WINNERS

NETWORK, SAMPLES = "network.safetensors", "samples.npz"


class _Placement(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    channels: tuple[tuple[int, ...], ...]
    streams: int = 1
    columns: int = 1
    queue: int = Field(0, strict=True)
    beside: int = Field(0, ge=0, le=ANY, strict=True)
    slack: int = Field(0, strict=True)
    joined: bool = False
    share: int = Field(1, ge=1, le=MOST_SHARE, strict=True)
    winners: int = Field(0, strict=True)

    @model_validator(mode="before")
    @classmethod
    def _of_earlier_builds(cls, values: Any) -> Any:
        """They said only whether nothing beside the map was computed."""
        if isinstance(values, dict) and isinstance(values.get("trimmed"), bool):
            return {
                "beside": 0 if values["trimmed"] else ANY,
                **{name: value for name, value in values.items() if name != "trimmed"},
            }
        return values

    @field_validator("queue", "slack", "winners")
    @classmethod
    def _known(cls, value: int, info: ValidationInfo) -> int:
        choices = {"queue": QUEUES, "slack": SLACKS, "winners": WINNERS}[str(info.field_name)]
        if value not in choices:
            raise ValueError(f"{info.field_name} should be one of {', '.join(map(str, choices))}")
        return value


class _Manifest(BaseModel):
    """What build.json must hold; `registers` is for other programs."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    format: Literal["jp_hw-build-1"]
    jp_hw: str
    model: str
    digest: str
    board: Board
    clock_mhz: float
    placement: tuple[_Placement, ...]
    registers: dict[str, int]


@dataclass(frozen=True)
class Build:
    """A build folder that was read back.

    images: integers (n, height, width, channels) to try it with; labels: int64 (n,), -1 where
    unknown.
    """

    folder: Path
    design: Design
    images: Int
    labels: Int

    @property
    def network(self) -> Network:
        """The integer network."""
        return self.design.network

    def first_images(self, count: int) -> tuple[Int, Int]:
        """The first `count` images and labels; JpHwError if there are not so many."""
        if not 1 <= count <= len(self.images):
            raise JpHwError(
                f"{self.folder} holds {len(self.images)} images, so --images can be 1 to "
                f"{len(self.images)}, not {count}"
            )
        return self.images[:count], self.labels[:count]


def emit(
    design: Design,
    images: NDArray[np.uint8] | None = None,
    labels: NDArray[np.int64] | None = None,
) -> Plan:
    """All files of a build folder, in memory.

    images: integers (n, height, width, channels) to ship with the build, the network's samples unless
    given; labels: (n,). Raises JpHwError where they do not fit the network or one another.
    """
    network = design.network
    own = network.samples if images is None else np.asarray(images)
    golden.read_input(network.input, own)  # shape, type and range
    own = own.reshape(-1, *network.samples.shape[1:])
    known = np.full(len(own), -1, np.int64) if labels is None else np.asarray(labels, np.int64)
    if known.shape != (len(own),):
        raise JpHwError(f"{len(own)} images, but labels of shape {known.shape}; give one each")
    packed = BytesIO()
    dtype = np.int8 if network.input.signed else np.uint8
    np.savez_compressed(packed, images=own.astype(dtype), labels=known)
    registers = register_map(tuple(layer.name for layer in design.layers))
    manifest = {
        "format": FORMAT,
        "jp_hw": version("jp_hw"),
        "model": network.name,
        "digest": ir_file.digest(network),
        "board": design.board.model_dump(),
        "clock_mhz": design.clock_mhz,
        "placement": [
            {
                "name": layer.name,
                "channels": layer.channel_of.tolist(),
                "streams": len(layer.streams),
                "columns": columns,
                "queue": layer.fifo_depth,
                "beside": layer.beside,
                "slack": layer.slack,
                "joined": layer.joined,
                "share": layer.share,
                "winners": layer.winner_depth,
            }
            for layer, columns in zip(design.layers, design.columns, strict=True)
        ],
        "registers": {register.name: register.offset for register in registers},
    }
    files: dict[str, str | bytes] = {
        NETWORK: ir_file.to_bytes(network),
        SAMPLES: packed.getvalue(),
        **rtl_files(design),
        **hls_files(design),
        **host_files(design),
    }
    return Plan(files, manifest)


def open_build(folder: Path) -> Build:
    """Read a build folder; JpHwError if it is none, is damaged, or does not fit together."""
    folder = Path(folder)
    path = folder / MANIFEST
    if not path.is_file():
        raise JpHwError(
            f"{folder} is no build folder (no {MANIFEST}); make one with `jp-hw generate`"
        )
    try:
        manifest = _Manifest.model_validate_json(path.read_text(encoding="utf-8"))
    except (ValidationError, UnicodeDecodeError) as error:
        what = error.errors()[0]["msg"] if isinstance(error, ValidationError) else "no text"
        raise JpHwError(f"{path} is damaged ({what}); make the build anew") from error
    network = ir_file.load(folder / NETWORK)
    if ir_file.digest(network) != manifest.digest:
        raise JpHwError(f"{folder / NETWORK} is not the network of this build; make the build anew")
    placements = _placements(manifest, network, path)
    try:
        design = place(network, manifest.board, manifest.clock_mhz, placements)
    except Misplaced as error:
        raise JpHwError(f"{path}: {error}; make the build anew") from error
    images, labels = _read_samples(folder / SAMPLES, network)
    return Build(folder, design, images, labels)


def _placements(manifest: _Manifest, network: Network, path: Path) -> list[Placement]:
    result = []
    names = [placement.name for placement in manifest.placement]
    if names != [layer.name for layer in network.layers]:
        raise JpHwError(f"{path} places other layers than the network has; make the build anew")
    for placement in manifest.placement:
        rows = placement.channels
        even = len({len(row) for row in rows}) == 1 and 1 <= placement.streams <= len(rows)
        if not even or placement.columns < 1:
            raise JpHwError(
                f"{path}: layer {placement.name} is placed wrongly; make the build anew"
            )
        result.append(
            Placement(
                np.array(rows, np.int64),
                placement.streams,
                placement.columns,
                placement.queue,
                placement.beside,
                placement.slack,
                placement.joined,
                placement.share,
                placement.winners,
            )
        )
    return result


def _read_samples(path: Path, network: Network) -> tuple[Int, Int]:
    try:
        with np.load(BytesIO(path.read_bytes()), allow_pickle=False) as file:
            images, labels = file["images"].astype(np.int64), file["labels"].astype(np.int64)
    except Exception as error:  # zipfile, zlib and numpy raise a dozen kinds for damaged files
        raise JpHwError(f"{path} is missing or damaged ({error}); make the build anew") from error
    if images.ndim != 4 or images.shape[1:] != network.samples.shape[1:]:
        raise JpHwError(f"{path} holds images of another shape; make the build anew")
    if labels.shape != (len(images),):
        raise JpHwError(f"{path} holds {len(images)} images, but labels {labels.shape}")
    return images, labels


def describe(build: Build) -> Mapping[str, object]:
    """The keys that every command's JSON begins with."""
    return {
        "model": build.network.name,
        "board": build.design.board.name,
        "build": str(build.folder),
    }
