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

    ``a``: (N, C, ...); ``fanout``: (C,), surviving weights of each input channel. It is the L1
    norm of the joint regularization (arXiv 1906.07875 v2), weighted by fanout and divided by the
    batch's mean non-zero magnitude, which is a constant for the gradient: the exact count when
    all non-zero magnitudes are equal, whatever their scale. (A ratio of norms like Hoyer's is
    scale-free too, but a few huge activations cheat it, and ruin 8-bit quantization.) Scalar,
    mean over the batch.
    """
    cost = fanout.reshape(1, -1, *[1] * (a.dim() - 2)).to(a.dtype)
    magnitude = a.abs()
    alive = (a != 0).sum().clamp(min=1)
    unit = (magnitude.detach().sum() / alive).clamp(min=1e-6)
    return (magnitude * cost).sum() / (unit * len(a))
