"""The float graph that every front end makes, and that quantization reads.

Arrays are float64; maps are (height, width, channels). A graph is a chain of nodes by name.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jp_hw.ir import Shape

Float = NDArray[np.float64]


@dataclass(frozen=True)
class Node:
    """Common to all nodes: a name, and the name of the tensor it reads."""

    name: str
    tensor: str


@dataclass(frozen=True)
class Scatter(Node):
    """A convolution; a fully connected layer is one whose kernel covers its whole input.

    weights: (out, in / groups, kernel height, kernel width), or (out, in) for a fully connected layer
    that reads a flattened map in channel, row, column order. bias: (out,).
    """

    weights: Float
    bias: Float
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1


@dataclass(frozen=True)
class Normalize(Node):
    """Batch normalization at inference: `y = x * scale + shift`, per channel."""

    scale: Float
    shift: Float


@dataclass(frozen=True)
class Activate(Node):
    """Leaky ReLU of the given slope for negative inputs; slope 0 is ReLU."""

    slope: float = 0.0


@dataclass(frozen=True)
class Keep(Node):
    """The winner rule: keep `a` where `|a| > theta`, else 0."""

    theta: float = 0.0


@dataclass(frozen=True)
class Flatten(Node):
    """A map read as a vector, in channel, row, column order."""


@dataclass(frozen=True)
class Graph:
    """A float network. nodes: in processing order; the last one gives the logits."""

    name: str
    input: Shape
    nodes: tuple[Node, ...]
