"""The winner rule of joint pruning as a torch module.

Source of the method: Yang, Wen, Wang, Li, "Joint Pruning on Activations and Weights for
Efficient Neural Networks", arXiv 1906.07875: an activation is kept where ``|a| > theta``.
"""

import math
from collections.abc import Iterable
from typing import Literal, get_args

import torch
from torch import Tensor

from jp_hw.errors import JpHwError

Mode = Literal["off", "dynamic", "sampled", "static"]
MODES: tuple[str, ...] = get_args(Mode)


def winner_count(rate: float, elements: int) -> int:
    """Winners among ``elements`` activations at a winner rate: at least 1, at most all."""
    return min(elements, max(1, round(rate * elements)))


class Winner(torch.nn.Module):
    """Keep the activations whose magnitude exceeds a threshold, zero the others.

    Modes (``mode``):

    - ``off``: identity.
    - ``dynamic``: theta per sample, so that the ``rate`` largest magnitudes win (top-k).
    - ``sampled``: theta per sample from the top-(alpha*k) of a random alpha-sample of the
      sample's activations (the paper's threshold prediction).
    - ``static``: ``|a| > theta`` with the float32 scalar buffer ``theta``; what hardware does.

    Input and output: float tensor (N, ...), same shape. Zeros never win, and ties at theta lose,
    so fewer than ``rate`` win where the layer before leaves fewer non-zeros. The mask is a
    constant for the gradient, which therefore flows through winners only. With ``dropout`` a
    dropout of ``0.5 * sqrt(rate)`` follows in training, as the paper does.
    """

    theta: Tensor

    def __init__(
        self,
        rate: float = 1.0,
        mode: Mode = "off",
        *,
        alpha: float = 0.1,
        dropout: bool = False,
    ) -> None:
        """Raise JpHwError if ``rate`` or ``alpha`` is outside (0, 1] or ``mode`` is unknown."""
        super().__init__()
        if not 0.0 < rate <= 1.0:
            raise JpHwError(f"winner rate {rate} is outside (0, 1]: give the share that is kept")
        if not 0.0 < alpha <= 1.0:
            raise JpHwError(f"sample share alpha {alpha} is outside (0, 1]")
        self.rate = rate
        self.alpha = alpha
        self.dropout = dropout
        self.mode: Mode = "off"
        self.set_mode(mode)
        self.register_buffer("theta", torch.zeros((), dtype=torch.float32))

    def set_mode(self, mode: Mode) -> None:
        """Choose one of ``MODES``; raise JpHwError on anything else."""
        if mode not in MODES:
            raise JpHwError(f"winner mode {mode!r} is unknown: use one of {', '.join(MODES)}")
        self.mode = mode

    def forward(self, a: Tensor) -> Tensor:
        """Return ``a`` with its losers set to zero; shape and dtype unchanged."""
        if self.mode != "off":
            magnitude = a.detach().abs()
            a = a * (magnitude > self._threshold(magnitude)).to(a.dtype)
        if self.dropout and self.training:
            a = torch.nn.functional.dropout(a, 0.5 * math.sqrt(self.rate))
        return a

    def _threshold(self, magnitude: Tensor) -> Tensor:
        """Theta for magnitudes (N, ...): a scalar, or one per sample as (N, 1, ...)."""
        if self.mode == "static":
            return self.theta
        flat = magnitude.flatten(1)
        if self.mode == "sampled":
            share = max(1, round(self.alpha * flat.shape[1]))
            flat = flat[:, torch.randperm(flat.shape[1], device=flat.device)[:share]]
        loser = _largest_loser(flat, winner_count(self.rate, flat.shape[1]))
        return loser.reshape(-1, *[1] * (magnitude.dim() - 1))

    def calibrate(self, batches: Iterable[Tensor], rate: float | None = None) -> float:
        """Set and return the static theta that reaches a winner rate over a whole data set.

        ``batches`` are this module's inputs, float (n, ...), any number of them. ``rate`` is by
        default the module's own. The mean winner rate over all elements is ``rate`` or, where
        there are ties or fewer non-zeros, the next possible one below. Raise JpHwError when
        there is no data.
        """
        parts = [batch.detach().abs().flatten() for batch in batches]
        if not parts or not sum(part.numel() for part in parts):
            raise JpHwError("a winner threshold cannot be calibrated without data")
        values = torch.cat(parts).float()
        wanted = winner_count(self.rate if rate is None else rate, values.numel())
        self.theta.copy_(_largest_loser(values[None], wanted)[0])
        return float(self.theta)

    def extra_repr(self) -> str:
        """Show what was chosen in ``print(model)``."""
        return f"rate={self.rate:g}, mode={self.mode}, theta={float(self.theta):g}"


def _largest_loser(values: Tensor, winners: int) -> Tensor:
    """Per row of (N, M) the largest value that must lose so that at most ``winners`` win: (N,)."""
    if winners >= values.shape[1]:
        return torch.zeros_like(values[:, 0])
    return values.kthvalue(values.shape[1] - winners, dim=1).values


def winners(model: torch.nn.Module) -> dict[str, Winner]:
    """All Winner modules of a model by qualified name, in definition order."""
    return {name: module for name, module in model.named_modules() if isinstance(module, Winner)}


def set_winner_mode(model: torch.nn.Module, mode: Mode) -> None:
    """Put every Winner of a model into ``mode``."""
    for module in winners(model).values():
        module.set_mode(mode)
