"""Small torch networks of every supported kind, and their float arithmetic layer by layer."""

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from jp_hw.dense import convolve
from jp_hw.graph import Float
from jp_hw.ir import INPUT
from jp_hw.nn import Winner
from jp_hw.passes import Lowered


def winner(theta: float) -> Winner:
    module = Winner(0.5, "static")
    module.theta.fill_(theta)
    return module


def settle(model: nn.Module, seed: int = 0) -> nn.Module:
    """Random parameters and running statistics, double precision, evaluation mode."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            module.running_mean = torch.randn(module.num_features, generator=generator) * 0.3
            module.running_var = torch.rand(module.num_features, generator=generator) + 0.5
    for parameter in model.parameters():
        shape = parameter.shape
        spread = 3.0 / np.sqrt(parameter[0].numel()) if len(shape) > 1 else 0.5
        parameter.data = torch.randn(shape, generator=generator) * spread
    return model.double().eval()


def flat_mlp() -> nn.Module:
    """Reads a 4x3 map of 2 channels flattened, so in channel, row, column order."""
    return nn.Sequential(
        nn.Flatten(), nn.Linear(24, 16), nn.ReLU(), winner(0.1), nn.Linear(16, 10),
        nn.BatchNorm1d(10), nn.LeakyReLU(0.2), winner(0.05), nn.Linear(10, 4),
    )  # fmt: skip


def cnn() -> nn.Module:
    return nn.Sequential(
        winner(0.2), nn.Conv2d(3, 8, 3, stride=(2, 1), padding=(1, 2)), nn.BatchNorm2d(8),
        nn.LeakyReLU(0.1), winner(0.1),
        nn.Conv2d(8, 12, (3, 2), groups=4, dilation=(1, 2), bias=False), nn.BatchNorm2d(12),
        nn.ReLU(), nn.Dropout(0.5), nn.Identity(), nn.Flatten(), nn.Linear(12 * 2 * 5, 9),
        nn.BatchNorm1d(9, affine=False), nn.ReLU(), nn.Linear(9, 5),
    )  # fmt: skip


class Functional(nn.Module):
    """Functions in place of modules, and a submodule of its own."""

    def __init__(self, flatten: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3, padding=1)
        self.head = nn.Sequential(nn.Linear(48, 8), nn.ReLU(inplace=True), nn.Linear(8, 3))
        self.flatten = flatten

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.flatten(torch.relu(self.conv(x))))


MODELS: dict[str, tuple[Callable[[], nn.Module], tuple[int, int, int]]] = {
    "flat mlp": (flat_mlp, (4, 3, 2)),
    "cnn": (cnn, (7, 5, 3)),
    "functions": (lambda: Functional(lambda x: torch.flatten(x, 1)), (4, 3, 2)),
}
"""Model and its input's (height, width, channels), by name."""


def photos(shape: tuple[int, int, int], count: int = 32, seed: int = 1) -> np.ndarray:
    """Random bytes, (count, height, width, channels), some of them zero."""
    rng = np.random.default_rng(seed)
    return (rng.integers(0, 256, (count, *shape)) * (rng.random((count, *shape)) < 0.8)).astype(
        np.uint8
    )


def torch_logits(model: nn.Module, images: np.ndarray, scale: float = 1.0 / 255.0) -> Float:
    """What torch computes, (n, classes), in double precision."""
    with torch.no_grad():
        batch = torch.from_numpy(images.astype(np.float64)).permute(0, 3, 1, 2) * scale
        return model(batch).numpy()


def float_tensors(
    lowered: Lowered, images: np.ndarray, scale: float = 1.0 / 255.0
) -> dict[str, Float]:
    """Every tensor of the lowered float layers, (n, height, width, channels), by name."""
    shape = lowered.input
    values = images.reshape(-1, shape.height, shape.width, shape.channels) * scale
    if lowered.input_theta:
        values = np.where(values > lowered.input_theta, values, 0.0)
    tensors = {INPUT: values}
    for layer in lowered.layers:
        scatter, output = layer.scatter, layer.output
        total = scatter.bias + convolve(
            tensors[scatter.tensor], scatter.weights, (output.height, output.width),
            scatter.stride, scatter.padding, scatter.dilation, scatter.groups,
        )  # fmt: skip
        if layer.slope is not None:
            total = np.where(total < 0, total * layer.slope, total)
            total = np.where(np.abs(total) > layer.theta, total, 0.0)
        tensors[scatter.name] = total
    return tensors
