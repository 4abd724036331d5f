"""One epoch of each stage: what is on, what is pruned, what is calibrated."""

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from jp_hw import models
from jp_hw.errors import JpHwError
from jp_hw.nn import Mode, Winner
from jp_hw.train import losses, pruning
from jp_hw.train.config import STAGES, StageName, TrainConfig
from jp_hw.train.data import Batches
from jp_hw.train.measure import Inputs
from jp_hw.train.state import RunState, new_optimizer

HIDDEN_MODE: dict[StageName, Mode] = {
    "dense": "off",
    "prune": "off",
    "dynamic": "dynamic",
    "static": "static",
}
Tick = Callable[[float], None]
CALIBRATION_BATCH = 1000


def enter(state: RunState) -> None:
    """Prepare the stage that ``state.stage`` names: modes, and an optimizer at its first epoch."""
    set_modes(state, STAGES[state.stage])
    if state.epoch == 0:
        state.optimizer = new_optimizer(state.config, state.model, state.stage)


def set_modes(state: RunState, name: StageName) -> None:
    """Put the Winners into a stage's modes and rates; the input's threshold spares the baseline."""
    first, *hidden = state.winners
    theta = state.config.input_theta
    first.theta.fill_(theta)
    first.set_mode("static" if theta and name != "dense" else "off")
    for module, rate in zip(hidden, state.config.winner_rates, strict=True):
        module.rate = rate
        module.dropout = state.config.dropout and name == "dynamic"
        module.set_mode(HIDDEN_MODE[name])


def run_epoch(state: RunState, batches: Batches, tick: Tick) -> float:
    """Train one epoch of the current stage and return its mean loss.

    ``tick`` is called after each step with the loss. Raise JpHwError when the loss is not
    finite; the state is then spoilt, and the last checkpoint is the one to go on from.
    """
    name, config = STAGES[state.stage], state.config
    stage = config.stage(name)
    teacher = _teacher(state)
    state.model.train()
    total, steps = 0.0, len(batches)
    with Inputs(state.layers) as inputs:
        for step, (x, y) in enumerate(batches):
            progress = (state.epoch * steps + step) / (stage.epochs * steps)
            changes_masks = name == "prune" and (step + 1) % min(config.prune_every, steps) == 0
            for group in state.optimizer.param_groups:
                group["lr"] = stage.lr_at(progress)
            loss = _loss(state, teacher, inputs, x, y)
            value = float(loss.detach())
            if not math.isfinite(value):
                raise JpHwError(
                    f"loss is {value} in stage {name}, epoch {state.epoch + 1}: use a lower "
                    "learning rate; the last checkpoint is kept"
                )
            state.optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            state.optimizer.step()
            if changes_masks:
                _prune(state, (state.epoch * steps + step + 1) / (stage.epochs * steps))
            total += value
            tick(value)
    return total / steps


def leave_epoch(state: RunState, calibration: Tensor) -> None:
    """After an epoch: count it, clean up masks, recalibrate, and move on to the next stage.

    ``calibration``: float images (N, C, H, W) from the training set.
    """
    name = STAGES[state.stage]
    stage = state.config.stage(name)
    state.epoch += 1
    if name == "prune" and state.epoch == stage.epochs:
        _prune(state, 1.0)
    if name != "dense":
        pruning.remove_dead(state.layers)
    else:
        pruning.refresh(state.layers)
    if name == "static" and state.epoch <= state.config.recalibrate_share * stage.epochs:
        calibrate(state, calibration)
    if state.epoch == stage.epochs:
        if name == "dense":
            state.teacher = {k: v.clone() for k, v in _plain(state.model.state_dict()).items()}
        if name == "dynamic":
            calibrate(state, calibration)
        state.stage, state.epoch = state.stage + 1, 0


@torch.no_grad()
def calibrate(state: RunState, images: Tensor) -> list[float]:
    """Set the hidden Winners' thetas one after the other, each behind calibrated ones."""
    hidden = state.winners[1:]
    for module in hidden:
        module.set_mode("off")
    state.model.eval()
    thetas = []
    for module in hidden:
        thetas.append(module.calibrate(_inputs_of(state.model, module, images)))
        module.set_mode("static")
    return thetas


def _inputs_of(model: nn.Module, module: Winner, images: Tensor) -> Iterable[Tensor]:
    """A Winner's inputs while the model runs over images, batch by batch."""
    with Inputs({"winner": module}) as inputs:
        for start in range(0, len(images), CALIBRATION_BATCH):
            model(images[start : start + CALIBRATION_BATCH])
            yield inputs["winner"]


def _plain(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """A state dict with masks folded: ``weight_orig`` and ``weight_mask`` become ``weight``."""
    plain = {}
    for key, value in tensors.items():
        if key.endswith("weight_orig"):
            plain[key.removesuffix("_orig")] = value * tensors[key.removesuffix("_orig") + "_mask"]
        elif not key.endswith("weight_mask"):
            plain[key] = value
    return plain


def _teacher(state: RunState) -> nn.Module | None:
    """The dense baseline in eval mode, all Winners off, where distillation needs it."""
    if not state.teacher or not state.config.distill:
        return None
    return dense_model(state.config, state.teacher)


def dense_model(config: TrainConfig, tensors: dict[str, Tensor]) -> nn.Sequential:
    """The dense baseline from its tensors, in eval mode; its Winners are off."""
    generator = torch.get_rng_state()  # building draws initial weights: leave no trace of it
    model = models.build(config.model)
    torch.set_rng_state(generator)
    model.load_state_dict(tensors)
    return model.eval()


def _loss(
    state: RunState, teacher: nn.Module | None, inputs: Inputs, x: Tensor, y: Tensor
) -> Tensor:
    """Forward pass and loss of one batch; updates the input moments on the way."""
    config, pruned = state.config, STAGES[state.stage] != "dense"
    logits = state.model(x)
    with torch.no_grad():
        wanted = teacher(x) if teacher else None
    loss = losses.distilled(logits, y, wanted, config.distill, config.temperature)
    if not pruned:
        return loss
    for index, (name, layer) in enumerate(state.layers.items()):
        if index and config.mac_penalty:
            macs = losses.expected_macs(inputs[name], pruning.fanout(layer))
            loss = loss + config.mac_penalty * macs
        if STAGES[state.stage] == "prune":
            state.moments[name].update(inputs[name])
    return loss


@torch.no_grad()
def _prune(state: RunState, progress: float) -> None:
    """After a step: set the masks that the schedule asks for at a progress of the prune stage."""
    config = state.config
    share = progress / config.prune_share
    pruning.refresh(state.layers)
    for index, (name, layer) in enumerate(state.layers.items()):
        moments = state.moments[name] if config.criterion == "conditional" else None
        score = pruning.weight_scores(layer, moments)
        density = pruning.cubic(config.densities[index], share)
        channels = pruning.cubic(config.input_channels, share) if index == 0 else 1.0
        pruning.prune_to(layer, score, density, channels)
