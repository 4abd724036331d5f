"""Weight masks: what a weight is worth, how many remain at a step, and which can never matter.

Masks follow ``torch.nn.utils.prune``: a pruned layer has ``weight_orig`` and the buffer
``weight_mask`` (1 = kept), and computes ``weight`` from them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from jp_hw.errors import JpHwError
from jp_hw.train.balance import balanced
from jp_hw.train.channels import best, capped


def weight_of(layer: nn.Module) -> Tensor:
    """The effective (masked) weight of a Linear or Conv2d layer."""
    weight = layer.weight
    if not isinstance(weight, Tensor):
        raise JpHwError(f"layer {type(layer).__name__} has no weight tensor")
    return weight


def mask_of(layer: nn.Module) -> Tensor:
    """The float mask buffer of a pruned layer, 1 = kept; changing it in place prunes."""
    mask = layer.weight_mask
    if not isinstance(mask, Tensor):
        raise JpHwError(f"layer {type(layer).__name__} has no weight mask: attach masks first")
    return mask


def attach(layers: Mapping[str, nn.Module]) -> None:
    """Give every layer a mask: of ones, or the one that torch.nn.utils.prune gave it before."""
    for layer in layers.values():
        if not isinstance(getattr(layer, "weight_mask", None), Tensor):
            prune.identity(layer, "weight")  # type: ignore[no-untyped-call]


def fold(layers: Mapping[str, nn.Module]) -> None:
    """Write the masks into the weights and remove them."""
    for layer in layers.values():
        prune.remove(layer, "weight")  # type: ignore[no-untyped-call]


def refresh(layers: Mapping[str, nn.Module]) -> None:
    """Recompute ``weight`` after masks or ``weight_orig`` changed outside of a forward pass."""
    for layer in layers.values():
        original = layer.weight_orig
        assert isinstance(original, Tensor)
        layer.weight = original.detach() * mask_of(layer)


def groups_of(layer: nn.Module) -> int:
    """Groups of a convolution; 1 for a Linear layer."""
    return int(getattr(layer, "groups", 1))


def per_input(values: Tensor, layer: nn.Module) -> Tensor:
    """Sum a tensor of a layer's weight shape per input channel: float (input channels,)."""
    groups = groups_of(layer)
    return (
        values.reshape(groups, values.shape[0] // groups, values.shape[1], -1).sum((1, 3)).flatten()
    )


def fanout(layer: nn.Module) -> Tensor:
    """Surviving weights that each input channel of a layer owns: float (input channels,)."""
    return per_input(mask_of(layer), layer)


@dataclass
class InputMoments:
    """Running statistics of a layer's input per channel: E[a^2] and P(a != 0), float (C,)."""

    square: Tensor
    alive: Tensor

    @classmethod
    def of(cls, channels: int, device: str = "cpu") -> "InputMoments":
        """Before any data: every channel alike."""
        return cls(torch.ones(channels, device=device), torch.ones(channels, device=device))

    def update(self, a: Tensor, momentum: float = 0.99) -> None:
        """Move towards the statistics of a batch (N, C, ...)."""
        others = [axis for axis in range(a.dim()) if axis != 1]
        square, alive = a.detach().square().mean(others), (a != 0).float().mean(others)
        self.square.mul_(momentum).add_(square, alpha=1 - momentum)
        self.alive.mul_(momentum).add_(alive, alpha=1 - momentum)

    def conditional_rms(self) -> Tensor:
        """rms(a | a != 0) per channel, float (C,)."""
        return (self.square / self.alive.clamp(min=1e-4)).sqrt()


def cubic(final: float, progress: float) -> float:
    """Density at a progress 0..1: from 1 to ``final`` with a cubic end (arXiv 1710.01878)."""
    return final + (1.0 - final) * (1.0 - min(1.0, progress)) ** 3


def weight_scores(layer: nn.Module, moments: InputMoments | None) -> Tensor:
    """What each weight is worth, float of the weight's shape, 0 where it is pruned already.

    |w|, or with moments |w| * rms(a | a != 0) of the weight's input channel.
    """
    score = weight_of(layer).detach().abs()
    if moments is None:
        return score
    return score * per_weight(moments.conditional_rms(), score, layer)


def prune_to(
    layer: nn.Module,
    score: Tensor,
    density: float,
    channels: float = 1.0,
    balance: int = 1,
    cost: Tensor | None = None,
    cap: float = 0.0,
) -> None:
    """Keep the highest scores: ``density`` of all weights, in ``channels`` of the inputs.

    Input channels are ranked by the energy (sum of squared scores) of their weights. Weights
    pruned before stay pruned; ties are cut, so the count is exact; with ``balance`` groups it is
    the nearest multiple (see ``balance.balanced``), and with a ``cap`` on the output channels, which
    needs each weight's ``cost``, what costs no more MACs (see ``channels.capped``).
    """
    mask = mask_of(layer)
    if channels < 1.0:
        energy = per_input(score.square(), layer)
        chosen = torch.zeros_like(energy)
        chosen[energy.topk(max(1, round(channels * energy.numel()))).indices] = 1.0
        score = score * per_weight(chosen, score, layer)
    count = max(1, round(density * score.numel()))
    if balance > 1:
        mask.copy_(balanced(score, groups_of(layer), density, balance))
    elif cap:
        assert cost is not None
        mask.copy_(capped(score, cost, count, cap))
    else:
        mask.copy_(best(score, count))


def per_weight(per_channel: Tensor, like: Tensor, layer: nn.Module) -> Tensor:
    """Spread values (input channels,) to the shape of a weight tensor (out, in/groups, ...)."""
    groups = groups_of(layer)
    rows = per_channel.reshape(groups, 1, -1).expand(-1, like.shape[0] // groups, -1)
    rows = rows.reshape(like.shape[0], like.shape[1], *[1] * (like.dim() - 2))
    return rows.expand_as(like)


def prune_inputs(layer: nn.Module, kept: Tensor) -> None:
    """Prune all weights of the input channels where ``kept`` (input channels,) is 0."""
    mask = mask_of(layer)
    mask.mul_(per_weight(kept, mask, layer))
