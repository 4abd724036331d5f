"""The PyTorch front end and the passes: the lowered layers compute what torch computes."""

import operator
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
    assert np.flatnonzero(layers.layers[0].sources[0].weights).tolist() == [(2 * 3 + 0) * 2 + 1]


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
    found = lowered(model, (4, 3, 2)).layers[0].sources[0].weights
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
    found = lowered(model, (7, 5, 3)).layers[0].sources[0].weights
    original = model[1].parametrizations.weight.original
    assert np.count_nonzero(found) == int((original > 0).sum())


def test_half_precision_weights_are_read() -> None:
    model = settle(flat_mlp())
    images = photos((4, 3, 2))
    exact = logits(model, (4, 3, 2), images)
    rounded = logits(model.to(torch.bfloat16), (4, 3, 2), images)
    assert rounded.dtype == np.float64
    assert 0 < np.abs(rounded - exact).max() < 0.1


# --- what needs no layer of its own, and what does -------------------------------------------------


def names_of(model: nn.Module, shape: tuple[int, int, int]) -> list[str]:
    return [layer.name for layer in lowered(settle(model), shape).layers]


def test_norms_adds_and_pools_disappear_into_the_layers() -> None:
    build, shape = MODELS["residual"]
    assert names_of(build(), shape) == ["stem_0", "a_0", "a_3", "b_0", "b_2", "head_2"]
    layers = {layer.name: layer for layer in lowered(settle(build()), shape).layers}
    assert [source.tensor for source in layers["a_3"].sources] == ["a_0", "stem_0"]
    assert [source.stride for source in layers["b_2"].sources] == [(1, 1), (2, 2)]
    (mean,) = layers["head_2"].sources  # the average is in the Linear layer's kernel
    assert mean.weights.shape == (4, 8, 3, 4)


def test_an_unread_branch_is_left_out() -> None:
    class Branch(Small):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.relu(self.a(x))
            return self.a(self.relu(self.a(x)))

    assert len(names_of(Branch(), (4, 3, 2))) == 2
    assert agrees_on_maps(Branch())


def test_layers_used_twice_have_names_of_their_own() -> None:
    class Twice(Small):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.a(self.relu(self.a(self.relu(self.a(x)))))

    assert len(set(names_of(Twice(), (4, 3, 2)))) == 3


IN_PLACE: list[tuple[str, Callable[[torch.Tensor], torch.Tensor]]] = [
    ("add: add is not supported .relu_ has changed in place what it reads, a",
     lambda y: torch.add(y, y.relu_())),
    ("flatten: flatten is not supported .relu has changed in place what it reads, a;",
     lambda y: (nn.functional.relu(y, inplace=True), y.flatten(1))[1]),
    ("leaky_relu has changed in place", lambda y: nn.functional.leaky_relu(y, 0.1, True) + y),
    ("iadd has changed in place", lambda y: operator.iadd(y, torch.relu(y)) + y),
    ("add_ has changed in place", lambda y: y + y.add_(torch.relu(y))),
    ("contiguous is not supported .relu_ has changed",
     lambda y: y.relu_() + y.contiguous()),
]  # fmt: skip


@pytest.mark.parametrize(("message", "call"), IN_PLACE)
def test_what_was_changed_in_place_is_not_read_as_it_was(
    message: str, call: Callable[[torch.Tensor], torch.Tensor]
) -> None:
    with pytest.raises(JpHwError, match=message):
        read(Calls(call), Shape(4, 3, 2))


def test_an_in_place_module_changes_what_it_reads() -> None:
    class Both(Small):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.a(x)
            return self.a(nn.ReLU(inplace=True)(y) + y) if self.fresh else self.a(self.over(y) + y)

    model = Both()
    model.over, model.fresh = nn.ReLU(inplace=True), False
    with pytest.raises(JpHwError, match="over has changed in place what it reads, a;"):
        read(model, Shape(4, 3, 2))
    model.over = nn.ReLU()
    assert agrees_on_maps(model)


def agrees_on_maps(model: nn.Module) -> bool:
    """Compare (n, channels, height, width) with maps."""
    images = photos((4, 3, 2))
    expected = torch_logits(settle(model), images).transpose(0, 2, 3, 1)
    layers = lowered(model, (4, 3, 2))
    found = float_tensors(layers, images)[layers.layers[-1].name]
    return np.allclose(found, expected, rtol=1e-9, atol=1e-9)


EVERY_CALL: list[Callable[[torch.Tensor], torch.Tensor]] = [
    nn.functional.relu6,
    nn.functional.hardtanh,
    lambda x: nn.functional.hardtanh(x, -0.3, 0.4),
    lambda x: nn.functional.leaky_relu(x, negative_slope=0.3),
    lambda x: nn.functional.elu(x, 0.5),
    nn.functional.selu,
    nn.functional.softplus,
    lambda x: x.sigmoid(),
    lambda x: x.tanh(),
    lambda x: x.relu(),
    lambda x: nn.functional.dropout(x, training=False),
    lambda x: x.contiguous(),
    lambda x: nn.functional.max_pool2d(x, kernel_size=2, stride=1, padding=1, ceil_mode=True),
    lambda x: nn.functional.avg_pool2d(x, (2, 1), count_include_pad=True),
    lambda x: nn.functional.adaptive_avg_pool2d(x, (2, 3)),
    lambda x: nn.functional.adaptive_max_pool2d(x, output_size=1),
    lambda x: torch.mean(x, dim=(-1, -2), keepdim=True),
    lambda x: x.add(x),
    lambda x: x.add_(x),
    lambda x: torch.cat([x, x, x], dim=1),
]


@pytest.mark.parametrize("call", EVERY_CALL, ids=range(len(EVERY_CALL)))
def test_every_function_does_what_torch_does(
    call: Callable[[torch.Tensor], torch.Tensor],
) -> None:
    class Whole(Small):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.end(torch.flatten(call(self.a(x)), 1))

    model = Whole()
    with torch.no_grad():
        size = call(model.a(torch.zeros(1, 2, 4, 3))).numel()
    model.end = nn.Linear(size, 3)
    assert agrees(settle(model), (4, 3, 2))


@pytest.mark.parametrize(
    "flatten",
    [
        lambda x: x.view(x.size(0), -1),
        lambda x: x.view(x.shape[0], -1),
        lambda x: x.reshape(x.size()[0], -1),
        lambda x: torch.reshape(x, (x.size(0), -1)),
    ],
)
def test_every_way_to_write_a_view(flatten: Callable[[torch.Tensor], torch.Tensor]) -> None:
    assert agrees(settle(Functional(flatten)), (4, 3, 2))


CURVES = [
    nn.Sigmoid(), nn.Tanh(), nn.Hardtanh(-0.5, 2.0), nn.Hardsigmoid(), nn.ELU(), nn.SELU(),
    nn.CELU(0.3), nn.Softplus(), nn.Softsign(), nn.LogSigmoid(), nn.Softshrink(),
    nn.Hardshrink(), nn.Tanhshrink(),
]  # fmt: skip


@pytest.mark.parametrize("curve", CURVES, ids=lambda module: type(module).__name__)
def test_every_curve_does_what_torch_does(curve: nn.Module) -> None:
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), curve, nn.Conv2d(4, 3, (4, 3)), nn.Flatten()
    )
    assert agrees(settle(model), (4, 3, 2))


# --- what is refused ---------------------------------------------------------------------------


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(2, 2, 3, padding=1)
        self.relu = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu(self.a(x))
        return x + self.a(x)


class Pair(Small):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        y = self.a(x)
        return y, y


class TwoInputs(Small):
    def forward(self, x: torch.Tensor, extra: torch.Tensor) -> torch.Tensor:
        return self.a(x)


class Decides(Small):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.a(x) if x.sum() > 0 else x


class Indexed(Small):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.a(x)[0]


def seq(*modules: nn.Module) -> nn.Module:
    return nn.Sequential(*modules)


CONV = nn.Conv2d(2, 2, 3, padding=1)


class Calls(Small):
    """One call after a convolution."""

    def __init__(self, call: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.call = call

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.call(self.a(x))


UNSUPPORTED: list[tuple[str, Callable[[], nn.Module]]] = [
    ("1: GELU is not supported; supported are Linear", lambda: seq(CONV, nn.GELU())),
    ("block.0: SiLU is not supported", lambda: _named("block", seq(nn.SiLU()))),
    ("0: Conv1d is not supported", lambda: seq(nn.Conv1d(2, 2, 3))),
    ("1: MaxPool2d is not supported .dilation must be 1",
     lambda: seq(CONV, nn.MaxPool2d(2, dilation=2))),
    ("dilation must be 1, return_indices False",
     lambda: seq(CONV, nn.MaxPool2d(2, return_indices=True))),
    ("AvgPool2d is not supported .it must divide by the whole window",
     lambda: seq(CONV, nn.AvgPool2d(2, padding=1, count_include_pad=False))),
    ("it must divide by the whole", lambda: seq(CONV, nn.AvgPool2d(2, divisor_override=3))),
    ("padding_mode circular; use zeros",
     lambda: seq(nn.Conv2d(2, 2, 3, padding_mode="circular", padding=1))),
    ("keeps no running statistics",
     lambda: seq(CONV, nn.BatchNorm2d(2, track_running_stats=False))),
    ("a Winner in mode dynamic is not supported .calibrate", lambda: seq(Winner(0.5, "dynamic"))),
    ("a Winner in mode sampled", lambda: seq(Winner(0.5, "sampled"))),
    ("a view is not supported .use flatten", lambda: Calls(lambda x: x.view(-1, 24))),
    ("a view is not supported", lambda: Calls(lambda x: x.reshape(x.size(0), 2, -1))),
    ("mean is not supported .use dim=.2, 3.", lambda: Calls(lambda x: x.mean(1))),
    ("mean is not supported", lambda: Calls(lambda x: x.mean((1, 2)))),
    ("cat is not supported .maps can be joined by channel only",
     lambda: Calls(lambda x: torch.cat([x, x]))),
    ("add is not supported .it must add two maps", lambda: Calls(lambda x: x + 1.0)),
    ("it must add two maps", lambda: Calls(lambda x: torch.add(x, x, alpha=2))),
    ("mul: mul is not supported", lambda: Calls(lambda x: x * x)),
    ("permute is not supported", lambda: Calls(lambda x: x.permute(0, 2, 3, 1))),
    ("sizes must be one or two numbers, not .None, 1.",
     lambda: seq(CONV, nn.AdaptiveAvgPool2d((None, 1)))),
    ("getitem: indexing is not supported", Indexed),
    ("the model takes a second input, extra; one is supported", TwoInputs),
    ("torch.fx cannot trace Decides", Decides),
    ("the model must return one tensor, its logits", Pair),
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
    ("no Linear or Conv2d layer", lambda: seq(nn.Flatten())),
    ("no Linear or Conv2d layer", lambda: seq()),
    ("ends in an activation; end it with the layer that gives", lambda: seq(CONV, nn.ReLU())),
    ("1 normalizes 3 channels, not 4x3x2", lambda: seq(CONV, nn.BatchNorm2d(3))),
    ("0: a Linear layer on a map of 4x3x2; put a Flatten", lambda: seq(nn.Linear(24, 3))),
    ("1 reads 23 values, not the 24", lambda: seq(nn.Flatten(), nn.Linear(23, 3))),
    ("1: a convolution cannot read a flattened map", lambda: seq(nn.Flatten(), CONV)),
    ("2: a pool cannot read a flattened map", lambda: seq(CONV, nn.Flatten(), nn.MaxPool2d(1))),
    ("2 cannot read a flattened map; put the Flatten after",
     lambda: seq(CONV, nn.Flatten(), nn.ReLU())),
    ("0 reads 3 channels, not 4x3x2", lambda: seq(nn.Conv2d(3, 2, 1))),
    ("0: its kernel does not fit on a map of 4x3x2", lambda: seq(nn.Conv2d(2, 2, 5))),
    ("1: its window does not fit on a map of 4x3x2", lambda: seq(CONV, nn.MaxPool2d(5))),
    ("1: a padding of 2 exceeds half of its window", lambda: seq(CONV, nn.MaxPool2d(3, padding=2))),
    ("1: ceil_mode of average pooling", lambda: seq(CONV, nn.AvgPool2d(2, ceil_mode=True))),
    ("adaptive pooling to 3x1 does not divide a map of 4x3x2 evenly",
     lambda: seq(CONV, nn.AdaptiveMaxPool2d((3, 1)), CONV)),
    ("1: a slope of 1.5 is not supported; use 0 to 1", lambda: seq(CONV, nn.LeakyReLU(1.5), CONV)),
    ("1: a slope of -0.1 is not supported", lambda: seq(CONV, nn.LeakyReLU(-0.1), CONV)),
    ("1: 3 slopes for 2 channels", lambda: seq(CONV, nn.PReLU(3), CONV)),
    ("add adds maps of 4x3x2 and 2x1x2; they must have one shape",
     lambda: Calls(lambda x: x + nn.functional.max_pool2d(x, 2))),
    ("add adds maps of 4x3x2 and 4x3x4", lambda: Calls(lambda x: x + torch.cat([x, x], 1))),
    ("cat joins maps of 4x3x2 and 2x1x2; they must have one size",
     lambda: Calls(lambda x: torch.cat([x, nn.functional.max_pool2d(x, 2)], 1))),
    ("cat joins a flattened map and one that is not",
     lambda: Calls(lambda x: torch.cat([x, torch.flatten(x, 1)], 1))),
]  # fmt: skip


@pytest.mark.parametrize(
    ("message", "build"),
    UNLOWERABLE,
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_graphs_that_do_not_fit_are_refused(message: str, build: Callable[[], nn.Module]) -> None:
    with pytest.raises(JpHwError, match=message):
        lowered(build(), (4, 3, 2))
