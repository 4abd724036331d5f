"""The parts of training one by one: wiring, budget, balance, quantization, sensitivity, Muon."""

import math

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from jp_hw import models
from jp_hw.errors import JpHwError
from jp_hw.nn import Winner, winners
from jp_hw.train import (
    balance,
    budget,
    channels,
    losses,
    optimizers,
    pruning,
    qat,
    sensitivity,
    wiring,
)
from jp_hw.train.measure import kept_macs, measure


def small(name: str = "resnet8", **changes: object) -> tuple[nn.Module, dict[str, nn.Module]]:
    """A small network in eval mode with masks."""
    torch.manual_seed(3)
    args = {
        "resnet8": {"widths": (4, 8, 8)},
        "convnet5": {"channels": (4, 6), "hidden": (12, 10), "size": 8},
    }[name]
    model = models.build(name, {**args, **changes}).eval()
    layers = models.mac_layers(model)
    pruning.attach(layers)
    return model, layers


def images(size: int = 32, n: int = 6) -> torch.Tensor:
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("name", "args", "size", "macs"),
    [
        ("resnet8", {}, 32, 12_501_632),
        ("resnet8", {"width": 32, "stem_stride": 2}, 32, 12_281_088),
        ("convnet5", {}, 24, 18_470_784),
        ("resnet9", {}, 32, 379_261_952),
        ("resnet32", {}, 32, 69_124_736),
        ("alexnet", {}, 227, 724_406_816),
    ],
)
def test_networks_have_the_published_size(
    name: str, args: dict[str, int], size: int, macs: int
) -> None:
    with torch.device("meta"):
        model = models.build(name, args).eval()
        layers = models.mac_layers(model)
        image = torch.zeros(1, 3, size, size)
        found = budget.uses(model, layers, image)
    assert sum(found[n].outputs * pruning.weight_of(x).numel() for n, x in layers.items()) == macs
    assert (size, size, 3) == models.spec(name).input_shape


def test_wide_resnet32_has_the_papers_weights() -> None:
    with torch.device("meta"):
        model = models.build("resnet32", {"width": 160, "activation": "leaky_relu"})
    weights = sum(pruning.weight_of(x).numel() for x in models.mac_layers(model).values())
    assert weights == pytest.approx(45.87e6, rel=0.01)
    assert not any(isinstance(m, nn.ReLU) for m in model.modules())


def test_bad_builder_arguments_are_named() -> None:
    for name, args in (
        ("convnet5", {"size": 23}),
        ("alexnet", {"width": 3}),
        ("resnet8", {"width": 0}),
        ("resnet8", {"stem_stride": 0}),
        ("resnet8", {"stem_stride": 1.5}),
        ("resnet8", {"activation": "swish"}),
    ):
        with pytest.raises(JpHwError, match=f"model '{name}' cannot be built from"):
            models.build(name, args)


def test_fronts_and_chains_are_read_from_the_graph() -> None:
    wires = wiring.Wiring.of(small()[0])
    assert wires.front("conv") == "win0"
    assert wires.front("stacks.stack2.block1.shortcut.conv") == "stacks.stack1.block1.win2"
    assert wires.front("fc") == "stacks.stack3.block1.win2"
    assert not wires.chained("conv", "stacks.stack1.block1.conv1")  # a normalization lies between
    mlp = wiring.Wiring.of(models.build("mlp3"))
    assert mlp.chained("fc1", "fc2")
    assert not mlp.chained("fc1", "fc3")
    sigmoid = nn.Sequential(nn.Linear(3, 3), nn.Sigmoid(), nn.Linear(3, 3))
    assert not wiring.Wiring.of(sigmoid).chained("0", "2")
    with pytest.raises(JpHwError, match=r"torch\.fx cannot trace"):
        wiring.Wiring.of(models.build)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["resnet8", "convnet5"])
def test_dead_paths_go_and_change_nothing(name: str) -> None:
    model, layers = small(name)
    generator = torch.Generator().manual_seed(2)
    for layer in layers.values():
        kept = torch.rand(pruning.mask_of(layer).shape, generator=generator) < 0.08
        pruning.mask_of(layer).copy_(kept)
    pruning.refresh(layers)
    x = images(8 if name == "convnet5" else 32)
    with torch.no_grad():
        before = model(x)
        assert wiring.remove_dead(model, layers) > 0
        after = model(x)
    torch.testing.assert_close(after, before)
    assert wiring.remove_dead(model, layers) == 0
    for name, used in wiring.used_channels(wiring.Wiring.of(model)).items():
        rows = pruning.mask_of(layers[name]).flatten(1).any(1)
        assert not (rows & ~used).any(), name


def test_a_shortcut_keeps_a_channel_alive() -> None:
    model, layers = small()
    for name in ("stacks.stack2.block1.conv1", "stacks.stack2.block1.shortcut.conv"):
        pruning.mask_of(layers[name])[:, 1] = 0  # nobody reads channel 1 of the first stack
    wiring.remove_dead(model, layers)
    assert not pruning.mask_of(layers["stacks.stack1.block1.conv2"])[1].any()
    assert pruning.mask_of(layers["conv"])[1].any()  # the first block's conv1 still reads it


def test_costs_are_the_macs_that_are_counted() -> None:
    model, layers = small()
    x = images(n=1) + 0.1
    uses = budget.uses(model, layers, x)
    for name in ("conv", "stacks.stack2.block1.shortcut.conv", "stacks.stack3.block1.conv1", "fc"):
        layer = layers[name]
        channels = pruning.fanout(layer).numel()
        pruning.mask_of(layer).copy_(torch.rand_like(pruning.mask_of(layer)) < 0.5)
        pruning.refresh(layers)
        cost = budget.weight_costs(layer, uses[name], pruning.InputMoments.of(channels))
        side = int(uses[name].inputs ** 0.5)
        full = torch.ones(1, channels, side, side) if cost.dim() == 4 else torch.ones(1, channels)
        expected = float((cost * pruning.mask_of(layer)).sum())
        assert expected == kept_macs(layer, full)
        tokens = budget.token_costs(layer, uses[name]).sum() * uses[name].inputs
        assert float(tokens) == pytest.approx(expected)


def test_a_budget_is_spent_on_the_best_weights() -> None:
    model, layers = small()
    uses = budget.uses(model, layers, images(n=1))
    moments = {n: pruning.InputMoments.of(pruning.fanout(x).numel()) for n, x in layers.items()}
    scores = {n: pruning.weight_scores(x, moments[n]) for n, x in layers.items()}
    costs = {n: budget.weight_costs(x, uses[n], moments[n]) for n, x in layers.items()}
    whole = sum(float(cost.sum()) for cost in costs.values())
    for share in (0.5, 0.1):
        found = budget.densities(scores, costs, share * whole, floor=0.02)
        spent = 0.0
        for density, (name, layer) in zip(found, layers.items(), strict=True):
            assert density >= 0.015
            pruning.prune_to(layer, scores[name], density)
            spent += float((costs[name] * pruning.mask_of(layer)).sum())
        assert 0.9 * share * whole < spent < 1.05 * share * whole
        pruning.refresh(layers)
        scores = {n: pruning.weight_scores(x, moments[n]) for n, x in layers.items()}
    assert found[-1] > found[1]  # the last layer's weights cost one MAC each


def test_a_cap_on_stored_weights_takes_them_where_they_save_few_macs() -> None:
    model, layers = small()
    uses = budget.uses(model, layers, images(n=1))
    moments = {n: pruning.InputMoments.of(pruning.fanout(x).numel()) for n, x in layers.items()}
    scores = {n: pruning.weight_scores(x, moments[n]) for n, x in layers.items()}
    costs = {n: budget.weight_costs(x, uses[n], moments[n]) for n, x in layers.items()}
    sizes = [score.numel() for score in scores.values()]
    macs = 0.4 * sum(float(cost.sum()) for cost in costs.values())

    def kept(weights: float) -> list[float]:
        found = budget.densities(scores, costs, macs, 0.02, weights)
        return [density * size for density, size in zip(found, sizes, strict=True)]

    free = kept(float("inf"))
    assert kept(sum(free)) == free
    cap = 0.7 * sum(free)
    capped = kept(cap)
    assert 0.9 * cap < sum(capped) <= cap
    assert capped[-1] < 0.8 * free[-1]  # the last layer's weights cause one MAC each
    assert capped[0] >= free[0]  # the first layer's cause most


def test_a_layer_can_have_a_budget_of_its_own() -> None:
    """The others share what it leaves, also where the floor or a cap on stored weights binds."""
    model, layers = small()
    uses = budget.uses(model, layers, images(n=1))
    moments = {n: pruning.InputMoments.of(pruning.fanout(x).numel()) for n, x in layers.items()}
    scores = {n: pruning.weight_scores(x, moments[n]) for n, x in layers.items()}
    costs = {n: budget.weight_costs(x, uses[n], moments[n]) for n, x in layers.items()}
    whole = {name: float(cost.sum()) for name, cost in costs.items()}
    macs, own = 0.4 * sum(whole.values()), list(layers)[1]

    def spent(weights: float, **budgets: float) -> dict[str, float]:
        found = budget.densities(scores, costs, macs, 0.02, weights, budgets)
        for density, (name, layer) in zip(found, layers.items(), strict=True):
            pruning.prune_to(layer, scores[name], density)
        return {n: float((costs[n] * pruning.mask_of(x)).sum()) for n, x in layers.items()}

    free = spent(math.inf)
    for share in (0.5, 1.5):
        wanted = share * free[own]
        for weights in (math.inf, 0.8 * sum(score.numel() for score in scores.values())):
            got = spent(weights, **{own: wanted})
            assert 0.9 * wanted < got[own] <= wanted
            assert 0.9 * macs < sum(got.values()) < 1.05 * macs
            others = sum(got.values()) - got[own], sum(free.values()) - free[own]
            assert (others[0] > others[1]) == (share < 1)
    whole_floor = budget.densities(scores, costs, macs, 0.2, math.inf, {own: 1.0})
    for density, (name, layer) in zip(whole_floor, layers.items(), strict=True):
        pruning.prune_to(layer, scores[name], density)
    kept_macs_of = [float((costs[n] * pruning.mask_of(x)).sum()) for n, x in layers.items()]
    assert kept_macs_of[1] > 1.0  # the floor is more than its own budget, and others pay for it
    assert sum(kept_macs_of) <= 1.02 * macs
    most = 0.5 * sum(int((pruning.mask_of(layer) > 0).sum()) for layer in layers.values())
    got = spent(most, **{own: free[own]})  # no price makes that of what the others have left
    assert got[own] > 0.9 * free[own]
    kept = sum(int(pruning.mask_of(layer).sum()) for layer in layers.values())
    assert 0.95 * most < kept <= most + len(layers)
    assert sum(got.values()) < 0.95 * macs


@pytest.mark.parametrize(("shape", "groups", "parts"), [((12, 5, 3, 3), 1, 4), ((12, 2), 2, 3)])
def test_balanced_masks_are_even_and_greedy(
    shape: tuple[int, ...], groups: int, parts: int
) -> None:
    score = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    mask = balance.balanced(score, groups, 0.4, parts)
    counts = balance.group_counts(mask, groups, parts)
    assert (counts == counts[..., :1]).all()
    assert abs(float(mask.sum()) - 0.4 * score.numel()) <= parts
    for part in range(parts):  # channel k of a group belongs to part k % parts
        rows = [r for r in range(shape[0]) if r % (shape[0] // groups) % parts == part]
        assert mask[rows].sum() == mask.sum() / parts
    again = balance.balanced(score * mask, groups, 0.2, parts)
    assert (again <= mask).all()
    assert float((score * mask).sum()) > 1.2 * 0.4 * float(score.sum())


@pytest.mark.parametrize("cap", [1.0, 1.2, 50.0])
def test_no_channel_stands_out_under_a_cap(cap: float) -> None:
    generator = torch.Generator().manual_seed(0)
    score = torch.rand((16, 8, 3, 3), generator=generator)
    score *= torch.linspace(0.2, 1.0, 16).view(-1, 1, 1, 1)
    cost = torch.rand((1, 8, 3, 3), generator=generator).expand_as(score) * 100
    score[5] = 0.0  # a channel that is gone
    free = channels.best(score, 200)
    mask = channels.capped(score, cost, 200, cap)
    macs, of_channels = (free * cost).sum(), (mask * cost).flatten(1).sum(1)
    assert not mask[5].any()
    assert macs - 100 <= of_channels.sum() <= macs * (1 + 1e-5)
    assert of_channels.max() <= cap * macs / 15 + 50
    if cap == 1.0:
        assert of_channels[score.flatten(1).any(1)].min() >= macs / 15 - 50 - 100
    for row, kept in zip(score.flatten(1), mask.flatten(1).bool(), strict=True):
        assert not kept.any() or row[kept].min() > row[~kept].max()  # each channel's best
    if cap == 50.0:
        assert torch.equal(mask, free)


@pytest.mark.parametrize("cap", [1.0, 1.2])
def test_caps_do_not_wear_a_layer_away(cap: float) -> None:
    """A schedule sets masks many times, while costs move a little."""
    generator = torch.Generator().manual_seed(1)
    score = torch.rand((24, 16, 3, 3), generator=generator)
    score *= torch.linspace(0.3, 1.0, 24).view(-1, 1, 1, 1)
    cost = torch.rand((1, 16, 3, 3), generator=generator).expand_as(score)
    mask = torch.ones_like(score)
    for step in range(150):
        count = round(score.numel() * pruning.cubic(0.1, step / 100))
        if count < int(mask.sum()):
            moved = cost * (1 + 0.05 * torch.rand((1, 16, 1, 1), generator=generator))
            mask = channels.capped(score * mask, moved, count, cap)
    free = channels.best(score, round(score.numel() * 0.1))
    of_channels = (mask * cost).flatten(1).sum(1)
    assert of_channels.sum() >= 0.9 * (free * cost).sum()
    mean = of_channels[of_channels > 0].mean()
    assert of_channels.max() <= 1.1 * cap * mean + 1.0
    assert (free * cost).flatten(1).sum(1).max() > 1.4 * cap * mean


def test_masks_of_torch_prune_are_accepted() -> None:
    layer = nn.Linear(20, 10)
    prune.l1_unstructured(layer, "weight", 0.75)  # type: ignore[no-untyped-call]
    given = layer.weight_mask.clone()
    pruning.attach({"fc": layer})
    assert torch.equal(pruning.mask_of(layer), given)
    pruning.prune_to(layer, pruning.weight_scores(layer, None), 0.5)
    assert torch.equal(pruning.mask_of(layer), given)


def test_quantized_weights_are_codes_and_pass_gradients() -> None:
    weight = torch.randn(4, 3, 3, 3, requires_grad=True)
    rounded = qat.fake_weight(weight, 8)
    step = weight.detach().abs().flatten(1).amax(1) / 127
    codes = (rounded / step[:, None, None, None]).detach()
    assert torch.allclose(codes, codes.round(), atol=1e-3)
    assert codes.abs().max() == pytest.approx(127, abs=1e-3)
    rounded.sum().backward()
    assert torch.equal(weight.grad, torch.ones_like(weight))


@pytest.mark.parametrize("activation", ["relu", "leaky_relu"])
def test_quantization_is_felt_only_while_open(activation: str) -> None:
    model, layers = small(activation=activation)
    hidden = dict(list(winners(model).items())[1:])
    x = images()
    with torch.no_grad():
        plain = model(x)
        seen: list[torch.Tensor] = []
        with qat.FakeQuantize(model, layers, hidden, 4, x):
            handle = hidden["win"].register_forward_hook(lambda _, __, a: seen.append(a))
            coarse = model(x)
            handle.remove()
        assert len(seen[0].unique()) <= 16
        assert bool((seen[0] < 0).any()) == (activation == "leaky_relu")
        assert not torch.allclose(coarse, plain, atol=1e-3)
        assert torch.equal(model(x), plain)


def test_sensitivity_tries_each_part_alone_and_restores_all() -> None:
    model, layers = small()
    hidden = dict(list(winners(model).items())[1:])
    x = images(n=24)
    with torch.no_grad():
        plain = model(x)
    labels = plain.argmax(1)
    found = sensitivity.analyze(model, layers, hidden, x, labels)
    with torch.no_grad():
        assert torch.equal(model(x), plain)
    assert found.accuracy == 1.0
    assert list(found.densities) == list(layers)
    assert list(found.rates) == list(hidden)
    assert all(row["accuracy"] <= 1.0 for rows in found.densities.values() for row in rows)
    shares = [row["share"] for row in found.rates["win"]]
    assert shares == sorted(shares, reverse=True)
    least = [min(row["share"] for row in rows) for rows in found.rates.values()]
    assert found.least_rates(1.0) == least
    assert min(least) < 0.3
    for rate, natural in zip(found.least_rates(0.05), found.natural.values(), strict=True):
        assert 0.03 <= rate <= natural


def test_expected_macs_by_channel_ignore_every_channels_scale() -> None:
    a = torch.tensor([[[[2.0, 0.0]], [[0.0, 0.0]]], [[[2.0, 2.0]], [[5.0, 0.0]]]])
    cost = torch.tensor([3.0, 8.0])
    assert float(losses.expected_macs_by_channel(a, cost)) == pytest.approx((3 * 3 + 8) / 2)
    scaled = a * torch.tensor([0.1, 7.0]).reshape(1, 2, 1, 1)
    assert float(losses.expected_macs_by_channel(scaled, cost)) == pytest.approx(8.5, rel=1e-3)


def test_gradient_of_the_channel_measure() -> None:
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(3, 4, 5, 5, dtype=torch.float64, generator=generator)
    a = (a * (torch.rand(a.shape, generator=generator) < 0.5)).requires_grad_()
    cost = torch.rand(4, dtype=torch.float64, generator=generator)
    losses.expected_macs_by_channel(a, cost).backward()
    live = a.detach().clone().requires_grad_()
    sums = live.abs().sum((0, 2, 3)), live.square().sum((0, 2, 3))
    ((sums[0].square() / (sums[1] + losses.EPSILON) * cost).sum() / 3).backward()
    torch.testing.assert_close(a.grad, live.grad)


def test_muon_steps_are_orthogonal_and_reach_a_minimum() -> None:
    for shape in ((6, 20), (20, 6)):
        values = torch.linalg.svdvals(optimizers.orthogonal(torch.randn(shape)))
        gain = max(1.0, shape[0] / shape[1]) ** 0.5
        assert values.min() > 0.5 * gain
        assert values.max() < 1.4 * gain
    target, weight, bias = torch.randn(5, 4, 3, 3), torch.zeros(5, 4, 3, 3), torch.zeros(5)
    weight.requires_grad_()
    bias.requires_grad_()
    optimizer = optimizers.Muon([weight], [bias], lr=0.05, others_scale=0.5)
    start = float(target.square().sum())
    for step in range(100):
        for group in optimizer.param_groups:
            group["lr"] = 0.15 * (1 - step / 100)
        loss = (weight - target).square().sum() + (bias - 1).square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.05 * start
    assert torch.allclose(bias, torch.ones(5), atol=0.1)


def test_counting_on_some_images_measures_accuracy_on_all() -> None:
    model, layers = small()
    pixels = (images(n=20) * 255).to(torch.uint8)
    labels = torch.zeros(20, dtype=torch.int64)
    some = measure(model, layers, pixels, labels, 1 / 255, batch=10, counted=10)
    first = measure(model, layers, pixels[:10], labels[:10], 1 / 255)
    assert some.images == 20
    assert [layer.macs_kept for layer in some.layers] == [x.macs_kept for x in first.layers]
    assert some.summary()["dense_macs"] == first.summary()["dense_macs"]
    assert isinstance(winners(model)["win"], Winner)
