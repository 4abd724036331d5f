"""The lowered float layers as numpy computes them: what quantization calibrates on and is held to."""

import numpy as np

from jp_hw.dense import convolve
from jp_hw.golden import pool
from jp_hw.graph import Curve, Float
from jp_hw.ir import INPUT
from jp_hw.passes import FloatLayer, Lowered


def tensors(lowered: Lowered, inputs: Float) -> dict[str, Float]:
    """Every tensor of a batch of real inputs by name, float64 (n, height, width, channels)."""
    found = {INPUT: read_input(lowered, inputs)}
    for layer in lowered.layers:
        found[layer.name] = compute(layer, found)
    return found


def read_input(lowered: Lowered, inputs: Float) -> Float:
    """Inputs after the input's winner rule."""
    if not lowered.input_theta:
        return inputs
    return np.where(np.abs(inputs) > lowered.input_theta, inputs, 0.0)


def sums(layer: FloatLayer, values: dict[str, Float]) -> Float:
    """A layer's pooled sums, bias included; values: the tensors that it reads, by name."""
    grid = (layer.map.height, layer.map.width)
    total = np.sum(
        [
            convolve(values[s.tensor], s.weights, grid, s.stride, s.padding, s.dilation, s.groups)
            for s in layer.sources
        ],
        axis=0,
    )
    total += layer.bias
    return total if layer.pool is None else pool(layer.pool, total, layer.output)


def activate(layer: FloatLayer, total: Float) -> Float:
    """Activations of pooled sums, winner rule included."""
    if layer.activation is None:
        return total
    if isinstance(layer.activation, Curve):
        active = layer.activation.function(total)
    else:
        slope = np.asarray(layer.activation.slope)
        active = np.minimum(np.where(total < 0, total * slope, total), layer.activation.ceiling)
    return np.where(np.abs(active) > layer.theta, active, 0.0)


def compute(layer: FloatLayer, values: dict[str, Float]) -> Float:
    """A layer's tensor, from the tensors that it reads."""
    return activate(layer, sums(layer, values))
