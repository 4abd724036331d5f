"""Equalization: ranges come together, and the function stays what it was."""

import pytest
import torch

from jp_hw import models
from jp_hw.models import mac_layers
from jp_hw.nn import Winner, set_winner_mode, winners
from jp_hw.train.equalize import Ranges, equalize, factors

SCALE = 1 / 255


def network(theta: float) -> tuple[torch.nn.Module, dict[str, torch.nn.Module]]:
    """A small network in which one hidden channel is always on and huge."""
    torch.manual_seed(4)
    model = models.build("mlp3", {"hidden": (30, 20)}).requires_grad_(False).eval()
    layers = mac_layers(model)
    for index in (1, 2):
        weight = model.get_parameter(f"fc{index}.weight")
        weight[7] = weight[7].abs() * 300
        model.get_parameter(f"fc{index}.bias")[7] = 50.0
        model.get_parameter(f"fc{index + 1}.weight")[:, 7] /= 300
    set_winner_mode(model, "static")
    for module in winners(model).values():
        module.theta.fill_(theta)
    return model, layers


def images() -> torch.Tensor:
    generator = torch.Generator().manual_seed(9)
    pixels = torch.randint(0, 256, (50, 1, 28, 28), generator=generator, dtype=torch.uint8)
    return pixels * (torch.rand(pixels.shape, generator=generator) < 0.2)


def hidden(model: torch.nn.Module) -> list[torch.Tensor]:
    x, seen = images().float() * SCALE, []
    for module in model.children():
        x = module(x)
        if isinstance(module, Winner):
            seen.append(x)
    return [*seen[1:], x]


@pytest.mark.parametrize("theta", [0.0, 0.05])
def test_huge_channels_shrink_and_nothing_else_changes(theta: float) -> None:
    model, layers = network(theta)
    before = hidden(model)
    scaled = equalize(model, layers, images(), SCALE, ratio=2.0)
    after = hidden(model)
    assert scaled["fc2"] >= 1
    assert scaled["fc3"] >= 1
    torch.testing.assert_close(after[-1], before[-1], rtol=1e-4, atol=1e-4)
    for old, new in zip(before[:-1], after[:-1], strict=True):
        assert torch.equal(old != 0, new != 0)
        assert old.max() > 20 * old.amax(0).median()
        ranges = new.amax(0)
        assert ranges[7] < 2.5 * ranges[ranges > 0].median()


def test_a_channel_never_shrinks_below_theta() -> None:
    ranges = Ranges(torch.tensor([1.0, 1.0, 100.0, 0.0]), torch.tensor([0.2, 0.2, 0.4, torch.inf]))
    assert factors(ranges, 0.0, 2.0).tolist() == [1.0, 1.0, 50.0, 1.0]
    assert factors(ranges, 0.1, 2.0).tolist() == [1.0, 1.0, pytest.approx(3.96), 1.0]


def test_silent_layers_are_left_alone() -> None:
    assert factors(Ranges.of(3), 0.1, 2.0).tolist() == [1.0, 1.0, 1.0]
