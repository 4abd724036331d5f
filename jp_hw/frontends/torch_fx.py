"""PyTorch front end: traces a module with torch.fx and reads its layers."""

import inspect
import operator
from types import FunctionType
from typing import Any

from torch import fx, nn
from torch.nn.utils.parametrize import type_before_parametrizations

from jp_hw.errors import JpHwError
from jp_hw.frontends.torch_calls import CALLS
from jp_hw.frontends.torch_modules import MODULES
from jp_hw.frontends.torch_read import SUPPORTED, unsupported
from jp_hw.graph import Graph, Node
from jp_hw.ir import INPUT, Shape
from jp_hw.nn import Winner


class _Proxy(fx.Proxy):
    """Records `x += y` as what it is: torch.fx alone takes it for `x + y`."""

    def __iadd__(self, other: Any) -> fx.Proxy:
        return self.tracer.create_proxy("call_function", operator.iadd, (self, other), {})


class _Tracer(fx.Tracer):
    def proxy(self, node: fx.Node) -> fx.Proxy:
        return _Proxy(node, self)

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, Winner) or super().is_leaf_module(m, module_qualified_name)


def read(model: nn.Module, shape: Shape, name: str = "network") -> Graph:
    """The float graph of a torch module in evaluation mode.

    shape: of its input map (height, width, channels); torch sees it as (n, channels, height, width).
    Weights pruned by torch.nn.utils.prune or parametrize are read as they take effect. Raises
    JpHwError naming the first module or function that is not supported.
    """
    try:
        traced = _Tracer().trace(model)
    except Exception as error:
        raise JpHwError(f"torch.fx cannot trace {type(model).__name__}: {error}") from error
    modules = dict(model.named_modules())
    nodes: list[Node] = []
    names: dict[str, str] = {}
    changed: dict[str, str] = {}  # tensors that a call has changed in place, and the call
    output = INPUT
    for item in traced.nodes:
        for source in [] if _is_size(item) else _inputs(item):
            if names[source.name] in changed:
                raise unsupported(
                    item.name, _kind(item), f"{changed[names[source.name]]} has changed in place "
                    f"what it reads, {source.name}; read its result, or compute it out of place",
                )  # fmt: skip
        if item.op == "placeholder":
            if names:
                raise JpHwError(f"the model takes a second input, {item.name}; one is supported")
            names[item.name] = INPUT
        elif item.op == "output":
            if not isinstance(item.args[0], fx.Node):
                raise JpHwError("the model must return one tensor, its logits")
            output = names[item.args[0].name]
        elif not _is_size(item):
            node = _node(item, modules, names, {known.name for known in nodes})
            if node is not None and _in_place(item, modules):
                changed[node.tensor] = item.name
            names[item.name] = node.name if node else names[_inputs(item)[0].name]
            nodes += [node] if node else []
    return Graph(name, shape, tuple(nodes), output)


def _is_size(item: fx.Node) -> bool:
    """Whether a call only asks for a tensor's size, as `x.view(x.size(0), -1)` does."""
    if item.op == "call_function" and item.target in (operator.getitem, getattr):
        first = item.args[0]
        is_shape = item.target is getattr and item.args[1] == "shape"
        return is_shape or (isinstance(first, fx.Node) and _is_size(first))
    return item.op == "call_method" and item.target == "size"


def _in_place(item: fx.Node, modules: dict[str, nn.Module]) -> bool:
    """Whether a call overwrites the tensor that it reads first."""
    if item.op == "call_module":
        return bool(getattr(modules[str(item.target)], "inplace", False))
    if item.target is operator.iadd or _kind(item).endswith("_"):
        return True
    found: dict[str, Any] = dict(item.kwargs)
    if isinstance(item.target, FunctionType):
        found |= dict(zip(inspect.signature(item.target).parameters, item.args, strict=False))
    return bool(found.get("inplace", False))


def _inputs(item: fx.Node) -> list[fx.Node]:
    return [source for source in item.all_input_nodes if not _is_size(source)]


def _node(
    item: fx.Node, modules: dict[str, nn.Module], names: dict[str, str], taken: set[str]
) -> Node | None:
    """One traced call as a graph node; None where it does nothing at inference."""
    if not _inputs(item):
        raise unsupported(item.name, _kind(item), "it reads no tensor")
    tensors = _tensors(item, names)
    if item.op == "call_module":
        path = str(item.target)
        module = modules[path]
        convert = MODULES.get(type_before_parametrizations(module))
        if convert is None:
            raise unsupported(path, type(module).__name__)
        name = path.replace(".", "_")
        return convert(name if name not in taken else item.name, tensors[0], module)
    call: Any = CALLS.get(item.target)
    if call is None:
        raise unsupported(item.name, _kind(item))
    node: Node | None = call(item, tensors)
    return node


def _tensors(item: fx.Node, names: dict[str, str]) -> list[str]:
    """Names of the tensors that a call reads, in order, repeated ones repeated."""
    first = item.args[0] if item.args else next(iter(item.kwargs.values()))
    listed = list(first) if isinstance(first, list | tuple) else list(item.args)
    found = [names[a.name] for a in listed if isinstance(a, fx.Node) and not _is_size(a)]
    return found or [names[source.name] for source in _inputs(item)]


def _kind(item: fx.Node) -> str:
    if item.target is operator.getitem:
        return "indexing"
    return str(getattr(item.target, "__name__", item.target))


__all__ = ["SUPPORTED", "read"]
