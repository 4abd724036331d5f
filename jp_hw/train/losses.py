"""Loss terms: distillation from the dense baseline, and expected MACs."""

from torch import Tensor
from torch.nn import functional


def distilled(
    logits: Tensor, labels: Tensor, teacher: Tensor | None, share: float, t: float
) -> Tensor:
    """Cross entropy, a ``share`` of it replaced by distillation at temperature ``t``.

    Source: Hinton, Vinyals, Dean, arXiv 1503.02531. Logits and teacher (N, classes), labels
    int64 (N,); without a teacher it is the cross entropy alone. Scalar.
    """
    hard = functional.cross_entropy(logits, labels)
    if teacher is None or share == 0.0:
        return hard
    soft = functional.kl_div(
        functional.log_softmax(logits / t, 1),
        functional.softmax(teacher / t, 1),
        reduction="batchmean",
    )
    return (1.0 - share) * hard + share * t * t * soft


def expected_macs(a: Tensor, fanout: Tensor) -> Tensor:
    """Differentiable estimate of the MACs that activations cause in the next layer, per image.

    ``a``: (N, C, ...); ``fanout``: (C,), surviving weights of each input channel. This is the
    Hoyer-square measure of DeepHoyer (arXiv 1908.09979), ``(sum |a|)^2 / sum a^2``, weighted by
    fanout: the exact count when all non-zero magnitudes are equal and, unlike an L1 norm, blind
    to activations that shrink while weights grow. It likes a single channel with huge values,
    which ``equalize.equalize`` scales back afterwards. Scalar, mean over the batch.
    """
    cost = fanout.reshape(1, -1, *[1] * (a.dim() - 2)).to(a.dtype)
    weighted = (a.abs() * cost).flatten(1).sum(1)
    energy = (a.square() * cost).flatten(1).sum(1)
    return (weighted.square() / (energy + 1e-6)).mean()
