"""Plain convolutional networks: ConvNet-5 and AlexNet, with a Winner behind every pooling."""

from torch import nn

from jp_hw.models.activation import activation as activation_of
from jp_hw.nn import Winner


def convnet5(
    channels: tuple[int, int] = (64, 64),
    hidden: tuple[int, int] = (384, 192),
    size: int = 24,
    classes: int = 10,
    activation: str = "relu",
) -> nn.Sequential:
    """The paper's ConvNet-5: two 5x5 convolutions with 2x2 max pooling, three Linear layers.

    Input (N, 3, size, size) float, output (N, classes). Modules: ``win0, conv1, bn1, act1, pool1,
    win1, conv2, ..., flatten, fc3, bn3, act3, win3, ...``. Batch normalization, which the paper's
    network lacks, trains faster and folds into the weights.
    """
    if size % 4:
        raise ValueError(f"size {size} is no multiple of 4, as two poolings by 2 need")
    model = nn.Sequential()
    model.add_module("win0", Winner())
    before = 3
    for index, width in enumerate(channels, 1):
        model.add_module(f"conv{index}", nn.Conv2d(before, width, 5, padding=2, bias=False))
        model.add_module(f"bn{index}", nn.BatchNorm2d(width))
        model.add_module(f"act{index}", activation_of(activation))
        model.add_module(f"pool{index}", nn.MaxPool2d(2))
        model.add_module(f"win{index}", Winner())
        before = width
    model.add_module("flatten", nn.Flatten())
    before *= (size // 4) ** 2
    for index, width in enumerate(hidden, 3):
        model.add_module(f"fc{index}", nn.Linear(before, width, bias=False))
        model.add_module(f"bn{index}", nn.BatchNorm1d(width))
        model.add_module(f"act{index}", activation_of(activation))
        model.add_module(f"win{index}", Winner())
        before = width
    model.add_module("fc5", nn.Linear(before, classes))
    return model


ALEXNET: tuple[tuple[int, int, int, int, int, bool], ...] = (
    # channels, kernel, stride, padding, groups, pooled
    (96, 11, 4, 0, 1, True),
    (256, 5, 1, 2, 2, True),
    (384, 3, 1, 1, 1, False),
    (384, 3, 1, 1, 2, False),
    (256, 3, 1, 1, 2, True),
)
"""Convolutions of AlexNet with two groups, as in the original two-GPU network."""


def alexnet(
    classes: int = 1000, hidden: int = 4096, width: int = 96, activation: str = "relu"
) -> nn.Sequential:
    """AlexNet with grouped convolutions 2, 4 and 5 and 3x3 max pooling by 2.

    Input (N, 3, 227, 227) float, output (N, classes). ``width`` scales all convolutions: it is
    the first one's number of channels, even. Batch normalization stands in for the original's
    local response normalization.
    """
    if width < 2 or width % 2:
        raise ValueError(f"width {width} must be even, as two groups need")
    model = nn.Sequential()
    model.add_module("win0", Winner())
    before = 3
    for index, (channels, kernel, stride, padding, groups, pooled) in enumerate(ALEXNET, 1):
        out = max(2, channels * width // 96 // 2 * 2)
        conv = nn.Conv2d(before, out, kernel, stride, padding, groups=groups, bias=False)
        model.add_module(f"conv{index}", conv)
        model.add_module(f"bn{index}", nn.BatchNorm2d(out))
        model.add_module(f"act{index}", activation_of(activation))
        if pooled:
            model.add_module(f"pool{index}", nn.MaxPool2d(3, 2))
        model.add_module(f"win{index}", Winner())
        before = out
    model.add_module("flatten", nn.Flatten())
    before *= 6 * 6
    for index in (6, 7):
        model.add_module(f"fc{index}", nn.Linear(before, hidden, bias=False))
        model.add_module(f"bn{index}", nn.BatchNorm1d(hidden))
        model.add_module(f"act{index}", activation_of(activation))
        model.add_module(f"win{index}", Winner())
        before = hidden
    model.add_module("fc8", nn.Linear(before, classes))
    return model
