"""Untrained JPnets of a trained one's shape: random weights pruned, thresholds at a winner rate.

Their accuracy means nothing; their sparsity, and so their cycles and sizes, are those asked for.
"""

import numpy as np
from numpy.typing import NDArray

from jp_hw import models
from jp_hw.ir import Network
from jp_hw.quantize import quantize


def images(count: int, shape: tuple[int, int, int], seed: int = 0) -> NDArray[np.uint8]:
    """Smooth random pictures, uint8 (count, height, width, channels)."""
    rng = np.random.default_rng(seed)
    height, width, channels = shape
    total = np.zeros((count, height, width, channels))
    for size in (2, 4, 8, 16):
        coarse = rng.normal(size=(count, size, size, channels))
        rows, columns = np.arange(height) * size // height, np.arange(width) * size // width
        total += coarse[:, rows][:, :, columns] / size
    low, high = total.min((1, 2, 3), keepdims=True), total.max((1, 2, 3), keepdims=True)
    return (255 * (total - low) / (high - low)).astype(np.uint8)


def network(
    name: str,
    density: float,
    rate: float,
    *,
    seed: int = 0,
    batch: NDArray[np.uint8] | None = None,
    **arguments: object,
) -> Network:
    """An integer network of a registered model.

    density: share of weights kept in every layer with more than 1000 of them; rate: winner rate of
    every hidden tensor. batch: images to calibrate with, synthetic ones unless given.
    """
    import torch
    from torch import nn

    from jp_hw.nn import winners

    torch.manual_seed(seed)
    spec = models.spec(name)
    pictures = images(8, spec.input_shape) if batch is None else batch
    values = torch.from_numpy(pictures.transpose(0, 3, 1, 2) * spec.input_scale).float()
    model = models.build(name, arguments)
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d) and module.weight.numel() > 1000:
            size = module.weight.detach().abs()
            theta = size.flatten().kthvalue(max(1, round((1 - density) * size.numel()))).values
            module.weight.data *= size > theta
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        model.train()(values)
        model.eval()
        for place, winner in winners(model).items():
            if place != "win0":
                seen: list[torch.Tensor] = []
                hook = winner.register_forward_pre_hook(lambda _, a, seen=seen: seen.append(a[0]))
                model(values)
                hook.remove()
                winner.calibrate(seen, rate)
                winner.set_mode("static")
    return quantize(model, pictures, name=name, input_scale=spec.input_scale)
