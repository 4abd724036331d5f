"""Fully connected networks."""

from torch import nn

from jp_hw.nn import Winner


def mlp3(
    hidden: tuple[int, ...] = (300, 100), inputs: int = 784, classes: int = 10
) -> nn.Sequential:
    """Fully connected ReLU network with a Winner on the input and after every hidden layer.

    Modules are named ``flatten, win0, fc1, relu1, win1, fc2, ...``. Input (N, C, H, W) or (N,
    inputs) float, output (N, classes) float. The default is LeNet-300-100, the paper's MLP-3.
    """
    model = nn.Sequential()
    model.add_module("flatten", nn.Flatten())
    model.add_module("win0", Winner())
    sizes = (inputs, *hidden, classes)
    for index in range(1, len(sizes)):
        model.add_module(f"fc{index}", nn.Linear(sizes[index - 1], sizes[index]))
        if index < len(sizes) - 1:
            model.add_module(f"relu{index}", nn.ReLU())
            model.add_module(f"win{index}", Winner())
    return model
