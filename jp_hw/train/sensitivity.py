"""How accuracy on held-out images falls with one layer's density, or one Winner's rate, alone.

The paper's guide to winner rates: before finetuning, no rate may cost more than 2 points.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from jp_hw.nn import Winner
from jp_hw.train.data import device_of
from jp_hw.train.measure import Inputs
from jp_hw.train.pruning import InputMoments, mask_of, prune_to, refresh, weight_scores

DENSITIES = (0.7, 0.5, 0.35, 0.25, 0.15, 0.08)
RATES = (0.5, 0.4, 0.35, 0.3, 0.25, 0.2, 0.15, 0.1, 0.07, 0.05, 0.03)
HOPELESS = 0.2
"""Accuracy lost from which on smaller shares are not tried."""
BATCH = 500
Table = dict[str, list[dict[str, float]]]


@dataclass(frozen=True)
class Sensitivity:
    """Accuracy of the network as it is, and per layer or Winner its accuracy by share kept.

    ``densities``: of weight layers, as shares of the weights. ``rates``: of Winners behind hidden
    layers, as shares of all activations; ``natural``: the share that is not zero without pruning.
    """

    images: int
    accuracy: float
    densities: Table
    rates: Table
    natural: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "images": self.images,
            "accuracy": self.accuracy,
            "densities": self.densities,
            "winner_rates": self.rates,
            "natural_rates": self.natural,
        }

    def least_rates(self, drop: float) -> list[float]:
        """Per Winner the least rate down to which accuracy falls by no more than ``drop``.

        The natural rate where even the gentlest that was tried costs more.
        """
        chosen = []
        for name, rows in self.rates.items():
            best = self.natural[name]
            for row in rows:
                if row["share"] >= self.natural[name]:
                    continue
                if self.accuracy - row["accuracy"] > drop:
                    break
                best = row["share"]
            chosen.append(max(best, 1e-3))
        return chosen


def analyze(
    model: nn.Module,
    layers: Mapping[str, nn.Module],
    hidden: Mapping[str, Winner],
    images: Tensor,
    labels: Tensor,
    moments: Mapping[str, InputMoments] | None = None,
) -> Sensitivity:
    """Try shares for every layer and hidden Winner, one at a time, and restore everything.

    ``images``: float (N, C, H, W); ``labels``: int64 (N,). Winners are tried with exact top-k per
    image; weights by magnitude, or with ``moments`` by the conditional criterion.
    """
    training = model.training
    model.eval()
    natural = _natural(model, hidden, images)
    accuracy = _accuracy(model, images, labels)
    densities: Table = {}
    for name, layer in layers.items():
        score = weight_scores(layer, moments[name] if moments else None)
        kept = float((score > 0).float().mean())
        tried = [share for share in DENSITIES if share < kept]
        densities[name] = _curve(
            tried, accuracy, partial(_with_density, model, name, layer, score, images, labels)
        )
    rates = {}
    for name, module in hidden.items():
        tried = [rate for rate in RATES if rate < natural[name]]
        rates[name] = _curve(tried, accuracy, partial(_with_rate, model, module, images, labels))
    model.train(training)
    return Sensitivity(len(images), accuracy, densities, rates, natural)


def _curve(
    shares: Sequence[float], whole: float, accuracy: Callable[[float], float]
) -> list[dict[str, float]]:
    """Accuracy at falling shares, down to where more than ``HOPELESS`` of ``whole`` is lost."""
    rows: list[dict[str, float]] = []
    for share in shares:
        rows.append({"share": share, "accuracy": accuracy(share)})
        if rows[-1]["accuracy"] < whole - HOPELESS:
            break
    return rows


@torch.no_grad()
def _accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    correct = 0
    for start in range(0, len(images), BATCH):
        logits = model(images[start : start + BATCH].to(device_of(model))).cpu()
        correct += int((logits.argmax(1) == labels[start : start + BATCH]).sum())
    return correct / len(images)


@torch.no_grad()
def _natural(model: nn.Module, hidden: Mapping[str, Winner], images: Tensor) -> dict[str, float]:
    """Share of non-zero inputs of every Winner over some images."""
    live = dict.fromkeys(hidden, 0.0)
    some = images[:BATCH].to(device_of(model))
    with Inputs(hidden) as inputs:
        model(some)
        for name in hidden:
            live[name] = float((inputs[name] != 0).float().mean())
    return live


@torch.no_grad()
def _with_density(
    model: nn.Module,
    name: str,
    layer: nn.Module,
    score: Tensor,
    images: Tensor,
    labels: Tensor,
    share: float,
) -> float:
    """Accuracy with one layer pruned to a density."""
    before = mask_of(layer).clone()
    prune_to(layer, score, share)
    refresh({name: layer})
    accuracy = _accuracy(model, images, labels)
    mask_of(layer).copy_(before)
    refresh({name: layer})
    return accuracy


def _with_rate(
    model: nn.Module, module: Winner, images: Tensor, labels: Tensor, rate: float
) -> float:
    """Accuracy with one Winner at a rate."""
    mode, before = module.mode, module.rate
    module.rate = rate
    module.set_mode("dynamic")
    accuracy = _accuracy(model, images, labels)
    module.rate = before
    module.set_mode(mode)
    return accuracy
