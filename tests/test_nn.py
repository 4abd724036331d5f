"""The winner rule: which activations survive, in every mode, and what gradients do."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from jp_hw.errors import JpHwError
from jp_hw.nn import MODES, Winner, set_winner_mode, winner_count, winners

torch.set_num_threads(1)


def activations(n: int = 8, m: int = 60, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, m, generator=torch.Generator().manual_seed(seed))


def test_off_is_identity() -> None:
    a = activations()
    assert Winner(0.1)(a) is a


@given(st.integers(1, 60), st.integers(0, 1000))
def test_dynamic_keeps_exactly_the_largest_magnitudes_of_each_sample(k: int, seed: int) -> None:
    a = activations(seed=seed)
    out = Winner(k / 60, "dynamic")(a)
    assert (out != 0).sum(1).tolist() == [k] * 8
    for row, kept in zip(a, out, strict=True):
        wins = kept != 0
        assert torch.equal(kept[wins], row[wins])
        if k < 60:
            assert row[wins].abs().min() > row[~wins].abs().max()


def test_dynamic_counts_over_all_but_the_batch_dimension() -> None:
    a = activations(2, 3 * 4 * 5).reshape(2, 3, 4, 5)
    out = Winner(0.25, "dynamic")(a)
    assert out.shape == a.shape
    assert (out != 0).sum((1, 2, 3)).tolist() == [15, 15]


def test_zeros_never_win_so_fewer_win_behind_a_relu() -> None:
    a = torch.tensor([[0.0, 0.0, 3.0, 0.0, 1.0]])
    for mode in ("dynamic", "static"):
        assert torch.equal(Winner(0.8, mode)(a), a)  # two non-zeros, four places


def test_ties_at_the_threshold_lose() -> None:
    out = Winner(0.5, "dynamic")(torch.tensor([[2.0, 1.0, 1.0, 1.0]]))
    assert torch.equal(out, torch.tensor([[2.0, 0.0, 0.0, 0.0]]))


def test_negative_values_win_by_magnitude() -> None:
    out = Winner(0.5, "dynamic")(torch.tensor([[-5.0, 1.0, 2.0, -0.5]]))
    assert torch.equal(out, torch.tensor([[-5.0, 0.0, 2.0, 0.0]]))


def test_static_compares_with_strictly_greater() -> None:
    module = Winner(0.5, "static")
    module.theta.fill_(1.0)
    out = module(torch.tensor([[1.0, -1.0, 1.0001, -2.0, 0.5]]))
    assert out.tolist() == [[0.0, 0.0, pytest.approx(1.0001), -2.0, 0.0]]


@pytest.mark.parametrize("mode", ["dynamic", "static"])
def test_gradient_flows_through_winners_only(mode: str) -> None:
    a = activations().requires_grad_()
    module = Winner(0.3, mode)  # type: ignore[arg-type]
    module.theta.fill_(0.7)
    out = module(a)
    (3.0 * out).sum().backward()  # type: ignore[no-untyped-call]
    assert a.grad is not None
    assert torch.equal(a.grad, 3.0 * (out != 0).float())


def test_sampled_threshold_comes_near_the_rate_and_follows_the_seed() -> None:
    a = activations(64, 5000)
    module = Winner(0.2, "sampled", alpha=0.1)
    torch.manual_seed(5)
    first = module(a)
    torch.manual_seed(5)
    assert torch.equal(first, module(a))
    assert abs((first != 0).float().mean() - 0.2) < 0.01
    assert not torch.equal(first, Winner(0.2, "dynamic")(a))


def test_calibration_reaches_the_rate_over_all_batches() -> None:
    a = activations(50, 100)
    module = Winner(0.17, "static")
    theta = module.calibrate([a[:20], a[20:]])
    assert theta == pytest.approx(float(module.theta))
    assert (module(a) != 0).sum() == winner_count(0.17, a.numel())
    assert module.theta.dtype == torch.float32


def test_calibration_of_sparser_data_than_the_rate_keeps_everything() -> None:
    a = activations().relu() * (activations(seed=1) > 1.0)
    module = Winner(0.9, "static")
    assert module.calibrate([a]) == 0.0
    assert torch.equal(module(a), a)


def test_calibration_without_data_is_an_error() -> None:
    with pytest.raises(JpHwError, match="without data"):
        Winner(0.5).calibrate([])


def test_dropout_works_in_training_only_at_half_the_root_of_the_rate() -> None:
    a = torch.ones(100, 1000)
    module = Winner(0.25, "off", dropout=True)
    torch.manual_seed(0)
    assert abs((module.train()(a) == 0).float().mean() - 0.25) < 0.01
    assert torch.equal(module.eval()(a), a)


def test_theta_is_in_the_state_dict() -> None:
    module = Winner(0.5, "static")
    module.theta.fill_(0.625)
    other = Winner(0.5, "static")
    other.load_state_dict(module.state_dict())
    assert float(other.theta) == 0.625


def test_fx_traces_a_model_with_winners_as_leaves() -> None:
    from jp_hw import models

    class Tracer(torch.fx.Tracer):
        def is_leaf_module(self, m: torch.nn.Module, name: str) -> bool:
            return isinstance(m, Winner) or super().is_leaf_module(m, name)

    model = models.build("mlp3")
    set_winner_mode(model, "static")
    targets = [str(n.target) for n in Tracer().trace(model).nodes if n.op == "call_module"]
    assert targets == ["flatten", "win0", "fc1", "relu1", "win1", "fc2", "relu2", "win2", "fc3"]
    assert [m.mode for m in winners(model).values()] == ["static"] * 3


@pytest.mark.parametrize("rate", [0.0, -0.1, 1.5, float("nan")])
def test_bad_rate_is_refused(rate: float) -> None:
    with pytest.raises(JpHwError, match="winner rate"):
        Winner(rate)


def test_bad_mode_is_refused_with_the_list() -> None:
    with pytest.raises(JpHwError, match=", ".join(MODES)):
        Winner(0.5, "Static")  # type: ignore[arg-type]
