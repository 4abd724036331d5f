"""ResNet-9 for CIFAR-10: a fast, accurate network, to teach smaller ones by distillation."""

from torch import nn

from jp_hw.models.activation import activation as activation_of
from jp_hw.models.resnet import Block, initialized
from jp_hw.nn import Winner

RESIDUAL_STAGES = (1, 3)
"""The stages that end in a residual block."""


def resnet9(width: int = 64, classes: int = 10, activation: str = "relu") -> nn.Sequential:
    """Page's ResNet-9 ("How to train your ResNet", 2019; DAWNBench), with batch normalization
    before the residual sum and average pooling at the end.

    Input (N, 3, size, size) float, output (N, classes); ``size`` a multiple of 8. A convolution to
    ``width`` channels, then three stages of a convolution to twice as many and 2x2 max pooling;
    the first and the third end in a residual block. Raise ValueError for a width under 1.
    """
    if width < 1:
        raise ValueError(f"width {width} is not positive")
    model = nn.Sequential()
    model.add_module("win0", Winner())
    _add_convolution(model, "", 3, width, activation)
    model.add_module("win", Winner())
    for stage in (1, 2, 3):
        out = 2 * width
        _add_convolution(model, str(stage), width, out, activation)
        model.add_module(f"pool{stage}", nn.MaxPool2d(2))
        model.add_module(f"win{stage}", Winner())
        if stage in RESIDUAL_STAGES:
            model.add_module(f"block{stage}", Block(out, out, 1, activation))
        width = out
    model.add_module("pool", nn.AdaptiveAvgPool2d(1))
    model.add_module("flatten", nn.Flatten())
    model.add_module("fc", nn.Linear(width, classes))
    return initialized(model)


def _add_convolution(
    model: nn.Sequential, suffix: str, channels: int, out: int, activation: str
) -> None:
    """A 3x3 convolution, batch normalization and an activation; names end in ``suffix``."""
    model.add_module(f"conv{suffix}", nn.Conv2d(channels, out, 3, 1, 1, bias=False))
    model.add_module(f"bn{suffix}", nn.BatchNorm2d(out))
    model.add_module(f"act{suffix}", activation_of(activation))
