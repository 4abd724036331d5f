"""The float graph that every front end makes, and that quantization reads.

Arrays are float64; maps are (height, width, channels). Nodes refer to tensors by the name of the node
that makes them, or INPUT.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from jp_hw.ir import Shape

Float = NDArray[np.float64]
Pair = tuple[int, int]


@dataclass(frozen=True)
class Node:
    """Common to all nodes: a name, and the name of the (first) tensor it reads."""

    name: str
    tensor: str

    @property
    def reads(self) -> tuple[str, ...]:
        """Names of all tensors it reads."""
        return (self.tensor,)


@dataclass(frozen=True)
class Scatter(Node):
    """A convolution; a fully connected layer is one whose kernel covers its whole input.

    weights: (out, in / groups, kernel height, kernel width), or (out, in) for a fully connected layer
    that reads a flattened map in channel, row, column order. bias: (out,). padding: zeros (above, to
    the left); after: (below, to the right), as many unless given.
    """

    weights: Float
    bias: Float
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1
    after: Pair | None = None


@dataclass(frozen=True)
class Normalize(Node):
    """Batch normalization at inference: `y = x * scale + shift`, per channel."""

    scale: Float
    shift: Float


@dataclass(frozen=True)
class Activate(Node):
    """Leaky ReLU of the given slope for negative inputs, 0 for ReLU, 1 for none; at most `ceiling`.

    slope: a number, or one per channel.
    """

    slope: float | Float = 0.0
    ceiling: float = np.inf


@dataclass(frozen=True)
class Curve(Node):
    """Any other activation: an elementwise function of arrays that never falls."""

    function: Callable[[Float], Float]


@dataclass(frozen=True)
class Keep(Node):
    """The winner rule: keep `a` where `|a| > theta`, else 0."""

    theta: float = 0.0


@dataclass(frozen=True)
class Pool(Node):
    """Max or average pooling; an average counts the padding's zeros.

    grid: rows and columns of the result of adaptive pooling, which has no window of its own.
    ceil: whether a last window that leaves the map counts.
    """

    kind: Literal["max", "average"]
    window: Pair = (1, 1)
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    grid: Pair | None = None
    ceil: bool = False


@dataclass(frozen=True)
class _Join(Node):
    others: tuple[str, ...]

    @property
    def reads(self) -> tuple[str, ...]:
        """Names of all tensors it reads, in order."""
        return (self.tensor, *self.others)


@dataclass(frozen=True)
class Add(_Join):
    """The sum of maps of one shape."""


@dataclass(frozen=True)
class Concat(_Join):
    """Maps one after another, by channel."""


@dataclass(frozen=True)
class Flatten(Node):
    """A map read as a vector, in channel, row, column order."""


@dataclass(frozen=True)
class Graph:
    """A float network. nodes: in processing order. output: the tensor of the logits."""

    name: str
    input: Shape
    nodes: tuple[Node, ...]
    output: str
