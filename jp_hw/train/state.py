"""Everything that changes during a run, and its way into and out of a checkpoint."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from jp_hw import models
from jp_hw.errors import JpHwError
from jp_hw.nn import Winner, winners
from jp_hw.train import checkpoint, pruning
from jp_hw.train.config import STAGES, TrainConfig
from jp_hw.train.pruning import InputMoments


@dataclass
class RunState:
    """A run between two epochs: ``epoch`` epochs of stage number ``stage`` are done."""

    config: TrainConfig
    model: nn.Sequential
    layers: dict[str, nn.Module]
    optimizer: torch.optim.Optimizer
    moments: dict[str, InputMoments]
    stage: int = 0
    epoch: int = 0
    teacher: dict[str, Tensor] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)

    @property
    def done(self) -> bool:
        """Whether all stages are finished."""
        return self.stage == len(STAGES)

    @property
    def winners(self) -> list[Winner]:
        """The Winner modules in processing order; the first is the input's."""
        return list(winners(self.model).values())


def fresh(config: TrainConfig) -> RunState:
    """The state before the first epoch: seeds torch's generator, then initializes the model."""
    torch.manual_seed(config.seed)
    spec = models.spec(config.model)
    model = models.build(config.model)
    layers = pruning.mac_layers(model, spec.mac_layers)
    pruning.attach(layers)
    moments = {
        name: InputMoments.of(pruning.fanout(layer).numel()) for name, layer in layers.items()
    }
    return RunState(config, model, layers, new_optimizer(config, model, 0), moments)


def new_optimizer(config: TrainConfig, model: nn.Module, stage: int) -> torch.optim.Optimizer:
    """The configured optimizer, without state, at the learning rate of a stage."""
    lr = config.stage(STAGES[stage]).lr
    if config.optimizer == "sgd":
        return torch.optim.SGD(model.parameters(), lr, momentum=0.9, nesterov=True)
    if config.optimizer == "adadelta":
        return torch.optim.Adadelta(model.parameters(), lr)
    return torch.optim.Adam(model.parameters(), lr)


def to_checkpoint(state: RunState) -> checkpoint.Checkpoint:
    """All of a state but its config, with the state of torch's generator."""
    tensors = {f"model.{key}": value for key, value in state.model.state_dict().items()}
    tensors |= {f"teacher.{key}": value for key, value in state.teacher.items()}
    optimizer = checkpoint.flatten_optimizer(state.optimizer.state_dict()["state"])
    tensors |= {f"optimizer.{key}": value for key, value in optimizer.items()}
    for name, moments in state.moments.items():
        tensors |= {f"square.{name}": moments.square, f"alive.{name}": moments.alive}
    tensors["rng"] = torch.get_rng_state()
    data = {"stage": state.stage, "epoch": state.epoch, "history": state.history}
    return checkpoint.Checkpoint(tensors, data)


def from_checkpoint(config: TrainConfig, saved: checkpoint.Checkpoint) -> RunState:
    """The state that was saved, with torch's generator as it was then.

    Raise JpHwError when the checkpoint is not one of this model.
    """

    def part(prefix: str) -> dict[str, Tensor]:
        length = len(prefix) + 1
        return {k[length:]: v for k, v in saved.tensors.items() if k.startswith(f"{prefix}.")}

    state = fresh(config)
    try:
        state.model.load_state_dict(part("model"))
        state.teacher = part("teacher")
        state.stage, state.epoch = int(saved.data["stage"]), int(saved.data["epoch"])
        state.history = list(saved.data["history"])
        if not state.done:
            state.optimizer = new_optimizer(config, state.model, state.stage)
        groups = state.optimizer.state_dict()["param_groups"]
        restored = checkpoint.unflatten_optimizer(part("optimizer"))
        state.optimizer.load_state_dict({"state": restored, "param_groups": groups})
        for name, moments in state.moments.items():
            moments.square = saved.tensors[f"square.{name}"]
            moments.alive = saved.tensors[f"alive.{name}"]
        torch.set_rng_state(saved.tensors["rng"])
    except (KeyError, ValueError, RuntimeError) as error:
        raise JpHwError("the checkpoint is not one of this model: train in a new folder") from error
    pruning.refresh(state.layers)
    return state
