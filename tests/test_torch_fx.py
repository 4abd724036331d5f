"""The PyTorch front end and the passes: the lowered layers compute what torch computes."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize, prune
from torch_networks import (
    MODELS,
    Functional,
    flat_mlp,
    float_tensors,
    photos,
    settle,
    torch_logits,
    winner,
)

from jp_hw.errors import JpHwError
from jp_hw.frontends.torch_fx import SUPPORTED, read
from jp_hw.graph import Activate, Flatten, Keep, Normalize, Scatter
from jp_hw.ir import INPUT, Shape
from jp_hw.nn import Winner
from jp_hw.passes import Lowered, lower

torch.set_num_threads(1)


def lowered(model: nn.Module, shape: tuple[int, int, int]) -> Lowered:
    return lower(read(model, Shape(*shape)))


def logits(model: nn.Module, shape: tuple[int, int, int], images: np.ndarray) -> np.ndarray:
    layers = lowered(model, shape)
    return float_tensors(layers, images)[layers.layers[-1].name].reshape(len(images), -1)


def agrees(model: nn.Module, shape: tuple[int, int, int]) -> bool:
    images = photos(shape)
    expected = torch_logits(model, images)
    assert expected.std() > 1e-3
    return np.allclose(logits(model, shape, images), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("seed", [0, 1])
def test_lowered_layers_compute_what_torch_computes(kind: str, seed: int) -> None:
    build, shape = MODELS[kind]
    assert agrees(settle(build(), seed), shape)


@pytest.mark.parametrize(
    "flatten",
    [
        lambda x: torch.flatten(x, 1),
        lambda x: torch.flatten(x, start_dim=1),
        lambda x: torch.flatten(x, 1, -1),
        lambda x: x.flatten(1),
        lambda x: x.flatten(start_dim=1, end_dim=-1),
    ],
)
def test_every_way_to_write_flatten(flatten: Callable[[torch.Tensor], torch.Tensor]) -> None:
    assert agrees(settle(Functional(flatten)), (4, 3, 2))


@pytest.mark.parametrize(
    "flatten",
    [
        torch.flatten,
        lambda x: x.flatten(),
        lambda x: torch.flatten(x, 1, 2),
        lambda x: torch.flatten(x, 1, end_dim=2),
        lambda x: torch.flatten(x, 2),
    ],
)
def test_other_flattens_are_refused(flatten: Callable[[torch.Tensor], torch.Tensor]) -> None:
    with pytest.raises(JpHwError, match=r"flatten is not supported \(use start_dim=1"):
        read(Functional(flatten), Shape(4, 3, 2))
    with pytest.raises(JpHwError, match="start_dim must be 1 and end_dim -1"):
        read(nn.Sequential(nn.Flatten(2)), Shape(4, 3, 2))


def test_the_graph_of_a_model() -> None:
    graph = read(settle(MODELS["cnn"][0]()), Shape(7, 5, 3), "cnn")
    kinds = [Keep, Scatter, Normalize, Activate, Keep, Scatter, Normalize, Activate, Flatten]
    kinds += [Scatter, Normalize, Activate, Scatter]
    assert [type(node) for node in graph.nodes] == kinds
    assert graph.nodes[0].tensor == INPUT
    assert all(b.tensor == a.name for a, b in zip(graph.nodes, graph.nodes[1:], strict=False))
    first = graph.nodes[1]
    assert isinstance(first, Scatter)
    assert (first.stride, first.padding, first.dilation, first.groups) == (
        (2, 1),
        (1, 2),
        (1, 1),
        1,
    )


def test_a_first_flatten_is_reordered_to_row_column_channel() -> None:
    """One weight on channel 1, row 2, column 0 of a 4x3x2 map: torch's input 18, our byte 13."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(24, 1, bias=False))
    model[1].weight.data.zero_()
    model[1].weight.data[0, 1 * 12 + 2 * 3 + 0] = 1.0
    layers = lowered(model, (4, 3, 2))
    assert layers.input == Shape(1, 1, 24)
    assert np.flatnonzero(layers.layers[0].scatter.weights).tolist() == [(2 * 3 + 0) * 2 + 1]


def test_two_winners_in_a_row_keep_what_passes_both() -> None:
    for thetas in ((0.1, 0.3), (0.3, 0.1)):
        keep = [winner(theta) for theta in thetas]
        body = [nn.Flatten(), *keep, nn.Linear(24, 6), nn.ReLU(), *keep, nn.Linear(6, 3)]
        assert agrees(settle(nn.Sequential(*body)), (4, 3, 2))


def test_a_winner_that_is_off_does_nothing() -> None:
    model = flat_mlp()
    for module in model.modules():
        if isinstance(module, Winner):
            module.set_mode("off")
    layers = lowered(settle(model), (4, 3, 2))
    assert [layer.theta for layer in layers.layers] == [0.0, 0.0, 0.0]
    assert agrees(model, (4, 3, 2))


def test_weights_pruned_by_torch_are_read_as_they_take_effect() -> None:
    model = settle(flat_mlp())
    prune.l1_unstructured(model[1], "weight", amount=0.7)
    prune.l1_unstructured(model[1], "weight", amount=0.5)
    prune.random_unstructured(model[4], "bias", amount=0.5)
    assert agrees(model, (4, 3, 2))
    # an optimizer's step changes weight_orig; `weight` is stale until the next forward pass
    with torch.no_grad():
        model[1].weight_orig *= -2.0
        model[4].bias_orig *= 3.0
    expected = (model[1].weight_orig * model[1].weight_mask).detach()
    found = lowered(model, (4, 3, 2)).layers[0].scatter.weights
    assert np.count_nonzero(found) == int(model[1].weight_mask.sum()) == 57
    assert found.sum() == pytest.approx(float(expected.sum()), rel=1e-12)
    assert agrees(model, (4, 3, 2))


class Doubled(nn.Module):
    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return 2.0 * weight * (weight > 0)


def test_parametrized_weights_are_read_as_they_take_effect() -> None:
    model = settle(MODELS["cnn"][0]())
    parametrize.register_parametrization(model[1], "weight", Doubled())
    parametrize.register_parametrization(model[11], "weight", Doubled())
    assert agrees(model, (7, 5, 3))
    found = lowered(model, (7, 5, 3)).layers[0].scatter.weights
    original = model[1].parametrizations.weight.original
    assert np.count_nonzero(found) == int((original > 0).sum())


def test_half_precision_weights_are_read() -> None:
    model = settle(flat_mlp())
    images = photos((4, 3, 2))
    exact = logits(model, (4, 3, 2), images)
    rounded = logits(model.to(torch.bfloat16), (4, 3, 2), images)
    assert rounded.dtype == np.float64
    assert 0 < np.abs(rounded - exact).max() < 0.1


# --- what is refused ---------------------------------------------------------------------------


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(2, 2, 3, padding=1)
        self.relu = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu(self.a(x))
        return x + self.a(x)


class Branch(Residual):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.relu(self.a(x))
        return self.a(x)


class Early(Residual):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.a(x)
        self.relu(y)
        return y


class Pair(Residual):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        y = self.a(x)
        return y, y


class TwoInputs(Residual):
    def forward(self, x: torch.Tensor, extra: torch.Tensor) -> torch.Tensor:
        return self.a(x)


class Decides(Residual):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.a(x) if x.sum() > 0 else x


class Indexed(Residual):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.a(x)[0]


def seq(*modules: nn.Module) -> nn.Module:
    return nn.Sequential(*modules)


CONV = nn.Conv2d(2, 2, 3, padding=1)
UNSUPPORTED: list[tuple[str, Callable[[], nn.Module]]] = [
    ("1: Sigmoid is not supported; supported are Linear", lambda: seq(CONV, nn.Sigmoid())),
    ("block.0: MaxPool2d is not supported", lambda: _named("block", seq(nn.MaxPool2d(2)))),
    ("0: Conv1d is not supported", lambda: seq(nn.Conv1d(2, 2, 3))),
    ("padding must be numbers", lambda: seq(nn.Conv2d(2, 2, 3, padding="same"))),
    ("padding_mode zeros", lambda: seq(nn.Conv2d(2, 2, 3, padding_mode="circular", padding=1))),
    ("keeps no running statistics", lambda: seq(CONV, nn.BatchNorm2d(2, track_running_stats=False))),
    ("a Winner in mode dynamic is not supported .calibrate", lambda: seq(Winner(0.5, "dynamic"))),
    ("a Winner in mode sampled", lambda: seq(Winner(0.5, "sampled"))),
    ("add: add is not supported .it does not read exactly one tensor", Residual),
    ("getitem: indexing is not supported", Indexed),
    ("the model takes a second input, extra; one is supported", TwoInputs),
    ("torch.fx cannot trace Decides", Decides),
    ("the model must return one tensor, the result of relu", Early),
    ("the model must return one tensor, the result of a", Pair),
]  # fmt: skip


def _named(name: str, module: nn.Module) -> nn.Module:
    outer = nn.Sequential()
    outer.add_module(name, module)
    return outer


@pytest.mark.parametrize(
    ("message", "build"),
    UNSUPPORTED,
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_what_is_not_supported_is_named_with_its_place(
    message: str, build: Callable[[], nn.Module]
) -> None:
    with pytest.raises(JpHwError, match=message) as caught:
        read(build(), Shape(4, 3, 2))
    if "is not supported" in str(caught.value):
        assert str(caught.value).endswith(f"supported are {SUPPORTED}")


UNLOWERABLE: list[tuple[str, Callable[[], nn.Module]]] = [
    ("a reads input, not the result of relu: only chains", Branch),
    ("no Linear or Conv2d layer", lambda: seq(nn.Flatten())),
    ("no Linear or Conv2d layer", lambda: seq()),
    ("ends in an activation; end it with the layer that gives", lambda: seq(CONV, nn.ReLU())),
    ("a Winner must follow an activation such as ReLU", lambda: seq(CONV, winner(0.1))),
    ("0 must follow a Linear or Conv2d layer", lambda: seq(nn.ReLU(), CONV)),
    ("0 must follow a Linear or Conv2d layer", lambda: seq(nn.BatchNorm2d(2), CONV)),
    ("2 must follow a Linear or Conv2d", lambda: seq(CONV, nn.ReLU(), nn.BatchNorm2d(2))),
    ("1 normalizes 3 channels, not 4x3x2", lambda: seq(CONV, nn.BatchNorm2d(3))),
    ("no activation between 0 and 1; add a ReLU", lambda: seq(CONV, nn.Conv2d(2, 2, 1))),
    ("0: a Linear layer on a map of 4x3x2; put a Flatten", lambda: seq(nn.Linear(24, 3))),
    ("1 reads 23 values, not the 24", lambda: seq(nn.Flatten(), nn.Linear(23, 3))),
    ("1: a convolution cannot read a flattened map", lambda: seq(nn.Flatten(), CONV)),
    ("0 reads 3 channels, not 4x3x2", lambda: seq(nn.Conv2d(3, 2, 1))),
    ("0: its kernel does not fit on a map of 4x3x2", lambda: seq(nn.Conv2d(2, 2, 5))),
]  # fmt: skip


@pytest.mark.parametrize(
    ("message", "build"),
    UNLOWERABLE,
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_graphs_that_do_not_fit_are_refused(message: str, build: Callable[[], nn.Module]) -> None:
    with pytest.raises(JpHwError, match=message):
        lowered(build(), (4, 3, 2))
