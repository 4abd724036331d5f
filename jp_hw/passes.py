"""Passes over the float graph: everything between two scatters is folded into the first one."""

from dataclasses import dataclass, field, replace

import numpy as np

from jp_hw.errors import JpHwError
from jp_hw.graph import Activate, Flatten, Float, Graph, Keep, Node, Normalize, Scatter
from jp_hw.ir import INPUT, Shape


@dataclass(frozen=True)
class FloatLayer:
    """A scatter with all that follows it up to the next one.

    scatter.weights: (out, in / groups, kernel height, kernel width); scatter.tensor: INPUT or the
    name of an earlier layer. slope: None where no activation follows. theta: the winner rule's
    threshold, 0 where there is none.
    """

    scatter: Scatter
    output: Shape
    slope: float | None = None
    theta: float = 0.0

    @property
    def name(self) -> str:
        """Name of the layer."""
        return self.scatter.name


@dataclass
class Lowered:
    """Layers of a graph. input: as the hardware reads it. input_theta: its threshold, 0 for none."""

    input: Shape
    input_theta: float = 0.0
    layers: list[FloatLayer] = field(default_factory=list)


def lower(graph: Graph) -> Lowered:
    """Fold a graph into layers.

    A network that flattens its input at once reads a vector of bytes in row, column, channel order,
    so no row ends there. Raises JpHwError naming the node that does not fit.
    """
    vector = graph.nodes and isinstance(graph.nodes[0], Flatten)
    lowered = Lowered(Shape(1, 1, graph.input.size) if vector else graph.input)
    flat, current = False, INPUT
    for node in graph.nodes:
        if node.tensor != current:
            raise JpHwError(
                f"{node.name} reads {node.tensor}, not the result of {current}: "
                "only chains of layers are supported so far"
            )
        if isinstance(node, Flatten):
            flat = True
        elif isinstance(node, Scatter):
            lowered.layers.append(_scatter(graph, lowered, node, flat))
            flat = False
        else:
            _fold(lowered, node)
        current = node.name
    if not lowered.layers:
        raise JpHwError(f"network {graph.name} has no Linear or Conv2d layer")
    if lowered.layers[-1].slope is not None:
        raise JpHwError(
            f"network {graph.name} ends in an activation; end it with the layer that gives the logits"
        )
    return lowered


def _fold(lowered: Lowered, node: Node) -> None:
    """Fold a node without weights of its own into the layer before it."""
    last = lowered.layers[-1] if lowered.layers else None
    if isinstance(node, Keep):
        if last is None:
            lowered.input_theta = max(lowered.input_theta, node.theta)
        elif last.slope is None:
            raise JpHwError(f"{node.name}: a Winner must follow an activation such as ReLU")
        else:
            lowered.layers[-1] = replace(last, theta=max(last.theta, node.theta))
        return
    if last is None or last.slope is not None:
        raise JpHwError(f"{node.name} must follow a Linear or Conv2d layer")
    if isinstance(node, Activate):
        if not 0.0 <= node.slope <= 1.0:
            raise JpHwError(f"{node.name}: a slope of {node.slope} is not supported; use 0 to 1")
        lowered.layers[-1] = replace(last, slope=node.slope)
    elif isinstance(node, Normalize):
        if len(node.scale) != last.output.channels:
            raise JpHwError(f"{node.name} normalizes {len(node.scale)} channels, not {last.output}")
        scatter = replace(
            last.scatter,
            weights=last.scatter.weights * node.scale[:, None, None, None],
            bias=last.scatter.bias * node.scale + node.shift,
        )
        lowered.layers[-1] = replace(last, scatter=scatter)
    else:
        raise JpHwError(f"{node.name}: nodes of kind {type(node).__name__} are not supported")


def _scatter(graph: Graph, lowered: Lowered, node: Scatter, flat: bool) -> FloatLayer:
    last = lowered.layers[-1] if lowered.layers else None
    if last is not None and last.slope is None:
        raise JpHwError(f"no activation between {last.name} and {node.name}; add a ReLU")
    shape = last.output if last else graph.input
    weights = node.weights
    if weights.ndim == 2:
        weights = _fully_connected(node, shape, flat)
        if last is None and lowered.input != shape:  # channel, row, column -> row, column, channel
            weights = weights.transpose(0, 2, 3, 1).reshape(len(weights), -1, 1, 1)
            shape = lowered.input
    elif flat:
        raise JpHwError(f"{node.name}: a convolution cannot read a flattened map")
    if weights.shape[1] * node.groups != shape.channels:
        raise JpHwError(f"{node.name} reads {weights.shape[1] * node.groups} channels, not {shape}")
    height, width = (
        (size + 2 * node.padding[i] - (weights.shape[2 + i] - 1) * node.dilation[i] - 1)
        // node.stride[i]
        + 1
        for i, size in enumerate((shape.height, shape.width))
    )
    if min(height, width) < 1:
        raise JpHwError(f"{node.name}: its kernel does not fit on a map of {shape}")
    scatter = replace(node, tensor=last.name if last else INPUT, weights=weights)
    return FloatLayer(scatter, Shape(height, width, len(weights)))


def _fully_connected(node: Scatter, shape: Shape, flat: bool) -> Float:
    """Weights (out, in) as a kernel that covers the whole map."""
    if not flat and (shape.height, shape.width) != (1, 1):
        raise JpHwError(f"{node.name}: a Linear layer on a map of {shape}; put a Flatten before it")
    if node.weights.shape[1] != shape.size:
        raise JpHwError(
            f"{node.name} reads {node.weights.shape[1]} values, not the {shape.size} of {shape}"
        )
    kernel = node.weights.reshape(-1, shape.channels, shape.height, shape.width)
    return np.ascontiguousarray(kernel)
