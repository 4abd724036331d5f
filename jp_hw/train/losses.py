"""Loss terms: distillation from a teacher, and expected MACs."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

EPSILON = 1e-6


def distilled(
    logits: Tensor,
    labels: Tensor,
    teacher: Tensor | None,
    share: float,
    t: float,
    smoothing: float = 0.0,
) -> Tensor:
    """Cross entropy, a ``share`` of it replaced by distillation at temperature ``t``.

    Source: Hinton, Vinyals, Dean, arXiv 1503.02531. Logits and teacher (N, classes), labels
    int64 (N,), smoothed by ``smoothing`` (arXiv 1512.00567); without a teacher it is the cross
    entropy alone. Scalar.
    """
    hard = functional.cross_entropy(logits, labels, label_smoothing=smoothing)
    if teacher is None or share == 0.0:
        return hard
    soft = functional.kl_div(
        functional.log_softmax(logits / t, 1),
        functional.softmax(teacher / t, 1),
        reduction="batchmean",
    )
    return (1.0 - share) * hard + share * t * t * soft


def expected_macs(a: Tensor, cost: Tensor) -> Tensor:
    """Differentiable estimate of the MACs that activations cause in the next layer, per image.

    ``a``: (N, C, ...); ``cost``: (C,), MACs of one live activation of each input channel. This is
    the Hoyer-square measure of DeepHoyer (arXiv 1908.09979), ``(sum |a|)^2 / sum a^2``, weighted
    by cost: the exact count when all non-zero magnitudes are equal and, unlike an L1 norm, blind
    to activations that shrink while weights grow. It likes a single channel with huge values,
    which ``equalize.equalize`` scales back afterwards. Scalar, mean over the batch.
    """
    spread = cost.reshape(1, -1, *[1] * (a.dim() - 2)).to(a.dtype)
    weighted = (a.abs() * spread).flatten(1).sum(1)
    energy = (a.square() * spread).flatten(1).sum(1)
    return (weighted.square() / (energy + EPSILON)).mean()


def expected_macs_by_channel(a: Tensor, cost: Tensor) -> Tensor:
    """The same estimate with the live activations of each channel counted over the whole batch.

    Scales of channels do not matter at all, so none is favoured; it suits maps, where a channel
    has many values in a batch. Same arguments; scalar, per image.
    """
    result: Tensor = _ChannelHoyer.apply(a, cost.to(a.dtype))  # type: ignore[no-untyped-call]
    return result


class _ChannelHoyer(torch.autograd.Function):
    """``sum_c cost_c * (sum |a_c|)^2 / sum a_c^2 / N``, its gradient in one pass over ``a``."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, cost: Tensor) -> Tensor:
        others = [axis for axis in range(a.dim()) if axis != 1]
        total = a.abs().sum(others)
        energy = a.square().sum(others) + EPSILON
        ctx.save_for_backward(a, total, energy, cost / len(a))
        return (total.square() / energy * cost).sum() / len(a)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        a, total, energy, weight = ctx.saved_tensors
        ratio = 2.0 * gradients[0] * weight * total / energy
        shape = (1, -1, *[1] * (a.dim() - 2))
        rise, fall = ratio.reshape(shape), (ratio * total / energy).reshape(shape)
        return torch.addcmul(a.sign().mul_(rise), a, fall, value=-1.0), None
