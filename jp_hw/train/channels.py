"""Masks under which no output channel causes many more MACs than the others of its layer.

That is for layers that are spread over one PE per channel: docs/training.md says when it pays.
"""

import torch
from torch import Tensor


def best(score: Tensor, count: int) -> Tensor:
    """A float mask of the ``count`` highest scores, ties cut; none of those that are 0."""
    flat = score.flatten()
    kept = torch.zeros_like(flat)
    kept[flat.topk(min(count, int((flat > 0).sum()))).indices] = 1.0
    return kept.view(score.shape)


def capped(score: Tensor, cost: Tensor, count: int, cap: float) -> Tensor:
    """A float mask of the highest scores in which no output channel stands out.

    ``score``: >= 0, of a weight's shape (out, in / groups, ...), 0 where a weight is pruned for
    good; ``cost``: expected MACs that each weight causes, of the same shape. The mask costs no more MACs
    than the ``count`` highest scores would, and an output channel no more than ``cap`` times the mean
    of the channels that have weights, to the nearest weight: beyond that its lowest scores make way for
    those of others. (Were it never more, channels would end below the mean, and each time that masks
    are set anew the mean would fall with them.)
    """
    prices, rows = cost.flatten(1).double(), score.flatten(1)
    macs = (best(rows, count) * prices).sum()
    most = cap * macs / max(1, int((rows > 0).any(1).sum()))
    ranked = rows.argsort(dim=1, descending=True, stable=True)
    price = prices.gather(1, ranked)
    within = price.cumsum(1) - 0.5 * price < most
    allowed = rows * torch.zeros_like(rows).scatter(1, ranked, within.to(rows.dtype))
    order = allowed.flatten().argsort(descending=True, stable=True)
    fits = prices.flatten()[order].cumsum(0) <= macs
    kept = torch.zeros_like(rows).flatten()
    kept[order[fits & (allowed.flatten()[order] > 0)]] = 1.0
    return kept.view(score.shape)
