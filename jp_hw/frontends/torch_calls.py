"""Torch functions and tensor methods as graph nodes."""

import inspect
import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional

from jp_hw.frontends.torch_modules import MODULES, adaptive
from jp_hw.frontends.torch_read import unsupported
from jp_hw.graph import Activate, Add, Concat, Flatten, Node

Call = Callable[[fx.Node, list[str]], Node | None]


def _arguments(item: fx.Node, names: tuple[str, ...]) -> dict[str, Any]:
    """A call's arguments after the tensor, by name."""
    return dict(zip(names, item.args[1:], strict=False)) | {
        name: value for name, value in item.kwargs.items() if name in names
    }


def _as_module(module: Callable[..., nn.Module]) -> Call:
    """A function that takes what a module's constructor takes, the input first."""

    def call(item: fx.Node, tensors: list[str]) -> Node | None:
        names = tuple(inspect.signature(module).parameters)
        made = module(**_arguments(item, names))
        return MODULES[type(made)](item.name, tensors[0], made)

    return call


def _flatten(item: fx.Node, tensors: list[str]) -> Node:
    found = _arguments(item, ("start_dim", "end_dim"))
    if (found.get("start_dim"), found.get("end_dim", -1)) != (1, -1):
        raise unsupported(item.name, "flatten", "use start_dim=1, which keeps the batch")
    return Flatten(item.name, tensors[0])


def _view(item: fx.Node, tensors: list[str]) -> Node:
    size = item.args[1] if isinstance(item.args[1], list | tuple) else item.args[1:]
    if not isinstance(size, list | tuple) or len(size) != 2 or size[1] != -1:
        raise unsupported(item.name, "a view", "use flatten with start_dim=1")
    return Flatten(item.name, tensors[0])


def _add(item: fx.Node, tensors: list[str]) -> Node:
    if len(tensors) != 2 or item.kwargs.get("alpha", 1) != 1:
        raise unsupported(item.name, "add", "it must add two maps")
    return Add(item.name, tensors[0], (tensors[1],))


def _concat(item: fx.Node, tensors: list[str]) -> Node:
    if _arguments(item, ("dim",)).get("dim", 0) not in (1, -3):
        raise unsupported(item.name, "cat", "maps can be joined by channel only: use dim=1")
    return Concat(item.name, tensors[0], tuple(tensors[1:]))


def _mean(item: fx.Node, tensors: list[str]) -> Node:
    dims = _arguments(item, ("dim", "keepdim")).get("dim")
    if not isinstance(dims, list | tuple) or {int(str(d)) % 4 for d in dims} != {2, 3}:
        raise unsupported(item.name, "mean", "use dim=(2, 3), the mean over each map")
    return adaptive(item.name, tensors[0], (1, 1), "average")


def _adaptive(kind: str) -> Call:
    return lambda item, tensors: adaptive(
        item.name, tensors[0], _arguments(item, ("output_size",)).get("output_size"), kind
    )


def _average_pool(item: fx.Node, tensors: list[str]) -> Node | None:
    names = ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad")
    made = nn.AvgPool2d(**_arguments(item, names))
    return MODULES[nn.AvgPool2d](item.name, tensors[0], made)


def _max_pool(item: fx.Node, tensors: list[str]) -> Node | None:
    names = ("kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices")
    found: dict[str, Any] = _arguments(item, names)
    made = nn.MaxPool2d(**found)
    return MODULES[nn.MaxPool2d](item.name, tensors[0], made)


def _relu(item: fx.Node, tensors: list[str]) -> Node:
    return Activate(item.name, tensors[0], 0.0)


def _nothing(item: fx.Node, tensors: list[str]) -> None:
    return None


CALLS: dict[Any, Call] = {
    **dict.fromkeys((torch.relu, torch.relu_, functional.relu, "relu", "relu_"), _relu),
    **dict.fromkeys((torch.flatten, "flatten"), _flatten),
    **dict.fromkeys((torch.reshape, "view", "reshape"), _view),
    **dict.fromkeys((operator.add, operator.iadd, torch.add, "add", "add_"), _add),
    **dict.fromkeys((torch.cat, torch.concat, torch.concatenate), _concat),
    **dict.fromkeys((torch.mean, "mean"), _mean),
    **dict.fromkeys((torch.sigmoid, functional.sigmoid, "sigmoid"), _as_module(nn.Sigmoid)),
    **dict.fromkeys((torch.tanh, functional.tanh, "tanh"), _as_module(nn.Tanh)),
    **dict.fromkeys(
        (functional.dropout, functional.dropout2d, torch.as_tensor, "contiguous"), _nothing
    ),
    functional.relu6: _as_module(nn.ReLU6),
    functional.leaky_relu: _as_module(nn.LeakyReLU),
    functional.hardtanh: _as_module(nn.Hardtanh),
    functional.elu: _as_module(nn.ELU),
    functional.selu: _as_module(nn.SELU),
    functional.softplus: _as_module(nn.Softplus),
    functional.max_pool2d: _max_pool,
    functional.avg_pool2d: _average_pool,
    functional.adaptive_avg_pool2d: _adaptive("average"),
    functional.adaptive_max_pool2d: _adaptive("max"),
}
