"""PyTorch front end: traces a module with torch.fx and reads its layers."""

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import fx, nn
from torch.nn.utils.parametrize import type_before_parametrizations
from torch.nn.utils.prune import BasePruningMethod

from jp_hw.errors import JpHwError
from jp_hw.graph import Activate, Flatten, Float, Graph, Keep, Node, Normalize, Scatter
from jp_hw.ir import INPUT, Shape
from jp_hw.nn import Winner

SUPPORTED = (
    "Linear, Conv2d, BatchNorm1d, BatchNorm2d, ReLU, LeakyReLU, Winner, Flatten, Dropout, Identity"
)


class _Tracer(fx.Tracer):
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
    for item in traced.nodes:
        if item.op == "placeholder":
            if names:
                raise JpHwError(f"the model takes a second input, {item.name}; one is supported")
            names[item.name] = INPUT
        elif item.op == "output":
            last = nodes[-1].name if nodes else INPUT
            if not isinstance(item.args[0], fx.Node) or names[item.args[0].name] != last:
                raise JpHwError(f"the model must return one tensor, the result of {last}")
        else:
            node = _node(item, modules, names)
            names[item.name] = node.name if node else names[_first_input(item)]
            nodes += [node] if node else []
    return Graph(name, shape, tuple(nodes))


def _first_input(item: fx.Node) -> str:
    return item.all_input_nodes[0].name


def _node(item: fx.Node, modules: dict[str, nn.Module], names: dict[str, str]) -> Node | None:
    """One traced call as a graph node; None where it does nothing at inference."""
    if len(item.all_input_nodes) != 1:
        raise _unsupported(item.name, _kind(item), "it does not read exactly one tensor")
    tensor = names[_first_input(item)]
    if item.op == "call_module":
        path = str(item.target)
        module = modules[path]
        convert = _MODULES.get(type_before_parametrizations(module))
        if convert is None:
            raise _unsupported(path, type(module).__name__)
        return convert(path.replace(".", "_"), tensor, module)
    if item.target in (torch.relu, nn.functional.relu, "relu"):
        return Activate(item.name, tensor, 0.0)
    if item.target in (torch.flatten, "flatten"):
        dims = dict(zip(("start_dim", "end_dim"), item.args[1:], strict=False)) | item.kwargs
        if (dims.get("start_dim"), dims.get("end_dim", -1)) == (1, -1):
            return Flatten(item.name, tensor)
        raise _unsupported(item.name, "flatten", "use start_dim=1, which keeps the batch")
    raise _unsupported(item.name, _kind(item))


def _kind(item: fx.Node) -> str:
    if item.target is operator.getitem:
        return "indexing"
    return str(getattr(item.target, "__name__", item.target))


def _unsupported(place: str, kind: str, why: str = "") -> JpHwError:
    reason = f" ({why})" if why else ""
    return JpHwError(f"{place}: {kind} is not supported{reason}; supported are {SUPPORTED}")


def _array(tensor: torch.Tensor) -> Float:
    return np.asarray(tensor.detach().cpu().double().numpy(), np.float64)


def _pruned(module: nn.Module, name: str) -> Any:
    """A parameter as it takes effect: torch's pruning hooks set it only at the next forward pass."""
    hooks: list[Any] = list(module._forward_pre_hooks.values())
    for hook in hooks:
        if isinstance(hook, BasePruningMethod) and hook._tensor_name == name:
            mask: Any = hook.apply_mask  # untyped in torch
            return mask(module)
    return getattr(module, name)


def _weight(module: nn.Linear | nn.Conv2d) -> Float:
    return _array(_pruned(module, "weight"))


def _bias(module: nn.Linear | nn.Conv2d) -> Float:
    bias = _pruned(module, "bias")
    return np.zeros(module.weight.shape[0]) if bias is None else _array(bias)


def _linear(name: str, tensor: str, module: nn.Linear) -> Node:
    return Scatter(name, tensor, _weight(module), _bias(module))


def _conv(name: str, tensor: str, module: nn.Conv2d) -> Node:
    if module.padding_mode != "zeros" or isinstance(module.padding, str):
        raise _unsupported(name, "Conv2d", "padding must be numbers, padding_mode zeros")
    stride, padding, dilation = (
        (int(pair[0]), int(pair[1])) for pair in (module.stride, module.padding, module.dilation)
    )
    return Scatter(
        name, tensor, _weight(module), _bias(module), stride, padding, dilation, module.groups
    )


def _norm(name: str, tensor: str, module: nn.BatchNorm2d) -> Node:
    if module.running_mean is None or module.running_var is None:
        raise _unsupported(name, "BatchNorm", "it keeps no running statistics")
    scale = 1.0 / np.sqrt(_array(module.running_var) + module.eps)
    shift = -_array(module.running_mean) * scale
    if module.weight is not None:
        scale, shift = scale * _array(module.weight), shift * _array(module.weight)
    return Normalize(
        name, tensor, scale, shift if module.bias is None else shift + _array(module.bias)
    )


def _flatten(name: str, tensor: str, module: nn.Flatten) -> Node:
    if (module.start_dim, module.end_dim) != (1, -1):
        raise _unsupported(name, "Flatten", "start_dim must be 1 and end_dim -1")
    return Flatten(name, tensor)


def _winner(name: str, tensor: str, module: Winner) -> Node | None:
    if module.mode == "off":
        return None
    if module.mode != "static":
        raise _unsupported(name, f"a Winner in mode {module.mode}", "calibrate it first")
    return Keep(name, tensor, float(module.theta))


_Convert = Callable[[str, str, Any], Node | None]
_MODULES: dict[type[nn.Module], _Convert] = {
    nn.Linear: _linear,
    nn.Conv2d: _conv,
    nn.BatchNorm1d: _norm,
    nn.BatchNorm2d: _norm,
    nn.ReLU: lambda name, tensor, module: Activate(name, tensor, 0.0),
    nn.LeakyReLU: lambda name, tensor, module: Activate(name, tensor, module.negative_slope),
    nn.Flatten: _flatten,
    nn.Dropout: lambda name, tensor, module: None,
    nn.Identity: lambda name, tensor, module: None,
    Winner: _winner,
}
