"""Quantization: a float network and calibration images to the integer network.

Weights: symmetric, scale per output channel (per tensor in the last layer, so that logits compare).
Activations: scale per tensor, the one with the least squared error over the calibration images, so a
few huge activations may saturate.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from jp_hw.dense import convolve
from jp_hw.errors import JpHwError
from jp_hw.graph import Float, Graph
from jp_hw.ir import (
    MULTIPLIER_BITS,
    Input,
    Int,
    Layer,
    Network,
    Requantize,
    Shape,
    Source,
    value_limits,
)
from jp_hw.passes import FloatLayer, Lowered, lower

if TYPE_CHECKING:
    import torch

SAMPLES = 64
"""Calibration images kept with the network for the scheduler."""
BIAS_LIMIT = 1 << 24
STEP_RANGE = 256
"""Greatest ratio of two weight steps of a layer: multipliers keep 9 of their 17 bits at least."""
CLIPS = 17
"""Scales that are tried for activations: the largest magnitude's, and down to a 16th of it."""


def quantize(
    model: "torch.nn.Module | Graph",
    calibration: NDArray[np.uint8],
    *,
    name: str = "network",
    input_scale: float = 1.0 / 255.0,
    weight_bits: int = 8,
    activation_bits: int = 8,
) -> Network:
    """Quantize a float model.

    calibration: uint8 (n, height, width, channels), real inputs; the model sees them times input_scale
    (torch: as float (n, channels, height, width)). Raises JpHwError naming the layer whose weights
    are NaN or all zero, or that is not supported.
    """
    if calibration.ndim != 4 or not len(calibration) or calibration.dtype != np.uint8:
        raise JpHwError(
            f"calibration images are {calibration.dtype} {calibration.shape}; "
            "give uint8 (n >= 1, height, width, channels)"
        )
    if not (2 <= weight_bits <= 8 and 2 <= activation_bits <= 8):
        raise JpHwError("weights and activations can have 2 to 8 bits")
    graph = model if isinstance(model, Graph) else _trace(model, calibration, name)
    lowered = lower(graph)
    theta = int(np.floor(lowered.input_theta / input_scale)) + 1 if lowered.input_theta else 1
    spec = Input(lowered.input, theta=theta, scale=input_scale)
    images = calibration.astype(np.int64).reshape(
        -1, spec.shape.height, spec.shape.width, spec.shape.channels
    )
    kept = np.where(images >= theta, images, 0)
    layers, scale = _layers(lowered, kept * input_scale, input_scale, weight_bits, activation_bits)
    return Network(graph.name, spec, layers, images[:SAMPLES], scale)


def _trace(model: "torch.nn.Module", calibration: NDArray[np.uint8], name: str) -> Graph:
    from jp_hw.frontends.torch_fx import read  # torch is heavy

    return read(model, Shape(*calibration.shape[1:]), name)


def _layers(
    lowered: Lowered, values: Float, scale: float, weight_bits: int, activation_bits: int
) -> tuple[tuple[Layer, ...], float]:
    """All integer layers, and the scale of the logits. values: real inputs, (n, h, w, channels)."""
    layers = []
    for layer in lowered.layers:
        _check(layer)
        is_last = layer is lowered.layers[-1]
        steps = _weight_scale(layer, weight_bits, scale, per_tensor=is_last)
        weights = np.rint(layer.scatter.weights / steps[:, None, None, None]).astype(np.int64)
        if not weights.any():
            raise JpHwError(f"layer {layer.name}: all its weights are zero; it computes nothing")
        bias = np.rint(layer.scatter.bias / (steps * scale)).astype(np.int64)
        source = Source(
            layer.scatter.tensor, weights, layer.scatter.stride, layer.scatter.padding,
            layer.scatter.dilation, layer.scatter.groups,
        )  # fmt: skip
        requantize = None
        if not is_last:
            values = _forward(layer, values)
            out_scale = _activation_scale(layer, values, activation_bits)
            requantize = _requantize(layer, steps * scale / out_scale, out_scale, activation_bits)
            scale = out_scale
        else:
            scale = float(scale * steps[0])
        layers.append(Layer(layer.name, (source,), bias, layer.output, requantize, weight_bits))
    return tuple(layers), scale


def _check(layer: FloatLayer) -> None:
    for what, array in (("weights", layer.scatter.weights), ("bias", layer.scatter.bias)):
        if not np.isfinite(array).all():
            raise JpHwError(f"layer {layer.name}: its {what} hold NaN or infinity; train it anew")
    if not layer.scatter.weights.any():
        raise JpHwError(f"layer {layer.name}: all its weights are zero; it computes nothing")


def _weight_scale(layer: FloatLayer, bits: int, scale: float, *, per_tensor: bool) -> Float:
    """Real value of one weight step, per output channel."""
    weights, bias = layer.scatter.weights, np.abs(layer.scatter.bias)
    largest = np.abs(weights).reshape(len(weights), -1).max(1)
    steps = largest / ((1 << (bits - 1)) - 1)
    # channels (nearly) without weights: a step that leaves their multiplier its bits, and under
    # which the bias still fits its register
    steps = np.maximum(steps, np.maximum(bias / (scale * BIAS_LIMIT), steps.max() / STEP_RANGE))
    return np.full_like(steps, steps.max()) if per_tensor else steps


def _forward(layer: FloatLayer, values: Float) -> Float:
    """The layer's real activations, winner rule included."""
    scatter, output = layer.scatter, layer.output
    total = scatter.bias + convolve(
        values, scatter.weights, (output.height, output.width),
        scatter.stride, scatter.padding, scatter.dilation, scatter.groups,
    )  # fmt: skip
    active = np.where(total < 0, total * (layer.slope or 0.0), total)
    return np.where(np.abs(active) > layer.theta, active, 0.0)


def _activation_scale(layer: FloatLayer, values: Float, bits: int) -> float:
    high = value_limits(bits, bool(layer.slope))[1]
    winners = np.abs(values[values != 0.0])
    if not len(winners):
        raise JpHwError(
            f"layer {layer.name}: no activation of the calibration images is above its threshold; "
            "lower its theta or raise its winner rate"
        )
    candidates = winners.max() / high * 2.0 ** -(np.arange(CLIPS) / 4)
    errors = [
        np.square(np.minimum(np.rint(winners / s), high) * s - winners).sum() for s in candidates
    ]
    return float(candidates[int(np.argmin(errors))])


def _requantize(layer: FloatLayer, ratio: Float, out_scale: float, bits: int) -> Requantize:
    """Fixed-point multipliers for `ratio`, the real value of an accumulator step in output steps."""
    top = (1 << (MULTIPLIER_BITS - 1)) - 1
    shift = int(np.floor(np.log2(top / ratio.max())))
    if not 1 <= shift <= 40:
        raise JpHwError(f"layer {layer.name}: its scale {ratio.max():.3g} cannot be requantized")
    multiplier: Int = np.rint(ratio * 2.0**shift).astype(np.int64)
    slope = layer.slope or 0.0
    low, high = value_limits(bits, bool(slope))
    # |a| > theta, on rounded values: the first step whose interval lies above theta
    theta = max(1, int(np.rint(layer.theta / out_scale + 0.5))) if layer.theta else 1
    if theta > high:
        raise JpHwError(
            f"layer {layer.name}: no activation can reach its threshold {layer.theta:.3g}"
        )
    return Requantize(
        multiplier, np.rint(multiplier * slope).astype(np.int64), shift, low, high, theta
    )
