"""Accuracy, kept MACs, winner rates and densities, counted on real images.

A MAC is kept when its weight and its activation are both non-zero. Dense MACs are those of the
layer's own output size, padding included.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from jp_hw.errors import JpHwError
from jp_hw.train.pruning import per_input, weight_of


@dataclass
class LayerMeasure:
    """One weight layer, counts summed over ``images`` images.

    ``tokens`` are non-zero inputs whose channel has at least one non-zero weight.
    """

    name: str
    weights: int
    weights_kept: int
    images: int = 0
    macs: int = 0
    macs_kept: int = 0
    inputs: int = 0
    inputs_kept: int = 0
    tokens: int = 0

    def summary(self) -> dict[str, Any]:
        """Plain numbers per image, and shares of the dense layer."""
        return {
            "name": self.name,
            "weights": self.weights,
            "weights_kept": self.weights_kept,
            "weight_density": self.weights_kept / self.weights,
            "dense_macs": self.macs // max(1, self.images),
            "macs_per_image": self.macs_kept / max(1, self.images),
            "macs_kept": self.macs_kept / max(1, self.macs),
            "input_rate": self.inputs_kept / max(1, self.inputs),
            "tokens_per_image": self.tokens / max(1, self.images),
        }


@dataclass
class Measure:
    """A network's figures over a set of images."""

    images: int = 0
    correct: int = 0
    layers: list[LayerMeasure] = field(default_factory=list)

    @property
    def accuracy(self) -> float:
        """Correct share, 0..1."""
        return self.correct / self.images

    @property
    def macs_kept(self) -> float:
        """Kept share of all layers' dense MACs, 0..1."""
        return sum(layer.macs_kept for layer in self.layers) / sum(
            layer.macs for layer in self.layers
        )

    def summary(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "images": self.images,
            "accuracy": self.accuracy,
            "dense_macs": sum(layer.macs // max(1, layer.images) for layer in self.layers),
            "macs_per_image": sum(layer.macs_kept / max(1, layer.images) for layer in self.layers),
            "macs_kept": self.macs_kept,
            "weights_kept": sum(layer.weights_kept for layer in self.layers),
            "layers": [layer.summary() for layer in self.layers],
        }

    def raw(self) -> dict[str, Any]:
        """Every count, for tests and logs."""
        return asdict(self)


def out_positions(layer: nn.Module, a: Tensor) -> int:
    """Output positions per channel of a layer for an input batch: 1 for Linear, H*W for Conv2d."""
    if isinstance(layer, nn.Linear):
        return 1
    if isinstance(layer, nn.Conv2d):
        with torch.no_grad():
            return int(layer(a[:1]).flatten(2).shape[2])
    raise JpHwError(f"layer {type(layer).__name__} cannot be measured: only Linear and Conv2d can")


def kept_macs(layer: nn.Module, a: Tensor) -> int:
    """Executed MACs of a layer for an input batch (N, C, ...), in-bounds and non-zero only."""
    live, keep = (a != 0).float(), (weight_of(layer) != 0).float()
    if isinstance(layer, nn.Conv2d):  # float32 counts up to 2**24 exactly, and convolves faster
        padding: Any = layer.padding
        geometry = (layer.stride, padding, layer.dilation, layer.groups)
        return int(functional.conv2d(live, keep, None, *geometry).sum(dtype=torch.float64))
    return int(live.sum(0, dtype=torch.float64) @ keep.sum(0, dtype=torch.float64))


def observe(layer: nn.Module, a: Tensor, into: LayerMeasure) -> None:
    """Add a batch of a layer's inputs (N, C, ...) to its counts."""
    owned = per_input((weight_of(layer) != 0).float(), layer) > 0
    live = (a != 0).transpose(0, 1).flatten(1)
    into.images += len(a)
    into.macs += len(a) * out_positions(layer, a) * into.weights
    into.macs_kept += kept_macs(layer, a)
    into.inputs += a.numel()
    into.inputs_kept += int(live.sum())
    into.tokens += int(live[owned].sum())


@torch.no_grad()
def measure(
    model: nn.Module,
    layers: Mapping[str, nn.Module],
    images: Tensor,
    labels: Tensor,
    scale: float,
    batch: int = 1000,
    counted: int | None = None,
) -> Measure:
    """Run a model in eval mode over uint8 images (N, C, H, W) with int64 labels (N,).

    MACs and tokens are counted on the first ``counted`` images, whole batches; by default on all.
    """
    result = Measure()
    for name, layer in layers.items():
        weight = weight_of(layer)
        result.layers.append(LayerMeasure(name, weight.numel(), int((weight != 0).sum())))
    training, device = model.training, next(model.parameters()).device
    model.eval()
    with Inputs(layers) as inputs:
        for start in range(0, len(images), batch):
            logits = model(images[start : start + batch].to(device).float() * scale).cpu()
            result.correct += int((logits.argmax(1) == labels[start : start + batch]).sum())
            result.images += len(logits)
            if counted is not None and start >= counted:
                continue
            for into, (name, layer) in zip(result.layers, layers.items(), strict=True):
                observe(layer, inputs[name], into)
    model.train(training)
    return result


class Inputs:
    """While open: the last input of every layer, by name, recorded with forward hooks."""

    def __init__(self, layers: Mapping[str, nn.Module]) -> None:
        """Choose the layers; nothing is hooked before ``with``."""
        self._layers = layers
        self._seen: dict[str, Tensor] = {}
        self._handles: list[torch.utils.hooks.RemovableHandle] = []

    def __enter__(self) -> Self:
        """Start to record."""
        for name, layer in self._layers.items():

            def hook(_: nn.Module, args: Sequence[Tensor], name: str = name) -> None:
                self._seen[name] = args[0]

            self._handles.append(layer.register_forward_pre_hook(hook))
        return self

    def __exit__(self, *_: object) -> None:
        """Stop and forget."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._seen.clear()

    def __getitem__(self, name: str) -> Tensor:
        """The input of a layer in the last forward pass, with its gradient graph."""
        return self._seen[name]
