"""Quantization: a float network and calibration images to the integer network.

Weights: symmetric, one step of the accumulator per output channel (per tensor in the last layer, so that
logits compare); every source's weights are in that step over the source's own activation scale.
Activations: scale per tensor, the one with the least squared error over the calibration images, so a
few huge activations may saturate.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from jp_hw import float_model
from jp_hw.errors import JpHwError
from jp_hw.graph import Activate, Curve, Float, Graph
from jp_hw.ir import (
    INDEX_BITS,
    INPUT,
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
    lowered: Lowered, inputs: Float, scale: float, weight_bits: int, activation_bits: int
) -> tuple[tuple[Layer, ...], float]:
    """All integer layers, and the scale of the logits. inputs: real, (n, h, w, channels)."""
    layers, values, scales, signed = [], {INPUT: inputs}, {INPUT: scale}, {INPUT: False}
    last_use = {s.tensor: layer.name for layer in lowered.layers for s in layer.sources}
    for layer in lowered.layers:
        _check(layer)
        is_last = layer is lowered.layers[-1]
        steps = accumulator_steps(layer, weight_bits, scales, per_tensor=is_last)
        sources = tuple(
            Source(
                s.tensor, np.rint(s.weights * scales[s.tensor] / steps[:, None, None, None])
                .astype(np.int64), s.stride, s.padding, s.dilation, s.groups,
            )
            for s in layer.sources
        )  # fmt: skip
        if not any(source.weights.any() for source in sources):
            raise _all_zero(layer)
        bias = np.rint(layer.bias / steps).astype(np.int64)
        rule = None
        if not is_last:
            total = float_model.sums(layer, values)
            values[layer.name] = float_model.activate(layer, total)
            signed[layer.name] = _signed(layer, signed, total)
            limits = value_limits(activation_bits, signed[layer.name])
            found = _activation_scale(layer, values[layer.name], limits[1])
            narrows = layer.sources[0].tensor == INPUT and activation_bits < 8
            scales[layer.name] = found if narrows else _inherited(layer, scales) or found
            rule = _rule(layer, steps, total, scales[layer.name], limits)
        layers.append(Layer(layer.name, sources, bias, layer.output, rule, weight_bits, layer.pool))
        for tensor in [t for t, reader in last_use.items() if reader == layer.name]:
            del values[tensor]
    return tuple(layers), float(steps[0])


def _inherited(layer: FloatLayer, scales: dict[str, float]) -> float | None:
    """The source's scale where a layer only copies, pools or selects values: it stays exact."""
    if len(layer.sources) != 1 or layer.bias.any() or not isinstance(layer.activation, Activate):
        return None
    weights = layer.sources[0].weights
    alone = np.count_nonzero(weights.reshape(len(weights), -1), axis=1) == 1
    return scales[layer.sources[0].tensor] if alone.all() and weights.max() == 1.0 else None


def _check(layer: FloatLayer) -> None:
    weights = [source.weights for source in layer.sources]
    for what, arrays in (("weights", weights), ("bias", [layer.bias])):
        if not all(np.isfinite(array).all() for array in arrays):
            raise JpHwError(f"layer {layer.name}: its {what} hold NaN or infinity; train it anew")
    if not any(array.any() for array in weights):
        raise _all_zero(layer)


def _all_zero(layer: FloatLayer) -> JpHwError:
    return JpHwError(f"layer {layer.name}: all its weights are zero; it computes nothing")


def accumulator_steps(
    layer: FloatLayer, bits: int, scales: dict[str, float], *, per_tensor: bool
) -> Float:
    """Real value of one step of the accumulators, float64 (out channels,).

    It is as small as the largest weight of any source allows, scales being the sources' activation
    scales; a shortcut or an average gets a whole number of steps, so that it is not distorted.
    """
    top = (1 << (bits - 1)) - 1
    reach = [
        np.abs(s.weights).reshape(len(s.weights), -1) * scales[s.tensor] for s in layer.sources
    ]
    largest = np.max([table.max(1) for table in reach], axis=0)
    steps = largest / top
    # channels (nearly) without weights: a step that leaves their multiplier its bits, and under
    # which the bias still fits its register
    bias = np.abs(layer.bias)
    steps = np.maximum(steps, np.maximum(bias / BIAS_LIMIT, steps.max() / STEP_RANGE))
    if per_tensor:
        return np.full_like(steps, steps.max())
    coarse = _with_whole_units(reach, steps, coarse=True)
    if coarse.max() <= STEP_RANGE * coarse.min():
        return coarse
    return _with_whole_units(reach, steps, coarse=False)


def _with_whole_units(reach: list[Float], least: Float, *, coarse: bool) -> Float:
    """Steps of at least `least`, a whole part of every weight that is the only one of its source.

    reach: per source, float64 (out channels, weights), magnitudes in real units. coarse: whether
    channels that have no other weights may have large steps.
    """
    steps = least.copy()
    for k, rows in enumerate(zip(*reach, strict=True)):
        units = [row.max() for row in rows if row.max() > 0 and _one_value(row)]
        if units:
            alone = coarse and len(units) == len(rows)
            steps[k] = _whole_steps(np.array(units), steps[k], alone=alone)
    return steps


def _one_value(row: Float) -> bool:
    """Whether the magnitudes of a row that are not zero are all the same."""
    return bool(np.allclose(row[row > 0], row.max(), rtol=1e-12, atol=0.0))


def _whole_steps(units: Float, least: float, *, alone: bool) -> float:
    """A step of at least `least` of which the units are whole multiples, as nearly as possible.

    alone: no other weights need a fine step, so small multiples are as good as large ones.
    """
    most = int(units.max() / least + 1e-9)
    if most < 1:
        return least
    counts = np.arange(1 if alone else -(-most // 2), most + 1)
    steps = units.max() / counts
    ratios = units[:, None] / steps
    errors = np.abs(np.rint(ratios) / ratios - 1.0).max(0)
    exact = np.flatnonzero(errors < 1e-9)
    if len(exact):
        return float(steps[exact[0] if alone else exact[-1]])
    return float(steps[np.argmin(errors)])


def _activation_scale(layer: FloatLayer, values: Float, high: int) -> float:
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


def _signed(layer: FloatLayer, signed: dict[str, bool], total: Float) -> bool:
    """Whether activations can be negative; signed: which earlier tensors can."""
    if isinstance(layer.activation, Curve):
        reach = float(np.abs(total).max())
        return bool(layer.activation.function(np.array([-reach])).min() < 0)
    if layer.activation is None or not np.any(layer.activation.slope):
        return False
    falls = any(np.any(s.weights < 0) or signed[s.tensor] for s in layer.sources)
    return falls or bool(np.any(layer.bias < 0))


def _rule(
    layer: FloatLayer, steps: Float, total: Float, scale: float, limits: tuple[int, int]
) -> Requantize:
    """The fixed-point rule of a layer; total: its real pooled sums on the calibration images."""
    low, high = limits
    if isinstance(layer.activation, Curve):
        return _curve_rule(layer, layer.activation, steps, total, scale, limits)
    multiplier, shift = _multipliers(layer, steps / scale)
    assert layer.activation is not None  # only the last layer has none, and no rule
    slope = np.broadcast_to(np.asarray(layer.activation.slope, np.float64), multiplier.shape)
    ceiling = int(np.rint(min(layer.activation.ceiling / scale, high)))
    negative = np.rint(multiplier * slope).astype(np.int64)
    theta = _theta(layer, scale, high)
    return Requantize(multiplier, negative, shift, low, max(1, ceiling), theta)


def _theta(layer: FloatLayer, scale: float, high: int) -> int:
    """The least kept magnitude in steps: |a| > theta on rounded values."""
    theta = max(1, int(np.rint(layer.theta / scale + 0.5))) if layer.theta else 1
    if theta > high:
        raise JpHwError(
            f"layer {layer.name}: no activation can reach its threshold {layer.theta:.3g}"
        )
    return theta


def _multipliers(layer: FloatLayer, ratio: Float) -> tuple[Int, int]:
    """Fixed-point multipliers and their shift for `ratio`, output steps per accumulator step."""
    top = (1 << (MULTIPLIER_BITS - 1)) - 1
    shift = int(np.floor(np.log2(top / ratio.max())))
    if not 1 <= shift <= 40:
        raise JpHwError(f"layer {layer.name}: its scale {ratio.max():.3g} cannot be requantized")
    return np.rint(ratio * 2.0**shift).astype(np.int64), shift


def _curve_rule(
    layer: FloatLayer, curve: Curve, steps: Float, total: Float, scale: float,
    limits: tuple[int, int],
) -> Requantize:  # fmt: skip
    """A table over the range of sums that the calibration images show."""
    half = 1 << (INDEX_BITS - 1)
    unit = max(float(np.abs(total).max()), 1e-30) / (half - 1)
    multiplier, shift = _multipliers(layer, steps / unit)
    indices: Float = np.arange(-half, half).astype(np.float64)
    values = np.asarray(curve.function(indices * unit), np.float64)
    if not np.isfinite(values).all() or np.any(np.diff(values) < 0):
        raise JpHwError(
            f"{curve.name}: the activation falls, or has no value, somewhere from "
            f"{-half * unit:.3g} to {half * unit:.3g}; only functions that never fall are supported"
        )
    table = np.clip(np.rint(values / scale), *limits).astype(np.int64)
    theta = _theta(layer, scale, limits[1])
    return Requantize(multiplier, multiplier.copy(), shift, -half, half - 1, theta, table)
