"""Densities of all layers at once, from what each weight is worth per MAC that it causes."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from jp_hw.train.measure import Inputs
from jp_hw.train.pruning import InputMoments, mask_of, per_input, per_weight, weight_of

STORAGE_PRICES = (1e-3, 1e6)
"""The least and the highest price of storing a weight that is tried, in MACs per image."""
STORAGE_STEPS = 10
LEAST = 1e-6
"""MACs per image that a weight causes at least: so none is worth infinitely much."""


@dataclass(frozen=True)
class Uses:
    """Per image, of one layer: ``taps``, how often a weight is used at each kernel position (zero
    padding not counted; float (kernel height, kernel width), or (1,) of a Linear layer);
    ``outputs`` and ``inputs``: positions of its maps, 1 for a Linear layer.
    """

    taps: Tensor
    outputs: int = 1
    inputs: int = 1


def uses(model: nn.Module, layers: Mapping[str, nn.Module], image: Tensor) -> dict[str, Uses]:
    """The uses of every layer for an input (1, C, H, W) of any values."""
    training = model.training
    model.eval()
    found = {name: Uses(torch.ones(1, device=image.device)) for name in layers}
    with torch.no_grad(), Inputs(layers) as inputs:
        model(image)
        for name, layer in layers.items():
            if isinstance(layer, nn.Conv2d):
                a = inputs[name]
                size, out = a.shape[2:], layer(a).shape[2:]
                rows, columns = (_taps(layer, axis, size[axis], out[axis]) for axis in (0, 1))
                found[name] = Uses(
                    (rows[:, None] * columns).to(a.device), out.numel(), size.numel()
                )
    model.train(training)
    return found


def _taps(layer: nn.Conv2d, axis: int, size: int, out: int) -> Tensor:
    """Per kernel position along an axis: how many outputs read an input that exists."""
    padding = layer.padding[axis]
    assert isinstance(padding, int)
    places = torch.arange(out) * layer.stride[axis] - padding
    taps = torch.arange(layer.kernel_size[axis]) * layer.dilation[axis]
    read = taps[:, None] + places
    return ((read >= 0) & (read < size)).float().sum(1)


def weight_costs(layer: nn.Module, uses: Uses, moments: InputMoments) -> Tensor:
    """Expected MACs per image that each weight causes, float of the weight's shape."""
    weight = weight_of(layer)
    live = per_weight(moments.alive, weight, layer)
    return live * uses.taps.to(live.device) if weight.dim() == 4 else live


def token_costs(layer: nn.Module, uses: Uses) -> Tensor:
    """Mean MACs of one live activation of each input channel, float (input channels,)."""
    mask = mask_of(layer)
    return per_input(mask * uses.taps / uses.inputs if mask.dim() == 4 else mask, layer)


def densities(
    scores: Mapping[str, Tensor],
    costs: Mapping[str, Tensor],
    macs: float,
    floor: float,
    weights: float = math.inf,
    own: Mapping[str, float] | None = None,
) -> list[float]:
    """Densities that leave ``macs`` expected MACs per image, in the order of the layers.

    ``scores``: what each weight is worth; squared, it is the energy that it gives its layer's
    output per expected MAC. Weights of all layers are ranked by the share of their layer's energy
    that they give per MAC, and taken from the best on while MACs last; a layer in ``own`` takes as many
    as it has there, and the others share what these leave. Every layer keeps at least ``floor`` of its
    weights, the best ones.

    At most about ``weights`` survive: where MACs alone would leave more, storing a weight is
    priced as so many MACs as it takes (a Lagrange multiplier, found by bisection). Where no price is
    enough, layers without a budget of their own leave MACs unused.
    """
    own = own or {}
    pots: list[Pot] = [([name], most) for name, most in own.items()]
    spent = sum(max(most, _least(scores[name], costs[name], floor)) for name, most in own.items())
    pots.append(([name for name in scores if name not in own], macs - spent))
    kept = _kept(scores, costs, pots, floor, 0.0)
    if sum(kept) > weights:
        low, high = STORAGE_PRICES
        for _ in range(STORAGE_STEPS):
            middle = math.sqrt(low * high)
            enough = sum(_kept(scores, costs, pots, floor, middle)) <= weights
            low, high = (low, middle) if enough else (middle, high)
        kept = _kept(scores, costs, pots, floor, high, weights)
    sizes = [score.numel() for score in scores.values()]
    return [max(1, count) / size for count, size in zip(kept, sizes, strict=True)]


Pot = tuple[list[str], float]
"""Layers, and the expected MACs that they share."""


def _kept(
    scores: Mapping[str, Tensor],
    costs: Mapping[str, Tensor],
    pots: list[Pot],
    floor: float,
    storage: float,
    weights: float = math.inf,
) -> list[int]:
    """Weights that each layer keeps where storing one is worth ``storage`` MACs.

    No more than ``weights`` in all, if the last pot's layers can make way.
    """
    kept: dict[str, int] = {}
    for names, macs in pots:
        left = weights - sum(kept.values()) if names == pots[-1][0] else math.inf
        values = [_values(scores[name], costs[name], floor, storage) for name in names]
        if not values:
            continue
        value, price = torch.cat(values), torch.cat([costs[name].flatten() for name in names])
        layer = torch.cat([torch.full_like(v, i, dtype=torch.long) for i, v in enumerate(values)])
        order = value.argsort(descending=True, stable=True)
        order = order[value[order] >= 0]
        fits = price.clamp(min=LEAST)[order].double().cumsum(0) <= macs
        fits &= torch.arange(len(fits), device=fits.device) < left
        counts = torch.bincount(layer[order[fits | value[order].isinf()]], minlength=len(names))
        kept |= dict(zip(names, counts.tolist(), strict=True))
    return [kept[name] for name in scores]


def _least(score: Tensor, cost: Tensor, floor: float) -> float:
    """MACs of the weights that a layer keeps anyway."""
    return float(cost.flatten()[_values(score, cost, floor, 0.0).isinf()].sum())


def _values(score: Tensor, cost: Tensor, floor: float, storage: float) -> Tensor:
    """What a layer's weights are worth per MAC, flat; inf: kept anyway, -1: pruned for good."""
    score, cost = score.flatten(), cost.flatten().clamp(min=LEAST)
    energy = (score.square() * cost).sum().clamp(min=1e-30)
    value = score.square() * (cost / (cost + storage)) / energy
    sure = min(round(floor * len(score)), int((score > 0).sum()))
    if sure:
        value[score.topk(sure).indices] = torch.inf
    value[score == 0] = -1.0
    return value
