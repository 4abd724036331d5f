"""Another run's dense network, which teaches in all stages in place of the run's own.

Distillation from a larger network (Hinton, Vinyals, Dean, arXiv 1503.02531) also helps the dense
stage, where a network has no baseline of its own yet.
"""

import hashlib
from pathlib import Path

import torch
from torch import nn

from jp_hw import models
from jp_hw.errors import JpHwError
from jp_hw.train import folder, initial
from jp_hw.train.config import Teacher, TrainConfig
from jp_hw.train.data import placed

FILE = "teacher.safetensors"
"""Its copy in a run folder."""


def source(run: str | Path) -> tuple[Teacher, bytes]:
    """The dense network of a run: what it is, and its weights as a safetensors file.

    Raise JpHwError where the folder is no training run, or its dense stage is not finished.
    """
    config = folder.dense_config(Path(run))
    content = initial.dense_network(Path(run) / initial.DENSE)
    digest = hashlib.sha256(content).hexdigest()
    return Teacher(model=config.model, model_args=config.model_args, digest=digest), content


def check(config: TrainConfig) -> None:
    """Raise JpHwError where a config's teacher cannot take its images or has other classes."""
    if config.teacher is None:
        return
    height, width, channels = models.spec(config.model).input_shape
    image = torch.zeros(1, channels, height, width)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        mine = models.build(config.model, config.model_args).eval()
        theirs = models.build(config.teacher.model, config.teacher.model_args).eval()
        try:
            fits = mine(image).shape == theirs(image).shape
        except RuntimeError:
            fits = False
    if not fits:
        raise JpHwError(
            f"{config.teacher.model} cannot teach {config.model}: "
            "it takes other images, or has other classes"
        )


def load(where: Path, config: TrainConfig) -> nn.Module | None:
    """The teacher in a run folder, in eval mode, its Winners off; None for a run without one."""
    if config.teacher is None:
        return None
    with torch.random.fork_rng(devices=[]):  # building draws initial weights
        model = models.build(config.teacher.model, config.teacher.model_args)
    initial.load_into(model, initial.read(where / FILE), where / FILE)
    return placed(model, config.device).eval()
