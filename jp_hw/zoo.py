"""Trained networks as folders of plain data, those that come with the package among them.

An artifact is a folder with ``model.json`` (what it is, how it was made, its figures),
``model.safetensors`` (dense float32 weights with zeros where pruned, and thetas), ``samples.npz``
(real test images uint8 (N, H, W, C), labels int64 (N,)) and ``calibration.npz`` (training images,
same layout). Importing this module and ``models()`` need no torch.
"""

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from jp_hw.datasets import Split
from jp_hw.errors import JpHwError

if TYPE_CHECKING:
    from torch import Tensor, nn

FORMAT = 1
JSON, TENSORS = "model.json", "model.safetensors"
SAMPLES, CALIBRATION = "samples.npz", "calibration.npz"
KEYS = (
    "name",
    "model",
    "dataset",
    "input",
    "classes",
    "seed",
    "command",
    "config",
    "packages",
    "metrics",
)


@dataclass(frozen=True)
class Artifact:
    """One trained network; ``info`` is its model.json."""

    folder: Path
    info: dict[str, Any]

    @property
    def name(self) -> str:
        """The network's name."""
        return str(self.info["name"])

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(H, W, C) of an input image."""
        height, width, channels = self.info["input"]["shape"]
        return int(height), int(width), int(channels)

    @property
    def input_scale(self) -> float:
        """The network's float input is uint8 pixel * scale."""
        return float(self.info["input"]["scale"])

    @cached_property
    def tensors(self) -> dict[str, NDArray[np.float32]]:
        """All tensors of the state dict by name, checked to be finite, as numpy arrays."""
        return _tensors(self.folder / TENSORS)

    def samples(self) -> Split:
        """Real test images and their labels."""
        return _split(self.folder / SAMPLES, self.input_shape, int(self.info["classes"]))

    def calibration(self) -> Split:
        """Real training images and their labels, to find activation ranges with."""
        return _split(self.folder / CALIBRATION, self.input_shape, int(self.info["classes"]))

    def model(self) -> "nn.Module":
        """A new torch module in eval mode with all Winners static; input float (N, C, H, W).

        Raise JpHwError when the tensors do not fit the model that model.json names.
        """
        import torch

        from jp_hw import models as builders
        from jp_hw.nn import set_winner_mode

        description = self.info["model"]
        model = builders.build(str(description["builder"]), description["args"])
        tensors = {name: torch.tensor(value) for name, value in self.tensors.items()}
        try:
            model.load_state_dict(tensors)
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:200]
            raise JpHwError(f"{self.folder / TENSORS} does not fit its model: {reason}") from error
        set_winner_mode(model, "static")
        return model.eval()


def zoo_folder() -> Path:
    """Where the networks that come with the package are."""
    return Path(str(resources.files("jp_hw") / "zoo_data"))


def names() -> list[str]:
    """Names of the networks that come with the package, sorted."""
    return sorted(path.parent.name for path in zoo_folder().glob(f"*/{JSON}"))


def models() -> list[dict[str, Any]]:
    """The model.json of every network that comes with the package, by name."""
    return [load(name).info for name in names()]


def load(name_or_path: str | Path) -> Artifact:
    """Open an artifact by its zoo name or its folder; a training run's folder will do as well.

    A name of the zoo goes before a folder of the same name: write ``./NAME`` for the folder.
    Raise JpHwError, listing what exists, when there is none, or when model.json is unusable.
    Tensors and images are checked when they are first used.
    """
    text = str(name_or_path)
    if isinstance(name_or_path, str) and text in names():
        return _open(zoo_folder() / text)
    folder = Path(name_or_path)
    for candidate in (folder, folder / "result"):
        if (candidate / JSON).is_file():
            return _open(candidate)
    if (folder / "config.json").is_file():
        raise JpHwError(f"the training run in {folder} is not finished: run its command again")
    if folder.exists():
        raise JpHwError(f"{folder} holds no {JSON}: give a trained network's folder")
    have = ", ".join(names()) or "none"
    raise JpHwError(f"network {text!r} is neither in the zoo ({have}) nor a folder")


def save(
    folder: str | Path,
    info: Mapping[str, Any],
    tensors: Mapping[str, "Tensor"],
    *,
    samples: Split,
    calibration: Split,
) -> dict[str, Any]:
    """Write an artifact and return its model.json; ``info`` needs all of ``KEYS``.

    model.json is written last: without it there is no artifact. Raise JpHwError when tensors are
    not finite or a weight tensor is all zero.
    """
    missing = [key for key in KEYS if key not in info]
    if missing:
        raise JpHwError(f"an artifact needs {', '.join(missing)} in its description")
    target = Path(folder)
    plain = {name: tensor.detach().contiguous().clone() for name, tensor in tensors.items()}
    _check({name: tensor.numpy() for name, tensor in plain.items()}, target / TENSORS)
    from safetensors import SafetensorError

    record = {"format": FORMAT, **info}
    try:
        _write(target, record, plain, samples, calibration)
    except (OSError, SafetensorError) as error:
        raise JpHwError(f"artifact {target} cannot be written ({error})") from error
    return record


def _write(
    target: Path,
    record: dict[str, Any],
    tensors: dict[str, "Tensor"],
    samples: Split,
    calibration: Split,
) -> None:
    """Write all files of an artifact, model.json last."""
    from safetensors.torch import save_file

    target.mkdir(parents=True, exist_ok=True)
    (target / JSON).unlink(missing_ok=True)
    temporary = target / f".{TENSORS}.tmp"
    save_file(tensors, temporary)
    temporary.chmod(0o644)  # safetensors makes it private
    temporary.replace(target / TENSORS)
    _save_split(target / SAMPLES, samples)
    _save_split(target / CALIBRATION, calibration)
    temporary = target / f".{JSON}.tmp"
    temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    temporary.replace(target / JSON)


def _open(folder: Path) -> Artifact:
    """Read and check model.json."""
    path = folder / JSON
    try:
        info = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise JpHwError(f"{path} cannot be read ({error}): train or copy it again") from error
    if not isinstance(info, dict) or "format" not in info:
        raise JpHwError(f"{path} describes no trained network")
    if info["format"] != FORMAT:
        raise JpHwError(f"{path} has format {info['format']}, but format {FORMAT} is read here")
    missing = [key for key in KEYS if key not in info]
    if missing:
        raise JpHwError(f"{path} lacks {', '.join(missing)}: train or copy it again")
    _check_info(info, path)
    return Artifact(folder, info)


def _check_info(info: dict[str, Any], path: Path) -> None:
    """The parts of model.json that code depends on must have their types."""
    try:
        shape = info["input"]["shape"]
        good = (
            len(shape) == 3
            and all(isinstance(size, int) and size > 0 for size in shape)
            and float(info["input"]["scale"]) > 0
            and int(info["classes"]) > 0
            and isinstance(info["model"]["builder"], str)
            and isinstance(info["model"]["args"], dict)
        )
    except (KeyError, TypeError, ValueError):
        good = False
    if not good:
        raise JpHwError(f"{path} has a bad input, classes or model entry: train or copy it again")


def _tensors(path: Path) -> dict[str, NDArray[np.float32]]:
    """Read and check a safetensors file."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        tensors = load_file(path)
    except (OSError, ValueError, SafetensorError) as error:
        raise JpHwError(f"{path} cannot be read ({error}): train or copy it again") from error
    _check(tensors, path)
    return tensors


def _check(tensors: Mapping[str, NDArray[Any]], path: Path) -> None:
    """Refuse an empty set of tensors, values that are not finite, and all-zero weights."""
    if not tensors:
        raise JpHwError(f"{path} holds no tensors")
    for name, value in tensors.items():
        if not np.isfinite(value).all():
            raise JpHwError(f"{path}: {name} holds NaN or infinite values: train again")
        if name.endswith("weight") and not value.any():
            raise JpHwError(f"{path}: {name} is all zero: train again with a higher density")


def _save_split(path: Path, split: Split) -> None:
    """Write images and labels as a compressed npz."""
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("wb") as file:
        np.savez_compressed(file, images=split.images, labels=split.labels)
    temporary.replace(path)


def _split(path: Path, shape: tuple[int, int, int], classes: int) -> Split:
    """Read and check images and labels."""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            images, labels = file["images"], file["labels"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise JpHwError(f"{path} cannot be read ({error}): train or copy it again") from error
    good = images.dtype == np.uint8 and images.ndim == 4 and images.shape[1:] == shape
    if not good or labels.shape != images.shape[:1] or not len(labels):
        raise JpHwError(f"{path} holds no uint8 images of {shape} with a label each")
    if labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() >= classes:
        raise JpHwError(f"{path} holds labels outside 0..{classes - 1}")
    return Split(images, labels.astype(np.int64))
