"""Torch modules as graph nodes."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.utils.prune import BasePruningMethod

from jp_hw.frontends.torch_read import array, pair, unsupported
from jp_hw.graph import Activate, Curve, Flatten, Float, Keep, Node, Normalize, Pool, Scatter
from jp_hw.nn import Winner

Convert = Callable[[str, str, Any], Node | None]


def _pruned(module: nn.Module, name: str) -> Any:
    """A parameter as it takes effect: torch's pruning hooks set it only at the next forward pass."""
    hooks: list[Any] = list(module._forward_pre_hooks.values())
    for hook in hooks:
        if isinstance(hook, BasePruningMethod) and hook._tensor_name == name:
            mask: Any = hook.apply_mask  # untyped in torch
            return mask(module)
    return getattr(module, name)


def _weight(module: nn.Linear | nn.Conv2d) -> Float:
    return array(_pruned(module, "weight"))


def _bias(module: nn.Linear | nn.Conv2d) -> Float:
    bias = _pruned(module, "bias")
    return np.zeros(module.weight.shape[0]) if bias is None else array(bias)


def _linear(name: str, tensor: str, module: nn.Linear) -> Node:
    return Scatter(name, tensor, _weight(module), _bias(module))


def _conv(name: str, tensor: str, module: nn.Conv2d) -> Node:
    if module.padding_mode != "zeros":
        raise unsupported(name, "Conv2d", f"padding_mode {module.padding_mode}; use zeros")
    stride, dilation = (pair(p, name, "Conv2d") for p in (module.stride, module.dilation))
    after = None
    if module.padding == "valid":
        padding = (0, 0)
    elif module.padding == "same":
        total = [d * (k - 1) for d, k in zip(dilation, module.kernel_size, strict=True)]
        padding = (total[0] // 2, total[1] // 2)
        after = (total[0] - padding[0], total[1] - padding[1])
    else:
        padding = pair(module.padding, name, "Conv2d")
    return Scatter(
        name,
        tensor,
        _weight(module),
        _bias(module),
        stride,
        padding,
        dilation,
        module.groups,
        after,
    )


def _norm(name: str, tensor: str, module: nn.BatchNorm2d) -> Node:
    if module.running_mean is None or module.running_var is None:
        raise unsupported(name, "BatchNorm", "it keeps no running statistics")
    scale = 1.0 / np.sqrt(array(module.running_var) + module.eps)
    shift = -array(module.running_mean) * scale
    if module.weight is not None:
        scale, shift = scale * array(module.weight), shift * array(module.weight)
    return Normalize(
        name, tensor, scale, shift if module.bias is None else shift + array(module.bias)
    )


def _flatten(name: str, tensor: str, module: nn.Flatten) -> Node:
    if (module.start_dim, module.end_dim) != (1, -1):
        raise unsupported(name, "Flatten", "start_dim must be 1 and end_dim -1")
    return Flatten(name, tensor)


def _winner(name: str, tensor: str, module: Winner) -> Node | None:
    if module.mode == "off":
        return None
    if module.mode != "static":
        raise unsupported(name, f"a Winner in mode {module.mode}", "calibrate it first")
    return Keep(name, tensor, float(module.theta))


def _curve(name: str, tensor: str, module: nn.Module) -> Node:
    def function(values: Float) -> Float:
        with torch.no_grad():
            result: Float = module(torch.from_numpy(np.asarray(values, np.float64))).numpy()
        return result

    return Curve(name, tensor, function)


def _max_pool(name: str, tensor: str, module: nn.MaxPool2d) -> Node:
    if module.dilation not in (1, (1, 1)) or module.return_indices:
        raise unsupported(name, "MaxPool2d", "dilation must be 1, return_indices False")
    window, padding = (pair(p, name, "MaxPool2d") for p in (module.kernel_size, module.padding))
    stride = pair(module.stride, name, "MaxPool2d")
    return Pool(name, tensor, "max", window, stride, padding, ceil=module.ceil_mode)


def _average_pool(name: str, tensor: str, module: nn.AvgPool2d) -> Node:
    window, padding = (pair(p, name, "AvgPool2d") for p in (module.kernel_size, module.padding))
    if module.divisor_override is not None or (not module.count_include_pad and any(padding)):
        raise unsupported(name, "AvgPool2d", "it must divide by the whole window's size")
    stride = pair(module.stride, name, "AvgPool2d")
    return Pool(name, tensor, "average", window, stride, padding, ceil=module.ceil_mode)


def adaptive(name: str, tensor: str, size: object, kind: str) -> Node:
    """Adaptive pooling of kind "max" or "average" to a size."""
    grid = pair(size, name, "adaptive pooling")
    return Pool(name, tensor, "max" if kind == "max" else "average", grid=grid)


CURVES = (
    nn.Sigmoid, nn.Tanh, nn.Hardtanh, nn.Hardsigmoid, nn.ELU, nn.SELU, nn.CELU, nn.Softplus,
    nn.Softsign, nn.LogSigmoid, nn.Softshrink, nn.Hardshrink, nn.Tanhshrink,
)  # fmt: skip
"""Activations that become tables; all of them never fall."""

MODULES: dict[type[nn.Module], Convert] = {
    nn.Linear: _linear,
    nn.Conv2d: _conv,
    nn.BatchNorm1d: _norm,
    nn.BatchNorm2d: _norm,
    nn.ReLU: lambda name, tensor, module: Activate(name, tensor, 0.0),
    nn.ReLU6: lambda name, tensor, module: Activate(name, tensor, 0.0, 6.0),
    nn.LeakyReLU: lambda name, tensor, module: Activate(name, tensor, module.negative_slope),
    nn.PReLU: lambda name, tensor, module: Activate(name, tensor, array(module.weight)),
    nn.Flatten: _flatten,
    nn.Dropout: lambda name, tensor, module: None,
    nn.Dropout2d: lambda name, tensor, module: None,
    nn.Identity: lambda name, tensor, module: None,
    nn.MaxPool2d: _max_pool,
    nn.AvgPool2d: _average_pool,
    nn.AdaptiveAvgPool2d: lambda n, t, module: adaptive(n, t, module.output_size, "average"),
    nn.AdaptiveMaxPool2d: lambda n, t, module: adaptive(n, t, module.output_size, "max"),
    Winner: _winner,
    **dict.fromkeys(CURVES, _curve),
}
