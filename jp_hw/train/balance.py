"""Balanced masks: every input channel keeps as many weights in each group of output channels.

The accelerator's scheduler gives output channel k to PE k % P. With ``balance=P`` every token then
costs every PE the same number of MACs, whatever the activations do.
"""

import torch
from torch import Tensor


def balanced(score: Tensor, groups: int, density: float, parts: int) -> Tensor:
    """A mask of the highest scores with equal counts per input channel and part, float.

    ``score``: >= 0, of a weight's shape (out, in / groups, ...), 0 where a weight is pruned for
    good. Output channel k of each convolution group is in part k % ``parts``. Weights are taken
    in sets, the r-th best of an input channel in every part, and sets in order of their energy
    (sum of squared scores), up to ``density`` of all weights. Sets that one part cannot fill are
    left out, so a layer with fewer output channels than parts keeps only whole sets: none at all
    is an error of the caller, and so it is left as it is, all weights kept.
    """
    table, index = _by_part(score, groups, parts)
    ranked, order = table.sort(dim=-1, descending=True)
    energy = ranked.square().sum(2)
    energy[(ranked <= 0).any(2)] = 0.0  # a set that is not full
    count = min(round(density * score.numel() / parts), int((energy > 0).sum()))
    if count == 0:
        return (score > 0).to(score.dtype)
    chosen = torch.zeros_like(energy).flatten()
    chosen[energy.flatten().topk(count).indices] = 1.0
    keep = torch.zeros_like(table)
    keep.scatter_(-1, order, chosen.view_as(energy)[:, :, None].expand_as(ranked).contiguous())
    mask = score.new_zeros(score.numel() + 1)
    mask[index.flatten()] = keep.flatten()
    return mask[:-1].view_as(score)


def group_counts(mask: Tensor, groups: int, parts: int) -> Tensor:
    """Surviving weights per input channel and part: float (groups, in / groups, parts)."""
    table, _ = _by_part((mask != 0).to(torch.float32), groups, parts)
    return table.sum(-1)


def _by_part(values: Tensor, groups: int, parts: int) -> tuple[Tensor, Tensor]:
    """Values as (groups, in / groups, parts, members), short parts padded with 0.

    Also where each comes from in the flattened tensor; padding from one past its end.
    """
    outputs, inputs = values.shape[0] // groups, values.shape[1]
    members = -(-outputs // parts)
    flat = torch.cat([values.reshape(-1), values.new_zeros(1)])
    where = torch.arange(values.numel(), device=values.device).reshape(groups, outputs, inputs, -1)
    padding = where.new_full(
        (groups, members * parts - outputs, inputs, where.shape[3]), len(flat) - 1
    )
    where = torch.cat([where, padding], 1).reshape(groups, members, parts, inputs, -1)
    index = where.permute(0, 3, 2, 1, 4).reshape(groups, inputs, parts, -1)
    return flat[index], index
