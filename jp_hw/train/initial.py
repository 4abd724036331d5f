"""Weights that a dense stage starts from, in place of random ones.

Training a pruned network again without its masks, from where it is, is the third step of
dense-sparse-dense training (Han et al., arXiv 1607.04381): it reaches a better dense network than as
many epochs from random weights.
"""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from jp_hw import zoo
from jp_hw.errors import JpHwError

FILE = "init.safetensors"
"""Their copy in a run folder."""


def source(name: str | Path) -> Path:
    """The file of weights of a zoo network, an artifact, a finished run, or a file itself.

    Raise JpHwError where there is none.
    """
    path = Path(name)
    return path if path.suffix == ".safetensors" else zoo.load(name).folder / zoo.TENSORS


def content(path: Path) -> bytes:
    """The file's bytes. Raise JpHwError when it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise JpHwError(f"{path} cannot be read ({error}): give a trained network") from error


def load_into(model: nn.Module, path: Path) -> None:
    """Put the weights of a file into a model. Raise JpHwError, saying why, where they do not fit."""
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise JpHwError(f"{path} cannot be read ({error}): give a trained network") from error
    for name, value in tensors.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise JpHwError(f"{path}: {name} holds NaN or infinite values")
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise JpHwError(f"the weights in {path} do not fit this network: {reason}") from error
