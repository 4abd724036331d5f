"""Small torch networks of every supported kind, and their float arithmetic layer by layer."""

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from jp_hw import float_model
from jp_hw.graph import Float
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
    for module in model.modules():
        if isinstance(module, nn.PReLU):
            module.weight.data = torch.rand(module.num_parameters, generator=generator)
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


class Residual(nn.Module):
    """An identity block, then one with a projection; norms everywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU())
        self.a = nn.Sequential(
            nn.Conv2d(6, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6), nn.ReLU(),
            nn.Conv2d(6, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6),
        )  # fmt: skip
        self.b = nn.Sequential(
            nn.Conv2d(6, 8, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1)
        )
        self.around = nn.Sequential(nn.Conv2d(6, 8, 1, stride=2), nn.BatchNorm2d(8))
        self.keep = winner(0.05)
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        x = self.keep(torch.relu(self.a(x) + x))
        return self.head(nn.functional.leaky_relu(self.b(x) + self.around(x), 0.2))


class InPlace(nn.Module):
    """x += y, three terms, a tensor added to itself, mean over the map."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(2, 5, 3, padding=1), nn.Conv2d(2, 5, 1)
        self.fc = nn.Linear(5, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.a(x)
        y += self.b(x)
        z = torch.relu(y)
        z = torch.add(z, y).relu_()
        z = z + z
        return self.fc(z.mean((2, 3)))


class DenseBlock(nn.Module):
    """Every convolution reads all maps before it; norms between the pieces and their sum."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = (nn.Conv2d(2 + 3 * i, 3, 3, padding=1) for i in range(3))
        self.norm = nn.BatchNorm2d(8)
        self.fc = nn.Linear(11 * 4 * 3, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.cat([x, torch.relu(self.a(x))], 1)
        x = torch.cat((x, torch.relu(self.b(x))), dim=1)
        y = torch.relu(self.norm(x))
        x = torch.concat([x, self.c(y)], dim=-3)
        x = nn.functional.avg_pool2d(x, 2)
        return self.fc(x.view(x.size(0), -1))


class Pools(nn.Module):
    """Pools of all kinds, before and after activations, and one on another."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 6, 3, padding=1)
        self.overlapping = nn.MaxPool2d(3, 2, padding=1)
        self.ceil = nn.MaxPool2d((2, 3), ceil_mode=True)
        self.norm = nn.BatchNorm2d(6)
        self.fc = nn.Linear(18, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.overlapping(torch.relu(self.a(x)))
        x = self.norm(nn.functional.max_pool2d(self.b(x), 2, stride=1))
        x = torch.relu(x)
        x = self.ceil(nn.functional.max_pool2d(x, (1, 2), 1))
        x = nn.functional.avg_pool2d(x, (2, 1), stride=1, padding=(1, 0))
        return self.fc(torch.flatten(nn.functional.adaptive_max_pool2d(x, (3, 1)), 1))


class Curves(nn.Module):
    """Activations that become tables, as modules and as functions."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(2, 4, 3), nn.Conv2d(4, 4, 2)
        self.fc = nn.Sequential(nn.Linear(24, 8), nn.ELU(0.7), nn.Linear(8, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.tanh(self.a(x))
        y = torch.sigmoid(self.b(x))
        return self.fc(torch.flatten(y, 1))


def bottleneck() -> nn.Module:
    """Wide, depthwise, narrow without an activation; then two convolutions with none between."""
    return nn.Sequential(
        nn.Conv2d(3, 12, 1), nn.BatchNorm2d(12), nn.ReLU6(),
        nn.Conv2d(12, 12, 3, padding=1, groups=12), nn.BatchNorm2d(12), nn.ReLU6(),
        nn.Conv2d(12, 5, 1), nn.BatchNorm2d(5), nn.Conv2d(5, 10, 3, padding="same", groups=5),
        nn.PReLU(10), nn.AdaptiveAvgPool2d((1, 1)), nn.Conv2d(10, 4, 1), nn.Flatten(),
    )  # fmt: skip


def winners() -> nn.Module:
    """Winner rules in every place."""
    return nn.Sequential(
        winner(0.1), nn.Conv2d(3, 6, 3, padding="same", dilation=(2, 1)), winner(0.2),
        nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2), winner(0.3), nn.AvgPool2d(2, padding=1),
        winner(0.05),
        nn.Flatten(), nn.Linear(6 * 2 * 2, 9), nn.PReLU(), winner(0.1), nn.Linear(9, 5),
    )  # fmt: skip


CHAINS: dict[str, tuple[Callable[[], nn.Module], tuple[int, int, int]]] = {
    "flat mlp": (flat_mlp, (4, 3, 2)),
    "cnn": (cnn, (7, 5, 3)),
    "functions": (lambda: Functional(lambda x: torch.flatten(x, 1)), (4, 3, 2)),
}
MODELS: dict[str, tuple[Callable[[], nn.Module], tuple[int, int, int]]] = {
    **CHAINS,
    "residual": (Residual, (6, 7, 3)),
    "in place": (InPlace, (4, 3, 2)),
    "dense block": (DenseBlock, (8, 6, 2)),
    "pools": (Pools, (9, 11, 2)),
    "curves": (Curves, (6, 5, 2)),
    "bottleneck": (bottleneck, (5, 6, 3)),
    "winners": (winners, (7, 6, 3)),
}
"""Model and its input's (height, width, channels), by name; each layer of a chain reads one tensor."""


def photos(shape: tuple[int, int, int], count: int = 32, seed: int = 1) -> np.ndarray:
    """Random bytes, (count, height, width, channels), some of them zero."""
    rng = np.random.default_rng(seed)
    return (rng.integers(0, 256, (count, *shape)) * (rng.random((count, *shape)) < 0.8)).astype(
        np.uint8
    )


def torch_logits(model: nn.Module, images: np.ndarray, scale: float = 1.0 / 255.0) -> Float:
    """What torch computes, (n, classes), in double precision."""
    with torch.no_grad():
        batch = torch.from_numpy(images.astype(np.float64)).permute(0, 3, 1, 2).contiguous() * scale
        return model(batch).numpy()


def float_tensors(
    lowered: Lowered, images: np.ndarray, scale: float = 1.0 / 255.0
) -> dict[str, Float]:
    """Every tensor of the lowered float layers, (n, height, width, channels), by name."""
    shape = lowered.input
    values = images.reshape(-1, shape.height, shape.width, shape.channels) * scale
    return float_model.tensors(lowered, values)
