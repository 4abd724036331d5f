"""Passes over the float graph: everything between two activations becomes one layer.

A layer adds up convolutions of earlier tensors, pools the sums, and applies one activation and one
winner rule. So batch norms, biases, adds, concatenations and pools disappear into the layers around
them. What cannot be folded becomes a layer of its own: a convolution with the identity.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from jp_hw.errors import JpHwError
from jp_hw.graph import (
    Activate,
    Add,
    Concat,
    Curve,
    Flatten,
    Float,
    Graph,
    Keep,
    Node,
    Normalize,
    Pool,
    Scatter,
)
from jp_hw.ir import INPUT, Shape
from jp_hw.ir import Pool as MaxPool
from jp_hw.kernels import FloatSource, averaging, cut, identity, joined, pooled_size, spread


@dataclass(frozen=True)
class FloatLayer:
    """Sources, and all that follows them up to the next activation, winner rule included.

    activation: Activate(slope 1) where there is none but the tensor must exist. None in the last
    layer. theta: the winner rule's threshold, 0 where there is none.
    """

    name: str
    sources: tuple[FloatSource, ...]
    bias: Float
    output: Shape
    pool: MaxPool | None = None
    activation: Activate | Curve | None = None
    theta: float = 0.0

    @property
    def map(self) -> Shape:
        """Shape of the sums, before pooling."""
        return self.output if self.pool is None else Shape(*self.pool.size, self.output.channels)


@dataclass
class Lowered:
    """Layers of a graph. input: as the hardware reads it. input_theta: its threshold, 0 for none."""

    input: Shape
    input_theta: float = 0.0
    layers: list[FloatLayer] = field(default_factory=list)


@dataclass(frozen=True)
class _Sum:
    """Sums that no activation has followed yet. mean: they are averages of whole maps."""

    name: str
    sources: tuple[FloatSource, ...]
    bias: Float
    shape: Shape
    pool: MaxPool | None = None
    mean: bool = False


@dataclass(frozen=True)
class _Tensors:
    """Finished tensors side by side, one after another by channel. flat: read as one vector."""

    parts: tuple[tuple[str, Shape], ...]
    flat: bool = False

    @property
    def shape(self) -> Shape:
        """Shape of all parts together (unless flat)."""
        first = self.parts[0][1]
        return Shape(first.height, first.width, sum(shape.channels for _, shape in self.parts))

    @property
    def single(self) -> str | None:
        """The tensor's name if it is just one."""
        return self.parts[0][0] if len(self.parts) == 1 else None


_Value = _Sum | _Tensors


def lower(graph: Graph) -> Lowered:
    """Fold a graph into layers.

    A network that flattens its input at once reads a vector of bytes in row, column, channel order,
    so no row ends there. Raises JpHwError naming the node that does not fit.
    """
    return _Lowering(graph).run()


class _Lowering:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.users = Counter(tensor for node in graph.nodes for tensor in node.reads)
        self.users[graph.output] += 1
        readers = [node for node in graph.nodes if INPUT in node.reads]
        self.vector = len(readers) == 1 and isinstance(readers[0], Flatten)
        shape = Shape(1, 1, graph.input.size) if self.vector else graph.input
        self.input_theta = 0.0
        self.layers: dict[str, FloatLayer] = {}
        self.values: dict[str, _Value] = {INPUT: _Tensors(((INPUT, shape),))}

    def run(self) -> Lowered:
        handlers: dict[type[Node], Callable[[Any], _Value]] = {
            Scatter: self.scatter,
            Normalize: self.normalize,
            Activate: self.activate,
            Curve: self.activate,
            Keep: self.keep,
            Pool: self.pool,
            Add: self.add,
            Concat: self.concat,
            Flatten: self.flatten,
        }
        for node in self.graph.nodes:
            for tensor in node.reads:
                if tensor not in self.values:
                    raise JpHwError(f"{node.name} reads {tensor}, which no earlier node makes")
            self.values[node.name] = handlers[type(node)](node)
        if not any(isinstance(node, Scatter) for node in self.graph.nodes):
            raise JpHwError(f"network {self.graph.name} has no Linear or Conv2d layer")
        last = self.values[self.graph.output]
        if isinstance(last, _Tensors):
            raise JpHwError(
                f"network {self.graph.name} ends in an activation; "
                "end it with the layer that gives the logits"
            )
        logits = self._close(last, None)
        read = self.values[INPUT]
        assert isinstance(read, _Tensors)  # an input is never a sum
        return Lowered(read.shape, self.input_theta, self._alive(logits.parts[0][0]))

    def _alive(self, name: str) -> list[FloatLayer]:
        """The layers that the last one needs, in processing order."""
        needed, queue = {name}, [name]
        while queue:
            for source in self.layers[queue.pop()].sources:
                if source.tensor != INPUT and source.tensor not in needed:
                    needed.add(source.tensor)
                    queue.append(source.tensor)
        return [layer for layer in self.layers.values() if layer.name in needed]

    # ---- nodes

    def scatter(self, node: Scatter) -> _Value:
        value = self.values[node.tensor]
        if isinstance(value, _Sum) and value.mean and self._own(node.tensor):
            kernel = node.weights.shape[2:]
            if kernel in ((), (1, 1)) and node.padding == (0, 0):
                return self._scatter_mean(node, value)
        tensors = self._finish(node.tensor)
        if node.weights.ndim == 2:
            sources = self._fully_connected(node, tensors)
            return _Sum(node.name, sources, node.bias, Shape(1, 1, len(node.weights)))
        if tensors.flat:
            raise JpHwError(f"{node.name}: a convolution cannot read a flattened map")
        shape = tensors.shape
        self._check_channels(node, node.weights.shape[1] * node.groups, shape)
        height, width = (
            (
                size + node.padding[i] + (node.after or node.padding)[i]
                - (node.weights.shape[2 + i] - 1) * node.dilation[i] - 1
            ) // node.stride[i] + 1
            for i, size in enumerate((shape.height, shape.width))
        )  # fmt: skip
        if min(height, width) < 1:
            raise JpHwError(f"{node.name}: its kernel does not fit on a map of {shape}")
        whole = FloatSource("", node.weights, node.stride, node.padding, node.dilation, node.groups)
        output = Shape(height, width, len(node.weights))
        return _Sum(node.name, cut(whole, tensors.parts), node.bias, output)

    def _scatter_mean(self, node: Scatter, value: _Sum) -> _Value:
        """A fully connected layer on means of maps reads the maps themselves."""
        self._check_channels(node, node.weights.shape[1] * node.groups, value.shape)
        sources = tuple(spread(source, node.weights, node.groups) for source in value.sources)
        return _Sum(node.name, joined(sources), node.bias, Shape(1, 1, len(node.weights)))

    def _fully_connected(self, node: Scatter, tensors: _Tensors) -> tuple[FloatSource, ...]:
        """Kernels that cover the whole maps, from weights (out, in)."""
        sizes = [shape.size for _, shape in tensors.parts]
        if not tensors.flat and any(s.height * s.width > 1 for _, s in tensors.parts):
            raise JpHwError(
                f"{node.name}: a Linear layer on a map of {tensors.shape}; put a Flatten before it"
            )
        if node.weights.shape[1] != sum(sizes):
            raise JpHwError(
                f"{node.name} reads {node.weights.shape[1]} values, "
                f"not the {sum(sizes)} of {' + '.join(str(shape) for _, shape in tensors.parts)}"
            )
        sources, start = [], 0
        for tensor, shape in tensors.parts:
            own = node.weights[:, start : start + shape.size]
            if tensor == INPUT and self.vector:  # channel, row, column -> row, column, channel
                true = self.graph.input
                kernel = own.reshape(-1, true.channels, true.height, true.width)
                kernel = kernel.transpose(0, 2, 3, 1).reshape(len(own), -1, 1, 1)
            else:
                kernel = own.reshape(-1, shape.channels, shape.height, shape.width)
            sources.append(FloatSource(tensor, np.ascontiguousarray(kernel)))
            start += shape.size
        return joined(sources)

    def _check_channels(self, node: Scatter, channels: int, shape: Shape) -> None:
        if channels != shape.channels:
            raise JpHwError(f"{node.name} reads {channels} channels, not {shape}")

    def normalize(self, node: Normalize) -> _Value:
        value = self._open(node)
        if len(node.scale) != value.shape.channels:
            raise JpHwError(f"{node.name} normalizes {len(node.scale)} channels, not {value.shape}")
        if value.pool is not None and not np.all(node.scale > 0):  # would turn a maximum around
            value = self._identity(node.name, self._close(value, Activate("", "", 1.0)))
        sources = tuple(source.scaled(node.scale) for source in value.sources)
        return replace(
            value, sources=sources, bias=value.bias * node.scale + node.shift, mean=False
        )

    def activate(self, node: Activate | Curve) -> _Value:
        return self._close(self._open(node), node)

    def keep(self, node: Keep) -> _Value:
        value = self.values[node.tensor]
        if isinstance(value, _Tensors) and self._own(node.tensor):
            if value.single == INPUT:
                self.input_theta = max(self.input_theta, node.theta)
                return value
            if all(tensor != INPUT for tensor, _ in value.parts):
                for tensor, _ in value.parts:
                    layer = self.layers[tensor]
                    self.layers[tensor] = replace(layer, theta=max(layer.theta, node.theta))
                return value
        tensors = self._close(self._open(node), Activate("", "", 1.0))
        name = tensors.parts[0][0]
        self.layers[name] = replace(self.layers[name], theta=node.theta)
        return tensors

    def pool(self, node: Pool) -> _Value:
        value = self.values[node.tensor]
        if isinstance(value, _Tensors) and value.flat:
            raise JpHwError(f"{node.name}: a pool cannot read a flattened map")
        shape = value.shape
        if isinstance(value, _Sum) and value.pool is not None:
            shape = self._finish(node.tensor).shape
        window, stride, padding, size = pooled_size(node, shape)
        if node.kind == "average":
            tensors = self._finish(node.tensor)
            sources = averaging(tensors.parts, window, stride, padding)
            mean = size == (1, 1) and window == (shape.height, shape.width)
            output = Shape(*size, shape.channels)
            return _Sum(node.name, sources, np.zeros(shape.channels), output, mean=mean)
        rule = MaxPool((shape.height, shape.width), window, stride, padding)
        output = Shape(*size, shape.channels)
        if isinstance(value, _Tensors) and value.single in self.layers and self._own(node.tensor):
            layer = self.layers[str(value.single)]
            if layer.pool is None:
                self.layers[layer.name] = replace(layer, output=output, pool=rule)
                return _Tensors(((layer.name, output),))
        opened = self._open(node)
        return replace(opened, shape=output, pool=rule, mean=False)

    def add(self, node: Add) -> _Value:
        terms = [self._term(node.name, tensor) for tensor in node.reads]
        shapes = [term.shape for term in terms]
        if len(set(shapes)) > 1:
            listed = " and ".join(map(str, shapes))
            raise JpHwError(f"{node.name} adds maps of {listed}; they must have one shape")
        known = [t for t, term in zip(node.reads, terms, strict=True) if self.values[t] is term]
        name = max(known, key=self._weights, default=None)
        sources = joined([source for term in terms for source in term.sources])
        bias = np.sum([term.bias for term in terms], axis=0)
        return _Sum(
            terms[node.reads.index(name)].name if name else node.name, sources, bias, shapes[0]
        )

    def _weights(self, tensor: str) -> int:
        """Number of weights of a sum: the largest one gives a layer its name."""
        value = self.values[tensor]
        return sum(s.weights.size for s in value.sources) if isinstance(value, _Sum) else 0

    def _term(self, name: str, tensor: str) -> _Sum:
        """A sum without a pool, whose sources may be added to others."""
        value = self.values[tensor]
        if isinstance(value, _Sum) and value.pool is None and self._own(tensor):
            return value
        return self._identity(name, self._finish(tensor))

    def concat(self, node: Concat) -> _Value:
        tensors = [self._finish(tensor) for tensor in node.reads]
        parts = tuple(part for value in tensors for part in value.parts)
        flat = any(value.flat for value in tensors)
        if flat and any(not v.flat and v.shape.height * v.shape.width > 1 for v in tensors):
            raise JpHwError(f"{node.name} joins a flattened map and one that is not")
        if not flat and len({(shape.height, shape.width) for _, shape in parts}) > 1:
            listed = " and ".join(str(shape) for _, shape in parts)
            raise JpHwError(f"{node.name} joins maps of {listed}; they must have one size")
        return _Tensors(parts, flat)

    def flatten(self, node: Flatten) -> _Value:
        value = self.values[node.tensor]
        if isinstance(value, _Sum) and (value.shape.height, value.shape.width) == (1, 1):
            return value
        return replace(self._finish(node.tensor), flat=True)

    # ---- from sums to tensors and back

    def _own(self, tensor: str) -> bool:
        """Whether a graph tensor has one reader, so that its layer may still be changed.

        That reader's layer is its own as well: other names of the same tensors have readers of
        their own, and are checked on the way.
        """
        value = self.values[tensor]
        if isinstance(value, _Tensors):
            names = {name for name, _ in value.parts}
            aliases = [
                other for other, known in self.values.items()
                if isinstance(known, _Tensors) and names & {name for name, _ in known.parts}
            ]  # fmt: skip
            if any(self.users[alias] != 1 for alias in aliases):
                return False
        return self.users[tensor] == 1

    def _finish(self, tensor: str) -> _Tensors:
        """A graph tensor as finished tensors; a sum becomes a layer without an activation."""
        value = self.values[tensor]
        if isinstance(value, _Sum):
            value = self._close(value, Activate("", "", 1.0))
            self.values[tensor] = value
        return value

    def _open(self, node: Node) -> _Sum:
        """What a node reads, as a sum of its own; a finished tensor is read through the identity."""
        value = self.values[node.tensor]
        if isinstance(value, _Sum) and self._own(node.tensor):
            return value
        return self._identity(node.name, self._finish(node.tensor))

    def _identity(self, name: str, tensors: _Tensors) -> _Sum:
        if tensors.flat and any(shape.height * shape.width > 1 for _, shape in tensors.parts):
            raise JpHwError(f"{name} cannot read a flattened map; put the Flatten after it")
        return _Sum(name, identity(tensors.parts), np.zeros(tensors.shape.channels), tensors.shape)

    def _close(self, value: _Sum, activation: Activate | Curve | None) -> _Tensors:
        """End a sum with an activation: a new layer."""
        name = value.name
        while name in self.layers:
            name += "_"
        if isinstance(activation, Activate):
            _check_slope(activation, value.shape.channels)
        self.layers[name] = FloatLayer(
            name, value.sources, value.bias, value.shape, value.pool, activation
        )
        return _Tensors(((name, value.shape),))


def _check_slope(activation: Activate, channels: int) -> None:
    slope = np.asarray(activation.slope)
    if np.any(slope < 0.0) or np.any(slope > 1.0):
        worst = slope.reshape(-1)[np.argmax(np.abs(slope - 0.5))]
        raise JpHwError(f"{activation.name}: a slope of {worst} is not supported; use 0 to 1")
    if slope.size not in (1, channels):
        raise JpHwError(f"{activation.name}: {slope.size} slopes for {channels} channels")
