"""One file of tensors and one of JSON, replaced atomically, that together resume a run."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from jp_hw.errors import JpHwError

LATEST = "latest.json"


@dataclass(frozen=True)
class Checkpoint:
    """Tensors by name (any dtype) and plain JSON data."""

    tensors: dict[str, Tensor]
    data: dict[str, Any]


def write_text(path: Path, text: str) -> None:
    """Replace a file by text, whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def save(folder: Path, tensors: Mapping[str, Tensor], data: Mapping[str, Any], tag: str) -> None:
    """Write ``state-TAG.safetensors``, then point latest.json at it, then drop older states.

    A reader sees the old pair or the new pair, whenever the process dies. Raise JpHwError when the
    disk is full or not writable; the older checkpoint then still stands.
    """
    name = f"state-{tag}.safetensors"
    try:
        _write(folder, name, tensors, data)
    except (OSError, SafetensorError) as error:
        raise JpHwError(
            f"checkpoint {folder / name} cannot be written ({error}): make room, then run again"
        ) from error
    for old in folder.glob("*state-*.safetensors*"):
        if old.name != name:
            old.unlink(missing_ok=True)


def _write(folder: Path, name: str, tensors: Mapping[str, Tensor], data: Mapping[str, Any]) -> None:
    """Write the tensors under a new name, then latest.json."""
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".{name}.tmp"
    save_file(
        {key: value.detach().contiguous().clone() for key, value in tensors.items()}, temporary
    )
    temporary.replace(folder / name)
    write_text(folder / LATEST, json.dumps({"state": name, "data": dict(data)}, indent=1))


def load(folder: Path) -> Checkpoint | None:
    """The latest checkpoint, or None where there is none yet.

    Raise JpHwError when what is there cannot be read.
    """
    latest = folder / LATEST
    if not latest.is_file():
        return None
    try:
        record = json.loads(latest.read_text(encoding="utf-8"))
        return Checkpoint(load_file(folder / record["state"]), dict(record["data"]))
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise JpHwError(
            f"checkpoint {latest} cannot be read ({error}): start in a new folder"
        ) from error


def flatten_optimizer(state: Mapping[int, Mapping[str, Any]]) -> dict[str, Tensor]:
    """The ``state`` part of an optimizer's state dict as tensors named ``INDEX.KEY``."""
    return {
        f"{index}.{key}": torch.as_tensor(value)
        for index, values in state.items()
        for key, value in values.items()
        if value is not None
    }


def unflatten_optimizer(tensors: Mapping[str, Tensor]) -> dict[int, dict[str, Tensor]]:
    """The inverse of ``flatten_optimizer``."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        index, key = name.split(".", 1)
        state.setdefault(int(index), {})[key] = value
    return state
