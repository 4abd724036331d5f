"""One epoch of each stage: what is on, what is pruned, what is calibrated."""

import math
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from jp_hw.errors import JpHwError
from jp_hw.nn import Mode, Winner
from jp_hw.train import budget, losses, pruning, sensitivity, wiring
from jp_hw.train.config import STAGES, StageName, TrainConfig
from jp_hw.train.data import Batches, device_of
from jp_hw.train.measure import Inputs
from jp_hw.train.pruning import mask_of
from jp_hw.train.qat import FakeQuantize
from jp_hw.train.state import RunState, network, new_optimizer
from jp_hw.train.team import ALONE, Team

Tick = Callable[[float], None]
CALIBRATION_BATCH = 1000
QUANTIZE_IMAGES = 500
TRIM_STEP, TRIM_STEPS = 0.998, 50
"""Where trimmed weights have left too many MACs, what is aimed at falls at least so far, so often."""


def enter(state: RunState) -> None:
    """Prepare the stage that ``state.stage`` names: modes, and an optimizer at its first epoch."""
    set_modes(state, STAGES[state.stage])
    if state.epoch == 0:
        state.optimizer = new_optimizer(state.config, state.model, state.stage)


def set_modes(state: RunState, name: StageName) -> None:
    """Put the Winners into a stage's modes and rates; the input's threshold spares the baseline."""
    config, first = state.config, state.input_winner
    first.theta.fill_(config.input_theta)
    first.set_mode("static" if config.input_theta and name != "dense" else "off")
    for module, rate in zip(state.hidden.values(), state.rates, strict=True):
        module.rate = rate
        module.dropout = config.dropout and name == "dynamic"
        module.set_mode(hidden_mode(config, name))


def hidden_mode(config: TrainConfig, name: StageName) -> Mode:
    """The mode of the hidden Winners in a stage."""
    if name == "dynamic":
        return "sampled" if config.sampled else "dynamic"
    return "static" if name == "static" else "off"


def quantized(state: RunState, images: Tensor) -> AbstractContextManager[object]:
    """Quantization in the forward pass where the stage has it; scales from float images."""
    bits = state.config.quantize if STAGES[min(state.stage, 3)] == "static" else 0
    if not bits:
        return nullcontext()
    return FakeQuantize(state.model, state.layers, state.hidden, bits, images[:QUANTIZE_IMAGES])


def run_epoch(state: RunState, batches: Batches, tick: Tick, team: Team = ALONE) -> float:
    """Train one epoch of the current stage and return its mean loss.

    ``tick`` is called after each step with the loss. Raise JpHwError when the loss is not
    finite; the state is then spoilt, and the last checkpoint is the one to go on from.
    """
    name, config = STAGES[state.stage], state.config
    stage = config.stage(name)
    teacher = _teacher(state)
    model = team.wrap(state.model)
    model.train()
    total, steps = 0.0, len(batches)
    with Inputs(state.layers) as inputs:
        for step, (x, y) in enumerate(batches):
            progress = (state.epoch * steps + step) / (stage.epochs * steps)
            for group in state.optimizer.param_groups:
                group["lr"] = stage.lr_at(progress)
            x, y = (team.share(part).to(config.device) for part in (x, y))
            loss = _loss(state, model, teacher, inputs, x, y, step)
            value = team.mean(float(loss.detach()))
            if not math.isfinite(value):
                raise JpHwError(
                    f"loss is {value} in stage {name}, epoch {state.epoch + 1}: use a lower "
                    "learning rate; the last checkpoint is kept"
                )
            state.optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            state.optimizer.step()
            if name == "prune" and (step + 1) % min(config.prune_every, steps) == 0:
                team.agree(state)
                prune(state, (state.epoch * steps + step + 1) / (stage.epochs * steps))
            total += value
            tick(value)
    team.agree(state)
    return total / steps


def leave_epoch(state: RunState, calibration: Tensor, held: tuple[Tensor, Tensor]) -> None:
    """After an epoch: count it, clean up masks, recalibrate, and move on to the next stage.

    ``calibration``: float images (N, C, H, W) from the training set; ``held``: such images and
    their labels that are not trained on.
    """
    name = STAGES[state.stage]
    stage = state.config.stage(name)
    state.epoch += 1
    if name == "prune" and state.epoch == stage.epochs:
        prune(state, 1.0)
    if name != "dense" and state.config.balance == 1:
        wiring.remove_dead(state.model, state.layers)
    else:
        pruning.refresh(state.layers)
    if name == "static" and state.epoch <= state.config.recalibrate_share * stage.epochs:
        calibrate(state, calibration)
    if state.epoch == stage.epochs:
        _leave_stage(state, name, calibration, held)
        state.stage, state.epoch = state.stage + 1, 0


def _leave_stage(
    state: RunState, name: StageName, calibration: Tensor, held: tuple[Tensor, Tensor]
) -> None:
    """What the end of a stage leaves to the next ones."""
    config = state.config
    if name == "dense":
        state.baseline = {k: v.clone() for k, v in _plain(state.model.state_dict()).items()}
    if name in ("dense", "prune") and config.sensitivity:
        images, labels = (part[: config.sensitivity] for part in held)
        moments = state.moments if config.criterion == "conditional" and name == "prune" else None
        found = sensitivity.analyze(
            state.model, state.layers, state.hidden, images, labels, moments
        )
        state.analyses[name] = found.to_json()
        if name == "prune" and config.winner_rates is None:
            state.rates = found.least_rates(config.winner_drop)
    if name == "dynamic":
        calibrate(state, calibration)


@torch.no_grad()
def calibrate(state: RunState, images: Tensor) -> list[float]:
    """Set the hidden Winners' thetas one after the other, each behind calibrated ones."""
    hidden = list(state.hidden.values())
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
            model(images[start : start + CALIBRATION_BATCH].to(device_of(model)))
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
    """Who teaches, in eval mode, Winners off: the teacher or, after its stage, the baseline."""
    if state.teacher is not None:
        return state.teacher
    if not state.baseline or not state.config.distill:
        return None
    return dense_model(state.config, state.baseline)


def dense_model(config: TrainConfig, tensors: dict[str, Tensor]) -> nn.Module:
    """The dense baseline from its tensors, in eval mode; its Winners are off."""
    with torch.random.fork_rng(devices=[]):  # building draws initial weights
        model = network(config)
    model.load_state_dict(tensors)
    return model.eval()


def _loss(
    state: RunState,
    model: nn.Module,
    teacher: nn.Module | None,
    inputs: Inputs,
    x: Tensor,
    y: Tensor,
    step: int,
) -> Tensor:
    """Forward pass and loss of one batch; updates the input moments on the way."""
    config, name = state.config, STAGES[state.stage]
    with torch.autocast(x.device.type, torch.bfloat16, config.precision == "bfloat16"):
        logits = model(x).float()
        with torch.no_grad():
            wanted = teacher(x).float() if teacher else None
    loss = losses.distilled(
        logits, y, wanted, config.distill, config.temperature, config.label_smoothing
    )
    if name == "dense":
        return loss
    by_channel = config.mac_measure == "channel"
    estimate = losses.expected_macs_by_channel if by_channel else losses.expected_macs
    for index, (layer_name, layer) in enumerate(state.layers.items()):
        a = inputs[layer_name]
        if index and config.mac_penalty and (step + index) % config.mac_every == 0:
            cost = budget.token_costs(layer, state.uses[layer_name])
            loss = loss + config.mac_every * config.mac_penalty * estimate(a.float(), cost)
        if name == "prune" and step % config.moments_every == 0:
            state.moments[layer_name].update(a, 0.99**config.moments_every)
    return loss


@torch.no_grad()
def prune(state: RunState, progress: float) -> None:
    """After a step: set the masks that the schedule asks for at a progress of the prune stage."""
    config = state.config
    share = progress / config.prune_share
    pruning.refresh(state.layers)
    scores, costs = _scores(state, state.moments), _costs(state, state.moments)
    densities = _densities(state, scores, costs, share)
    channels = pruning.cubic(config.input_channels, share)
    settings = zip(state.layers.items(), densities, _caps(state), strict=True)
    for index, ((name, layer), density, cap) in enumerate(settings):
        mask = mask_of(layer)
        falls = round(density * mask.numel()) < int(mask.sum())  # else caps would wear it away
        part, cap = 1.0 if index else channels, cap if falls else 0.0
        pruning.prune_to(layer, scores[name], density, part, config.balance, costs[name], cap)


def _caps(state: RunState) -> tuple[float, ...]:
    """What the config bounds each layer's output channels by, 0 for nothing."""
    return state.config.channel_caps or (0.0,) * len(state.layers)


def _shares(state: RunState) -> dict[str, float]:
    """The share of all MACs of each layer that has one of its own."""
    shares = state.config.mac_shares or (0.0,) * len(state.layers)
    return {name: share for name, share in zip(state.layers, shares, strict=True) if share}


@torch.no_grad()
def trim(state: RunState, images: Tensor) -> int:
    """Prune what exceeds the share of MACs that the config asks for; return how many weights went.

    ``images``: float calibration images (N, C, H, W). MACs are counted on them with the Winners as
    they are; a layer keeps at least ``density_floor`` of its weights. No-op where nothing exceeds, but
    that channels come under their caps and layers under their shares again. Balanced masks stay so:
    their weights go in whole sets, until that is enough.
    """
    config = state.config
    assert config.macs is not None
    moments = _moments(state, images)
    scores, costs = _scores(state, moments), _costs(state, moments)

    def macs() -> float:
        return sum(float((costs[n] * mask_of(x)).sum()) for n, x in state.layers.items())

    def weights() -> int:
        return sum(int(mask_of(layer).sum()) for layer in state.layers.values())

    wanted = aim = config.macs * state.dense_macs
    before = weights()
    shaped = any(_caps(state)) or any(_shares(state).values())
    for _ in range(TRIM_STEPS):
        if macs() <= wanted and not shaped:
            break
        shaped = False
        own = {
            name: min(share * aim, float((costs[name] * mask_of(state.layers[name])).sum()))
            for name, share in _shares(state).items()
        }
        shares = budget.densities(scores, costs, aim, config.density_floor, own=own)
        for (name, layer), share, cap in zip(
            state.layers.items(), shares, _caps(state), strict=True
        ):
            pruning.prune_to(
                layer, scores[name], share, balance=config.balance, cost=costs[name], cap=cap
            )
        aim *= min(wanted / macs(), TRIM_STEP)
    pruning.refresh(state.layers)
    if config.balance == 1:
        wiring.remove_dead(state.model, state.layers)
    return before - weights()


def _moments(state: RunState, images: Tensor) -> dict[str, pruning.InputMoments]:
    """Statistics of every layer's input, the mean over all images, in eval mode."""
    state.model.eval()
    device = device_of(state.model)
    found = {
        name: pruning.InputMoments.of(pruning.fanout(layer).numel(), str(device))
        for name, layer in state.layers.items()
    }
    with Inputs(state.layers) as inputs:
        for start in range(0, len(images), CALIBRATION_BATCH):
            batch = images[start : start + CALIBRATION_BATCH].to(device)
            state.model(batch)
            for name, moments in found.items():
                moments.update(inputs[name], start / (start + len(batch)))
    return found


def _scores(state: RunState, moments: dict[str, pruning.InputMoments]) -> dict[str, Tensor]:
    """What each weight is worth by the config's criterion, layer by layer."""
    conditional = state.config.criterion == "conditional"
    return {
        name: pruning.weight_scores(layer, moments[name] if conditional else None)
        for name, layer in state.layers.items()
    }


def _costs(state: RunState, moments: dict[str, pruning.InputMoments]) -> dict[str, Tensor]:
    """Expected MACs per image of each weight, were it kept, layer by layer."""
    return {
        name: budget.weight_costs(layer, state.uses[name], moments[name])
        for name, layer in state.layers.items()
    }


def _densities(
    state: RunState, scores: dict[str, Tensor], costs: dict[str, Tensor], share: float
) -> list[float]:
    """What the schedule leaves of each layer's weights."""
    config = state.config
    if config.macs is None:
        return [pruning.cubic(density, share) for density in config.densities or ()]
    whole = {name: float(cost.sum()) for name, cost in costs.items()}
    wanted = config.macs * state.dense_macs

    def left(whole: float, wanted: float) -> float:
        return whole * pruning.cubic(min(1.0, wanted / whole), share) if whole else 0.0

    own = {name: left(whole[name], part * wanted) for name, part in _shares(state).items()}
    macs = left(sum(whole.values()), wanted)
    stored = math.inf
    if config.weights is not None:
        weights = sum(score.numel() for score in scores.values())
        stored = weights * pruning.cubic(config.weights, share)
    return budget.densities(scores, costs, macs, config.density_floor, stored, own)
