"""Weights that a dense stage starts from, in place of random ones.

Training a pruned network again without its masks, from where it is, is the third step of
dense-sparse-dense training (Han et al., arXiv 1607.04381): it reaches a better dense network than as
many epochs from random weights.
"""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import nn

from jp_hw import zoo
from jp_hw.errors import JpHwError
from jp_hw.train import checkpoint

FILE = "init.safetensors"
"""Their copy in a run folder."""
DENSE = "dense"
"""In a run folder: the checkpoint at the end of its dense stage."""
BASELINE = "teacher."
"""Prefix of the dense network's tensors in it."""


def read(name: str | Path) -> bytes:
    """The weights of a zoo network, an artifact, a finished run, RUN/dense, or a safetensors file.

    The content of a safetensors file. Raise JpHwError where there is none, or it cannot be read.
    """
    path = Path(name)
    if path.name == DENSE and (path / checkpoint.LATEST).is_file():
        return dense_network(path)
    file = path if path.suffix == ".safetensors" else zoo.load(name).folder / zoo.TENSORS
    try:
        return file.read_bytes()
    except OSError as error:
        raise JpHwError(f"{file} cannot be read ({error}): give a trained network") from error


def dense_network(folder: Path) -> bytes:
    """The dense network in the checkpoint of a run's dense stage, as a safetensors file."""
    saved = checkpoint.load(folder)
    tensors = {} if saved is None else saved.tensors
    length = len(BASELINE)
    return save({k[length:]: v for k, v in tensors.items() if k.startswith(BASELINE)})


def load_into(model: nn.Module, content: bytes, name: str | Path) -> None:
    """Put the weights of a safetensors file, named in errors, into a model.

    Raise JpHwError, saying why, where they do not fit.
    """
    try:
        tensors = load(content)
    except SafetensorError as error:
        raise JpHwError(f"{name} cannot be read ({error}): give a trained network") from error
    for key, value in tensors.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise JpHwError(f"{name}: {key} holds NaN or infinite values")
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise JpHwError(f"the weights in {name} do not fit this network: {reason}") from error
