"""Everything that changes during a run, and its way into and out of a checkpoint."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from jp_hw import models
from jp_hw.errors import JpHwError
from jp_hw.nn import Winner, winners
from jp_hw.train import budget, checkpoint, initial, optimizers, pruning
from jp_hw.train.config import STAGES, TrainConfig
from jp_hw.train.data import placed
from jp_hw.train.pruning import InputMoments


@dataclass
class RunState:
    """A run between two epochs: ``epoch`` epochs of stage number ``stage`` are done.

    ``uses``: per layer how often each kernel position is used per image (``budget.uses``);
    ``rates``: winner rates of the hidden Winners; ``analyses``: of sensitivity, by stage;
    ``baseline``: tensors of the dense network; ``teacher``: another run's network that teaches.
    """

    config: TrainConfig
    model: nn.Module
    layers: dict[str, nn.Module]
    uses: dict[str, budget.Uses]
    optimizer: torch.optim.Optimizer
    moments: dict[str, InputMoments]
    stage: int = 0
    epoch: int = 0
    rates: list[float] = field(default_factory=list)
    baseline: dict[str, Tensor] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    analyses: dict[str, Any] = field(default_factory=dict)
    teacher: nn.Module | None = None

    @property
    def done(self) -> bool:
        """Whether all stages are finished."""
        return self.stage == len(STAGES)

    @property
    def input_winner(self) -> Winner:
        """The Winner in front of the first layer."""
        return next(iter(winners(self.model).values()))

    @property
    def hidden(self) -> dict[str, Winner]:
        """The Winners behind hidden layers by name, in processing order."""
        return dict(list(winners(self.model).items())[1:])

    @property
    def dense_macs(self) -> int:
        """MACs per image of the network without any pruning, padding included."""
        return sum(
            self.uses[name].outputs * pruning.weight_of(layer).numel()
            for name, layer in self.layers.items()
        )


def network(config: TrainConfig) -> nn.Module:
    """A freshly initialized network on the run's device."""
    return placed(models.build(config.model, config.model_args), config.device)


def fresh(config: TrainConfig, init: Path | None = None) -> RunState:
    """The state before the first epoch: seeds torch's generator, then initializes the model.

    init: a file of weights to start from.
    """
    torch.manual_seed(config.seed)
    model = network(config)
    if init is not None:
        initial.load_into(model, initial.read(init), init)
    layers = models.mac_layers(model)
    pruning.attach(layers)
    height, width, channels = models.spec(config.model).input_shape
    image = torch.zeros(1, channels, height, width, device=config.device)
    uses = budget.uses(model, layers, image)
    moments = {
        name: InputMoments.of(pruning.fanout(layer).numel(), config.device)
        for name, layer in layers.items()
    }
    state = RunState(config, model, layers, uses, new_optimizer(config, model, 0), moments)
    state.rates = list(config.winner_rates or (1.0,) * len(state.hidden))
    return state


def new_optimizer(config: TrainConfig, model: nn.Module, stage: int) -> torch.optim.Optimizer:
    """The configured optimizer, without state, at the learning rate of a stage."""
    return optimizers.new_optimizer(config, model, config.stage(STAGES[stage]).lr)


def to_checkpoint(state: RunState) -> checkpoint.Checkpoint:
    """All of a state but its config, with the state of torch's generator."""
    tensors = {f"model.{key}": value for key, value in state.model.state_dict().items()}
    tensors |= {f"{initial.BASELINE}{key}": value for key, value in state.baseline.items()}
    optimizer = checkpoint.flatten_optimizer(state.optimizer.state_dict()["state"])
    tensors |= {f"optimizer.{key}": value for key, value in optimizer.items()}
    for name, moments in state.moments.items():
        tensors |= {f"square.{name}": moments.square, f"alive.{name}": moments.alive}
    tensors["rng"] = torch.get_rng_state()
    data = {
        "stage": state.stage,
        "epoch": state.epoch,
        "rates": state.rates,
        "history": state.history,
        "analyses": state.analyses,
    }
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
        state.baseline = part(initial.BASELINE.rstrip("."))
        state.stage, state.epoch = int(saved.data["stage"]), int(saved.data["epoch"])
        state.rates = [float(rate) for rate in saved.data.get("rates", state.rates)]
        state.history = list(saved.data["history"])
        state.analyses = dict(saved.data.get("analyses", {}))
        if not state.done:
            state.optimizer = new_optimizer(config, state.model, state.stage)
        groups = state.optimizer.state_dict()["param_groups"]
        restored = checkpoint.unflatten_optimizer(part("optimizer"))
        state.optimizer.load_state_dict({"state": restored, "param_groups": groups})
        for name, moments in state.moments.items():
            moments.square = saved.tensors[f"square.{name}"].to(config.device)
            moments.alive = saved.tensors[f"alive.{name}"].to(config.device)
        torch.set_rng_state(saved.tensors["rng"])
    except (KeyError, ValueError, RuntimeError) as error:
        raise JpHwError("the checkpoint is not one of this model: train in a new folder") from error
    pruning.refresh(state.layers)
    return state
