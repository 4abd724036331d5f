"""Optimizers by name, Muon among them for matrices and convolution kernels."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from jp_hw.train.config import TrainConfig

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5


def new_optimizer(config: TrainConfig, model: nn.Module, lr: float) -> torch.optim.Optimizer:
    """The configured optimizer, without state, at a learning rate.

    ``weight_decay`` applies to weights of two dimensions or more only: not to biases, nor to
    normalization.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    decayed = [p for p in parameters if p.dim() > 1]
    others = [p for p in parameters if p.dim() <= 1]
    if config.optimizer == "muon":
        return Muon(decayed, others, lr, config.momentum, config.weight_decay)
    groups: list[dict[str, Any]] = [{"params": parameters}]
    if config.weight_decay:
        groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": others}]
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, lr, momentum=config.momentum, nesterov=config.momentum > 0)
    if config.optimizer == "adadelta":
        return torch.optim.Adadelta(groups, lr)
    return torch.optim.Adam(groups, lr)


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalized by Newton-Schulz iterations, for weights seen as matrices.

    Source: Jordan et al., "Muon: an optimizer for hidden layers in neural networks" (2024). A
    weight (out, ...) counts as a matrix (out, rest). ``others`` (biases, normalization) are
    trained by SGD with Nesterov momentum at ``lr * others_scale``. Weight decay is decoupled and
    applies to the matrices. Entries that a zero gradient (a mask) holds still get no update of
    their own: their share of the orthogonalized step is dropped with the mask.
    """

    def __init__(
        self,
        matrices: Iterable[Tensor],
        others: Iterable[Tensor],
        lr: float,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        others_scale: float = 10.0,
    ) -> None:
        groups = [
            {"params": list(matrices), "matrix": True, "scale": 1.0, "decay": weight_decay},
            {"params": list(others), "matrix": False, "scale": others_scale, "decay": 0.0},
        ]
        super().__init__([g for g in groups if g["params"]], {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """One update of all parameters that have a gradient; ``closure`` is not supported."""
        for group in self.param_groups:
            rate, momentum = group["lr"] * group["scale"], group["momentum"]
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                buffer = self.state[weight].setdefault("momentum", torch.zeros_like(weight))
                buffer.mul_(momentum).add_(weight.grad)
                update = weight.grad.add(buffer, alpha=momentum)
                if group["matrix"]:
                    update = orthogonal(update.flatten(1)).view_as(weight)
                    weight.mul_(1.0 - group["lr"] * group["decay"])
                weight.add_(update, alpha=-rate)


def orthogonal(matrix: Tensor) -> Tensor:
    """A matrix (m, n) with all its singular values brought near 1, times sqrt(max(1, m / n))."""
    a, b, c = COEFFICIENTS
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / (x.norm() + 1e-7)
    for _ in range(ITERATIONS):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    gain = max(1.0, matrix.shape[0] / matrix.shape[1]) ** 0.5
    result: Tensor = (x.T if tall else x) * gain
    return result
