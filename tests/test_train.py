"""Training on small synthetic data: schedule, masks, counts, resuming, errors."""

import csv
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from jp_hw import models, zoo
from jp_hw.datasets import Dataset, Split
from jp_hw.errors import JpHwError
from jp_hw.train import STAGES, Silent, TrainConfig, losses, pruning, recipe, train
from jp_hw.train.data import Batches
from jp_hw.train.measure import kept_macs, measure

EPOCHS = {"dense": 2, "prune": 3, "dynamic": 1, "static": 2}


def synthetic(n: int = 320, seed: int = 0) -> Dataset:
    """Ten blurry patterns with noise, mostly zero like digits."""
    rng = np.random.default_rng(seed)
    patterns = rng.random((10, 28, 28, 1)) < 0.15
    labels = np.arange(n + 80) % 10
    values = patterns[labels] * rng.integers(100, 256, (n + 80, 28, 28, 1))
    noise = (rng.random(values.shape) < 0.02) * 200
    images = np.maximum(values, noise).astype(np.uint8)
    return Dataset("mnist", Split(images[:n], labels[:n]), Split(images[n:], labels[n:]))


def tiny(**changes: Any) -> TrainConfig:
    stages = {name: {"epochs": epochs} for name, epochs in EPOCHS.items()}
    values = {
        "batch_size": 32,
        "holdout": 64,
        "prune_every": 2,
        "densities": (0.05, 0.1, 0.5),
        "winner_rates": (0.2, 0.3),
        "input_theta": 0.25,
        "mac_penalty": 1e-5,
    }
    return recipe("mlp3", **{**values, **stages, **changes})


class Crash(Silent):
    """Dies in a given epoch, at its end or in its middle."""

    def __init__(self, epoch: int, middle: bool) -> None:
        self.left, self.middle = epoch, middle

    def step(self, loss: float) -> None:
        if self.middle and self.left == 0:
            raise KeyboardInterrupt

    def epoch(self, row: dict[str, Any]) -> None:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt


@pytest.fixture(autouse=True)
def _no_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plots take longer than these runs; the module's finished run has them."""
    monkeypatch.setattr("jp_hw.train.plots.draw", lambda *_: None)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("train") / "run"
    train(tiny(), synthetic(), folder, command="jp-hw train mlp3")
    return folder


def weights(folder: Path) -> bytes:
    return (folder / "result" / zoo.TENSORS).read_bytes()


def test_run_folder_and_figures(finished: Path) -> None:
    info = zoo.load(finished).info
    assert info["command"] == (finished / "command.txt").read_text().strip() == "jp-hw train mlp3"
    assert info["config"] == json.loads((finished / "config.json").read_text())
    rows = list(csv.DictReader((finished / "metrics.csv").read_text().splitlines()))
    assert [row["stage"] for row in rows] == [s for s in STAGES for _ in range(EPOCHS[s])]
    assert {p.name for p in (finished / "checkpoint").iterdir()} == {
        "latest.json",
        f"state-{len(rows)}.safetensors",
    }
    figures = info["metrics"]["jpnet"]
    assert info["metrics"]["dense"]["accuracy"] > 0.9
    assert figures["accuracy"] > 0.5
    assert figures["dense_macs"] == 266_200
    assert [layer["weights"] for layer in figures["layers"]] == [235_200, 30_000, 1_000]
    for layer, density in zip(figures["layers"], (0.05, 0.1, 0.5), strict=True):
        assert 0 < layer["weights_kept"] <= round(density * layer["weights"])
    for layer, rate in zip(figures["layers"][1:], (0.2, 0.3), strict=True):
        assert 0 < layer["input_rate"] < 1.5 * rate


def test_figures_agree_with_a_plain_recount(finished: Path) -> None:
    artifact, test = zoo.load(finished), synthetic().test
    model, t = artifact.model(), artifact.tensors
    x = torch.tensor(test.images).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        accuracy = (model(x).argmax(1).numpy() == test.labels).mean()
    a = np.where(
        test.images.reshape(80, -1) / 255 > t["win0.theta"], test.images.reshape(80, -1) / 255, 0
    )
    macs = 0.0
    for index in (1, 2, 3):
        w = t[f"fc{index}.weight"]
        macs += ((a[:, None, :] != 0) & (w != 0)).sum() / 80
        if index < 3:
            a = np.maximum(a @ w.T + t[f"fc{index}.bias"], 0)
            a = np.where(a > t[f"win{index}.theta"], a, 0)
    figures = artifact.info["metrics"]["jpnet"]
    assert figures["accuracy"] == pytest.approx(accuracy)
    assert figures["macs_per_image"] == pytest.approx(macs, rel=1e-3)
    assert figures["macs_kept"] == pytest.approx(macs / 266_200, rel=1e-3)


def test_no_weight_is_left_that_cannot_matter(finished: Path) -> None:
    t = zoo.load(finished).tensors
    for index in (1, 2):
        without_way_out = ~(t[f"fc{index + 1}.weight"] != 0).any(0)
        assert without_way_out.any()
        assert not t[f"fc{index}.weight"][without_way_out].any()


@pytest.mark.parametrize("middle", [False, True])
def test_interrupted_run_ends_bit_identical(finished: Path, tmp_path: Path, middle: bool) -> None:
    points = random.Random(f"{middle}").sample(range(sum(EPOCHS.values())), 2)
    for epoch in points:
        folder = tmp_path / f"run{epoch}"
        with pytest.raises(KeyboardInterrupt):
            train(tiny(), synthetic(), folder, progress=Crash(epoch, middle))
        train(tiny(), synthetic(), folder)
        assert weights(folder) == weights(finished), f"interrupted in epoch {epoch}"


def test_killed_process_resumes_bit_identical(finished: Path, tmp_path: Path) -> None:
    code = (
        "import os, sys; sys.path.insert(0, sys.argv[2])\n"
        "from test_train import *\n"
        "class Die(Silent):\n"
        "    def stage(self, name, *_):\n"
        "        if name == 'static': os.kill(os.getpid(), 9)\n"
        "train(tiny(), synthetic(), sys.argv[1], progress=Die())\n"
    )
    root = str(Path(models.__file__).parents[1])
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "run"), str(Path(__file__).parent)],
        env={**os.environ, "PYTHONPATH": root},
    )
    assert run.returncode == -9
    train(tiny(), synthetic(), tmp_path / "run")
    assert weights(tmp_path / "run") == weights(finished)


def test_finished_run_again_writes_the_same(finished: Path) -> None:
    before = weights(finished)
    train(tiny(), synthetic(), finished, command="jp-hw train mlp3")
    assert weights(finished) == before


def test_another_seed_trains_other_weights(finished: Path, tmp_path: Path) -> None:
    train(tiny(seed=1), synthetic(), tmp_path / "run")
    assert weights(tmp_path / "run") != weights(finished)


def test_nan_loss_is_an_error_that_keeps_the_checkpoint(tmp_path: Path) -> None:
    config = tiny(prune={"epochs": 2, "lr": 1e30}, optimizer="sgd")
    with pytest.raises(JpHwError, match=r"loss is (nan|inf) in stage prune.*checkpoint is kept"):
        train(config, synthetic(), tmp_path / "run")
    latest = json.loads((tmp_path / "run/checkpoint/latest.json").read_text())
    assert latest["data"]["stage"] == 1
    assert (tmp_path / "run/checkpoint" / latest["state"]).is_file()
    assert not (tmp_path / "run/result").exists()


def test_foreign_folders_are_refused(finished: Path, tmp_path: Path) -> None:
    with pytest.raises(JpHwError, match="another holdout, seed: give a new folder"):
        train(tiny(seed=5, holdout=32), synthetic(), finished)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(JpHwError, match="no training run"):
        train(tiny(), synthetic(), tmp_path)
    with pytest.raises(JpHwError, match="is a file"):
        train(tiny(), synthetic(), tmp_path / "notes.txt")
    with pytest.raises(JpHwError, match="does not exist"):
        train(tiny(), tmp_path / "nowhere", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_broken_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(tiny(), synthetic(), tmp_path / "run", progress=Crash(1, False))
    (state,) = (tmp_path / "run/checkpoint").glob("*.safetensors")
    state.write_bytes(state.read_bytes()[:1000])
    with pytest.raises(JpHwError, match=r"latest.json cannot be read.*new folder"):
        train(tiny(), synthetic(), tmp_path / "run")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"densities": (0.1, 0.1)}, "densities needs 3 values for mlp3, 2 given"),
        ({"winner_rates": (0.1, 1.2)}, "winner_rates.1: .*less than or equal to 1"),
        ({"optimizer": "rmsprop"}, "optimizer: .*adam"),
        ({"prune": {"epochs": 0}}, "prune.epochs: .*greater than or equal to 1"),
        ({"winner_rate": 0.1}, "winner_rate: Extra inputs"),
        ({"weights": 0.1}, "weights goes with macs"),
    ],
)
def test_bad_config_names_the_field(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(JpHwError, match=message):
        recipe("mlp3", **changes)


def test_unknown_model_and_greedy_holdout(tmp_path: Path) -> None:
    with pytest.raises(JpHwError, match="choose one of mlp3"):
        recipe("mlp4")
    with pytest.raises(JpHwError, match="holdout 320 leaves none of 320"):
        train(tiny(holdout=320), synthetic(), tmp_path / "run")


def test_cubic_schedule_falls_from_one_to_the_density() -> None:
    densities = [pruning.cubic(0.1, share / 10) for share in range(13)]
    assert densities[0] == 1.0
    assert densities[5] == pytest.approx(0.1 + 0.9 / 8)
    assert densities[10:] == [pytest.approx(0.1)] * 3
    assert densities == sorted(densities, reverse=True)


def test_densities_are_reached_even_where_the_schedule_ends_with_the_stage(tmp_path: Path) -> None:
    info = train(tiny(prune_share=1.0, prune_every=7), synthetic(), tmp_path / "run")
    for layer, density in zip(info["metrics"]["jpnet"]["layers"], (0.05, 0.1, 0.5), strict=True):
        assert layer["weights_kept"] <= round(density * layer["weights"])


def test_prune_to_keeps_the_best_and_never_regrows() -> None:
    layer = torch.nn.Linear(50, 20)
    pruning.attach({"l": layer})
    score = pruning.weight_scores(layer, None)
    pruning.prune_to(layer, score, 0.1)
    kept = pruning.mask_of(layer).bool()
    assert kept.sum() == 100
    assert score[kept].min() > score[~kept].max()
    pruning.refresh({"l": layer})
    pruning.prune_to(layer, pruning.weight_scores(layer, None), 0.9)
    assert torch.equal(pruning.mask_of(layer).bool(), kept)
    pruning.prune_to(layer, pruning.weight_scores(layer, None), 0.9, channels=0.2)
    assert (pruning.fanout(layer) > 0).sum() <= 10


def test_conditional_criterion_prefers_inputs_that_are_large_when_they_are_on() -> None:
    layer = torch.nn.Linear(2, 1)
    torch.nn.init.ones_(layer.weight)
    pruning.attach({"l": layer})
    moments = pruning.InputMoments.of(2)
    a = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [1.0, 1.5]])
    for _ in range(2000):
        moments.update(a)
    score = pruning.weight_scores(layer, moments)
    assert score.flatten().tolist() == [pytest.approx(1.0, 1e-3), pytest.approx(1.5, 1e-3)]


@pytest.mark.parametrize("groups", [1, 2])
def test_conv_macs_are_counted_in_bounds_and_nonzero(groups: int) -> None:
    torch.manual_seed(groups)
    layer = torch.nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=groups)
    with torch.no_grad():
        layer.weight.mul_(torch.rand_like(layer.weight) < 0.4)
    a = torch.randn(2, 4, 7, 7).relu()
    expected = 0
    for n, o, y, x in np.ndindex(2, 6, 4, 4):
        for c, i, j in np.ndindex(4 // groups, 3, 3):
            row, column = 2 * y + i - 1, 2 * x + j - 1
            channel = o // (6 // groups) * (4 // groups) + c
            if 0 <= row < 7 and 0 <= column < 7:
                expected += bool(layer.weight[o, c, i, j] != 0 and a[n, channel, row, column] != 0)
    assert kept_macs(layer, a) == expected


def test_measure_of_a_dense_model_counts_input_pixels() -> None:
    data = synthetic()
    model = models.build("mlp3")
    layers = models.mac_layers(model)
    images = torch.tensor(data.test.images).permute(0, 3, 1, 2)
    result = measure(model, layers, images, torch.tensor(data.test.labels), 1 / 255)
    assert result.layers[0].tokens == np.count_nonzero(data.test.images)
    assert result.layers[0].macs_kept == 300 * np.count_nonzero(data.test.images)
    assert result.layers[0].macs == 80 * 235_200


def test_expected_macs_is_exact_for_equal_magnitudes_and_ignores_scale() -> None:
    a = torch.tensor([[2.0, 0.0, -2.0, 0.0]])
    fanout = torch.tensor([3.0, 7.0, 5.0, 0.0])
    assert float(losses.expected_macs(a, fanout)) == pytest.approx(8.0, rel=1e-5)
    uneven = torch.tensor([[2.0, 0.3, -2.0, 1.0]])
    small = float(losses.expected_macs(uneven * 0.1, fanout))
    assert small == pytest.approx(float(losses.expected_macs(uneven, fanout)), rel=1e-3)


def test_shifted_batches_hold_the_same_images_moved() -> None:
    data = synthetic(64)
    config = tiny(shift=2, shift_share=1.0)
    torch.manual_seed(0)
    batches = Batches(data.train, config, 1 / 255)
    padded = np.pad(data.train.images[..., 0], ((0, 0), (2, 2), (2, 2)))
    views = {
        padded[n, y : y + 28, x : x + 28].tobytes(): (n, y, x) for n, y, x in np.ndindex(64, 5, 5)
    }
    found = []
    for x, y in batches:
        pixels = (x * 255).round().to(torch.uint8).numpy()[:, 0]
        for image, label in zip(pixels, y.tolist(), strict=True):
            found.append(views[image.tobytes()])
            assert data.train.labels[found[-1][0]] == label
    assert sorted(n for n, _, _ in found) == list(range(64))
    assert len({(y, x) for _, y, x in found}) > 10


def test_without_shift_images_are_unchanged() -> None:
    data = synthetic(64)
    x, _ = next(iter(Batches(data.train, tiny(shift=0, batch_size=64), 1 / 255)))
    assert x.shape == (64, 1, 28, 28)
    assert float(x.sum()) == pytest.approx(data.train.images.sum() / 255, rel=1e-5)
