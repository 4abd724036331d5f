"""Residual networks for CIFAR-10: MLPerf Tiny's ResNet-8, and ResNet-32."""

from typing import TypeVar

from torch import Tensor, nn

from jp_hw.models.activation import activation as activation_of
from jp_hw.nn import Winner

Net = TypeVar("Net", bound=nn.Module)


class Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut; a Winner after both activations.

    Where the shape changes, the shortcut is a 1x1 convolution with the block's stride and batch
    normalization; else it is the input itself. The sum is written ``x + y``.
    """

    def __init__(self, channels: int, out: int, stride: int, activation: str) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.act1 = activation_of(activation)
        self.win1 = Winner()
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.shortcut: nn.Sequential | nn.Identity = nn.Identity()
        if stride != 1 or channels != out:
            self.shortcut = nn.Sequential()
            self.shortcut.add_module("conv", nn.Conv2d(channels, out, 1, stride, bias=False))
            self.shortcut.add_module("bn", nn.BatchNorm2d(out))
        self.act2 = activation_of(activation)
        self.win2 = Winner()

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) to (N, out, H / stride, W / stride)."""
        y = self.win1(self.act1(self.bn1(self.conv1(x))))
        y = self.bn2(self.conv2(y))
        out: Tensor = self.win2(self.act2(self.shortcut(x) + y))
        return out


class ResNet(nn.Module):
    """Stem convolution, stacks of blocks, global average pooling, one Linear layer.

    Input (N, 3, size, size) float, output (N, classes). ``size`` need only be a multiple of 2 per
    stack after the first, and of the stem's stride: the pooling takes whatever is left.
    """

    def __init__(
        self,
        widths: tuple[int, ...],
        blocks: int,
        classes: int,
        stem: int,
        activation: str,
        stem_stride: int = 1,
    ) -> None:
        super().__init__()
        self.win0 = Winner()
        self.conv = nn.Conv2d(3, stem, 3, stem_stride, 1, bias=False)
        self.bn = nn.BatchNorm2d(stem)
        self.act = activation_of(activation)
        self.win = Winner()
        self.stacks = nn.Sequential()
        before = stem
        for index, width in enumerate(widths, 1):
            stack = nn.Sequential()
            for number in range(1, blocks + 1):
                stride = 2 if index > 1 and number == 1 else 1
                stack.add_module(f"block{number}", Block(before, width, stride, activation))
                before = width
            self.stacks.add_module(f"stack{index}", stack)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(before, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Images to logits."""
        x = self.win(self.act(self.bn(self.conv(self.win0(x)))))
        logits: Tensor = self.fc(self.flatten(self.pool(self.stacks(x))))
        return logits


def resnet8(
    width: int = 16,
    classes: int = 10,
    activation: str = "relu",
    widths: tuple[int, ...] | None = None,
    stem_stride: int = 1,
) -> ResNet:
    """MLPerf Tiny's image classification network: one block in each of three stacks.

    12.5M MACs at the standard ``width`` of 16 (stacks of 16, 32, 64 channels) on 32x32 images;
    ``widths`` gives the channels of each stack one by one. The stem is as wide as the first stack;
    with ``stem_stride=2`` all maps have half the standard's height and width, so twice the channels
    cost as many MACs. Weights of convolutions are initialized after He et al. (arXiv 1502.01852).
    Raise ValueError for a stride that is not a positive whole number.
    """
    if not isinstance(stem_stride, int) or stem_stride < 1:
        raise ValueError(f"stem_stride {stem_stride!r} is not a positive whole number")
    channels = widths or _widths(width)
    return initialized(ResNet(channels, 1, classes, _stem(width, widths), activation, stem_stride))


def resnet32(width: int = 16, classes: int = 10, activation: str = "relu") -> ResNet:
    """ResNet-32 (arXiv 1512.03385): five blocks in each of three stacks, width, 2x and 4x.

    The paper's wide variant is ``width=160`` with ``activation="leaky_relu"``; its stem has 16
    channels, as has the standard one.
    """
    return initialized(ResNet(_widths(width), 5, classes, 16, activation))


def _widths(width: int) -> tuple[int, ...]:
    """Channels of the three stacks."""
    if width < 1:
        raise ValueError(f"width {width} is not positive")
    return (width, 2 * width, 4 * width)


def _stem(width: int, widths: tuple[int, ...] | None) -> int:
    return widths[0] if widths else width


def initialized(model: Net) -> Net:
    """The network, its convolutions initialized after He et al. (arXiv 1502.01852)."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return model
