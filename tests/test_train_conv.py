"""Training of a tiny residual and a tiny plain convolutional network, all stages."""

import csv
import json
import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import save_file

from jp_hw import golden, zoo
from jp_hw.datasets import Dataset, Split
from jp_hw.errors import JpHwError
from jp_hw.evaluate import network_of
from jp_hw.macs import count
from jp_hw.schedule.assign import channel_work
from jp_hw.train import Silent, TrainConfig, recipe, train
from jp_hw.train import stages as training_stages
from jp_hw.train.balance import group_counts
from jp_hw.train.measure import measure
from jp_hw.train.state import RunState, fresh

EPOCHS = {"dense": 3, "prune": 2, "dynamic": 1, "static": 1}


def synthetic(n: int = 224, seed: int = 0) -> Dataset:
    """Colour images of four kinds: a bright quarter, noise everywhere."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n + 64) % 4
    images = rng.integers(0, 90, (n + 64, 32, 32, 3))
    for k, (top, left) in enumerate(((0, 0), (0, 16), (16, 0), (16, 16))):
        images[labels == k, top : top + 16, left : left + 16, k % 3] += 140
    images = images.astype(np.uint8)
    return Dataset("cifar10", Split(images[:n], labels[:n]), Split(images[n:], labels[n:]))


def tiny(model: str = "resnet8", **changes: Any) -> TrainConfig:
    stages = {name: {"epochs": epochs} for name, epochs in EPOCHS.items()}
    small: dict[str, Any] = {
        "resnet8": {"model_args": {"widths": (4, 8, 8)}, "shift": 1},
        "convnet5": {"model_args": {"channels": (4, 6), "hidden": (12, 10)}},
    }[model]
    values = {
        "batch_size": 32,
        "holdout": 64,
        "calibration": 64,
        "sensitivity": 16,
        "flip": False,
        "prune_every": 2,
        "macs": 0.2,
        "optimizer": "muon",
        "dense": {"epochs": EPOCHS["dense"], "lr": 0.03, "crop": 24},
    }
    return recipe(model, **{**stages, **small, **values, **changes})


def _losses(folder: Path) -> list[float]:
    """The loss of every epoch."""
    with (folder / "metrics.csv").open(encoding="utf-8") as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


class Crash(Silent):
    """Dies at a training step."""

    def __init__(self, step: int) -> None:
        self.left = step

    def step(self, loss: float) -> None:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt


def weights(folder: Path) -> bytes:
    return (folder / "result" / zoo.TENSORS).read_bytes()


@pytest.fixture(autouse=True)
def _no_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plots take longer than these runs; the module's finished run has them."""
    monkeypatch.setattr("jp_hw.train.plots.draw", lambda *_: None)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("conv") / "run"
    train(tiny(), synthetic(), folder, command="jp-hw train resnet8")
    return folder


def test_a_residual_network_goes_through_all_stages(finished: Path) -> None:
    info = zoo.load(finished).info
    figures = info["metrics"]["jpnet"]
    assert [layer["name"] for layer in figures["layers"]][:4] == [
        "conv",
        "stacks.stack1.block1.conv1",
        "stacks.stack1.block1.conv2",
        "stacks.stack2.block1.conv1",
    ]
    assert len(figures["layers"]) == 10
    assert 0.01 < figures["macs_kept"] < 0.22  # the budget, less what the thresholds take away
    assert info["metrics"]["fake_quantized"]["bits"] == 8
    analyses = json.loads((finished / "sensitivity.json").read_text())
    assert set(analyses) == {"dense", "prune"}
    assert set(analyses["prune"]["winner_rates"]) == {
        "win",
        *(f"stacks.stack{i}.block1.win{j}" for i in (1, 2, 3) for j in (1, 2)),
    }
    for name in ("macs", "densities", "sensitivity-dense", "sensitivity-prune"):
        assert (finished / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_the_artifact_computes_what_was_measured(finished: Path) -> None:
    artifact, test = zoo.load(finished), synthetic().test
    x = torch.tensor(test.images).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        accuracy = (artifact.model()(x).argmax(1).numpy() == test.labels).mean()
    assert artifact.info["metrics"]["jpnet"]["accuracy"] == pytest.approx(accuracy)


def test_stopped_and_killed_run_ends_bit_identical(finished: Path, tmp_path: Path) -> None:
    assert train(tiny(), synthetic(), tmp_path / "run", until="dense") is None
    assert not (tmp_path / "run" / "result").exists()
    step = random.Random(5).randrange(1, 5 * (EPOCHS["prune"] + 2))
    with pytest.raises(KeyboardInterrupt):
        train(tiny(), synthetic(), tmp_path / "run", progress=Crash(step))
    train(tiny(), synthetic(), tmp_path / "run")
    assert weights(tmp_path / "run") == weights(finished), f"interrupted in step {step}"


def test_the_dense_stage_of_another_run_can_be_taken_over(finished: Path, tmp_path: Path) -> None:
    train(tiny(), synthetic(), tmp_path / "same", base=finished)
    assert weights(tmp_path / "same") == weights(finished)
    with pytest.raises(JpHwError, match="trained with another seed, shift: give the same"):
        train(tiny(seed=1, shift=2), synthetic(), tmp_path / "other", base=finished)
    with pytest.raises(JpHwError, match="is no training run"):
        train(tiny(), synthetic(), tmp_path / "other", base=tmp_path)
    assert not (tmp_path / "other").exists()


def test_a_run_can_start_from_trained_weights(finished: Path, tmp_path: Path) -> None:
    run = tmp_path / "again"
    assert train(tiny(), synthetic(), run, init=finished, until="dense") is None
    train(tiny(), synthetic(), tmp_path / "dense", init=finished / "dense", until="dense")
    losses = [_losses(folder)[0] for folder in (run, tmp_path / "dense", finished)]
    assert max(losses[:2]) < 0.7 * losses[2]
    assert losses[1] == pytest.approx(_losses(finished)[EPOCHS["dense"] - 1], rel=0.3)
    other = tmp_path / "other.safetensors"
    save_file({k: np.asarray(-v) for k, v in zoo.load(finished).tensors.items()}, other)
    # the same command resumes; without the weights, or with others, it is another run
    train(tiny(), synthetic(), run, init=finished, until="dense")
    with pytest.raises(JpHwError, match="holds a run with another init"):
        train(tiny(), synthetic(), run)
    with pytest.raises(JpHwError, match="holds a run with another init"):
        train(tiny(), synthetic(), run, init=other)


def test_another_network_teaches_in_all_stages(finished: Path, tmp_path: Path) -> None:
    taught = tiny("convnet5", winner_rates=(0.5,) * 4, sensitivity=0)
    info = train(taught, synthetic(), tmp_path / "run", teacher=finished)
    assert info is not None
    assert info["config"]["teacher"]["model"] == "resnet8"
    train(taught, synthetic(), tmp_path / "alone")
    pairs = list(zip(_losses(tmp_path / "run"), _losses(tmp_path / "alone"), strict=True))
    assert all(one != other for one, other in pairs)
    with pytest.raises(JpHwError, match="holds a run with another teacher"):
        train(taught, synthetic(), tmp_path / "alone", teacher=finished)
    with pytest.raises(JpHwError, match="was trained with another teacher"):
        train(taught, synthetic(), tmp_path / "2", base=tmp_path / "alone", teacher=finished)


def test_a_taught_run_killed_ends_bit_identical(finished: Path, tmp_path: Path) -> None:
    stage = {"epochs": 1, "lr": 0.01}
    taught = tiny("convnet5", winner_rates=(0.5,) * 4, sensitivity=0, dense=stage, prune=stage)
    train(taught, synthetic(), tmp_path / "whole", teacher=finished)
    with pytest.raises(KeyboardInterrupt):
        train(taught, synthetic(), tmp_path / "run", teacher=finished, progress=Crash(7))
    train(taught, synthetic(), tmp_path / "run", teacher=finished)
    assert weights(tmp_path / "run") == weights(tmp_path / "whole")


def test_who_cannot_teach(finished: Path, tmp_path: Path) -> None:
    for teacher, changes, message in (
        (tmp_path, {}, "is no training run: give the folder of one"),
        (finished, {"distill": 0.0}, "a teacher needs a share of the loss"),
        (finished, {"model_args": {"classes": 4}}, "resnet8 cannot teach convnet5"),
    ):
        with pytest.raises(JpHwError, match=message):
            train(tiny("convnet5", **changes), synthetic(), tmp_path / "run", teacher=teacher)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing", "is neither in the zoo"),
        ("nothing.safetensors", "cannot be read"),
        ("resnet8", "do not fit this network"),
    ],
)
def test_weights_that_cannot_be_started_from(name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(JpHwError, match=message):
        train(tiny(), synthetic(), tmp_path / "run", init=name, until="dense")
    assert not (tmp_path / "run").exists()


def test_balanced_masks_hold_to_the_end(tmp_path: Path) -> None:
    quick = {"dense": {"epochs": 1}, "winner_rates": (0.4,) * 7, "sensitivity": 0}
    train(tiny(balance=2, **quick), synthetic(96), tmp_path / "run")
    tensors = zoo.load(tmp_path / "run").tensors
    for name in ("stacks.stack1.block1.conv2", "stacks.stack3.block1.conv1", "fc"):
        counts = group_counts(torch.tensor(tensors[f"{name}.weight"]), 1, 2)
        assert counts.sum() > 0
        assert torch.equal(counts[..., 0], counts[..., 1]), name


def test_channels_stay_under_their_caps_to_the_end(tmp_path: Path) -> None:
    """And keep about the MACs that they would have kept without, in as many channels at least."""
    quick = {"dense": {"epochs": 1}, "winner_rates": (1.0,) * 7, "sensitivity": 0, "trim": True}
    widths = {"model_args": {"widths": (8, 8, 8)}}
    caps = (0.0, 1.0, 1.0) + (0.0,) * 7

    def work(where: Path, **changes: Any) -> list[np.ndarray]:
        """MACs of the channels of the first stack's two convolutions."""
        train(tiny(**quick, **widths, **changes), synthetic(96), where)
        artifact = zoo.load(where)
        network, images = network_of(artifact), artifact.samples().images
        tensors = golden.tensors(network, images)
        return [channel_work(network, layer, tensors).mean(0) for layer in network.layers[1:3]]

    for free, even in zip(
        work(tmp_path / "free"), work(tmp_path / "even", channel_caps=caps), strict=True
    ):
        assert even.max() < 1.25 * even[even > 0].mean()
        assert free.max() > 1.25 * free[free > 0].mean()
        assert (even > 0).sum() >= (free > 0).sum()
        assert even.sum() > 0.6 * free.sum()


def test_caps_that_cannot_be(tmp_path: Path) -> None:
    for changes, message in (
        ({"channel_caps": (0.5,) * 10}, "channel_caps are 1 or more"),
        ({"channel_caps": (math.inf,) * 10}, "channel_caps.0: Input should be a finite number"),
        ({"channel_caps": (1.0,) * 3}, "channel_caps needs 10 values for resnet8, 3 given"),
        ({"channel_caps": (1.0,) * 10, "balance": 2}, "channel_caps do without balance"),
    ):
        with pytest.raises(JpHwError, match=message):
            tiny(**changes)


def test_layers_end_with_their_shares_of_the_macs(tmp_path: Path) -> None:
    shares = (0.0, 0.2, 0.2) + (0.0,) * 7
    quick = {"dense": {"epochs": 1}, "winner_rates": (1.0,) * 7, "sensitivity": 0, "trim": True}
    data, widths = synthetic(96), {"model_args": {"widths": (8, 8, 8)}}
    got = {}
    for name, more in (("free", {}), ("shared", {"mac_shares": shares})):
        train(tiny(**quick, **widths, **more), data, tmp_path / name)
        artifact = zoo.load(tmp_path / name)
        layers = count(network_of(artifact), artifact.calibration().images[:64])
        whole = sum(layer.macs for layer in layers)
        got[name] = [layer.macs / whole for layer in layers[1:3]]
    for share, free in zip(got["shared"], got["free"], strict=True):
        assert abs(share - 0.2) < 0.05 < abs(free - 0.2)


def test_shares_that_cannot_be() -> None:
    for changes, message in (
        ({"mac_shares": (0.2,) * 10}, "mac_shares add up to 2: give less than 1"),
        ({"mac_shares": (0.5, 0.5) + (0.0,) * 8}, "mac_shares add up to 1: give less than 1"),
        ({"mac_shares": (0.05,) * 10}, r"mac_shares add up to 0\.5: .* or give every layer one"),
        ({"mac_shares": (-0.1,) * 10}, r"mac_shares\.0: Input should be greater"),
        ({"mac_shares": (0.1,) * 3}, "mac_shares needs 10 values for resnet8, 3 given"),
        ({"mac_shares": (0.1,) * 10, "densities": (0.5,) * 10, "macs": None}, "go with macs"),
    ):
        with pytest.raises(JpHwError, match=message):
            tiny(**changes)
    assert tiny(mac_shares=(0.1,) * 10).mac_shares == (0.1,) * 10


def test_plain_convolutions_with_dropout_and_predicted_thresholds(tmp_path: Path) -> None:
    config = tiny(
        "convnet5", sampled=True, dropout=True, optimizer="adadelta", label_smoothing=0.1,
        winner_rates=(0.2, 0.2, 0.3, 0.3),
        model_args={"channels": (8, 8), "hidden": (12, 10), "activation": "leaky_relu"},
        dense={"epochs": 2, "lr": 1.0}, prune={"epochs": 1, "lr": 0.5},
    )  # fmt: skip
    info = train(config, synthetic(), tmp_path / "run")
    assert info is not None
    figures = info["metrics"]["jpnet"]
    assert zoo.load(tmp_path / "run").samples().images.shape[1:] == (24, 24, 3)
    for layer, rate in zip(figures["layers"][1:], (0.2, 0.2, 0.3, 0.3), strict=True):
        assert 0 < layer["input_rate"] < 1.6 * rate


def test_alexnet_learns_from_a_folder_of_pictures(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for part, pictures in (("train", 8), ("val", 3)):
        for label, name in enumerate(("dark", "light")):
            (tmp_path / "data" / part / name).mkdir(parents=True)
            for number in range(pictures):
                pixels = rng.integers(0, 100, (40, 50, 3)) + 150 * label
                picture = Image.fromarray(pixels.astype(np.uint8))
                picture.save(tmp_path / "data" / part / name / f"{number}.jpg")
    stage = {"epochs": 1, "lr": 0.01}
    changes: dict[str, Any] = {
        "model_args": {"width": 4, "hidden": 8, "classes": 2},
        "batch_size": 6, "holdout": 4, "calibration": 6, "sensitivity": 4, "precision": "bfloat16",
        "prune_every": 1, "winner_rates": (0.6,) * 7, "macs": 0.8, "mac_penalty": 0.0,
    }  # fmt: skip
    config = recipe(
        "alexnet",
        **changes,
        dense={"epochs": 3, "lr": 0.05},
        prune=stage,
        dynamic=stage,
        static=stage,
    )
    info = train(config, tmp_path / "data", tmp_path / "run")
    assert info is not None
    assert info["classes"] == 2
    assert 0 < info["metrics"]["jpnet"]["macs_kept"] < 0.8
    assert len(info["metrics"]["jpnet"]["layers"]) == 8
    wrong = recipe("alexnet", **{**changes, "model_args": {"width": 4, "classes": 1}})
    with pytest.raises(JpHwError, match=r"has 1: give --set model_args.classes=2"):
        train(wrong, tmp_path / "data", tmp_path / "other")


def test_a_missing_gpu_is_named(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(JpHwError, match="torch finds no GPU"):
        train(tiny(device="cuda"), synthetic(), tmp_path / "run")


def test_two_processes_share_each_batch(tmp_path: Path) -> None:
    epochs = {"dense": {"epochs": 1}, "prune": {"epochs": 1}, "static": {"epochs": 1}}
    config = tiny(processes=2, sensitivity=0, winner_rates=(0.4,) * 7, **epochs)
    seen: list[str] = []

    class Watch(Silent):
        def epoch(self, row: dict[str, Any]) -> None:
            seen.append(row["stage"])

    info = train(config, synthetic(96), tmp_path / "run", progress=Watch())
    assert info is not None
    assert seen == ["dense", "prune", "dynamic", "static"]
    assert info["metrics"]["jpnet"]["macs_kept"] < 0.25


@pytest.mark.parametrize("balance", [1, 2])
def test_trim_leaves_the_share_of_macs_that_was_asked_for(balance: int) -> None:
    state = fresh(tiny(macs=0.3, trim=True, balance=balance, criterion="magnitude"))
    pixels = torch.randint(0, 256, (40, 3, 32, 32), generator=torch.Generator().manual_seed(4))
    images = pixels.float() / 255

    def kept() -> float:
        labels = torch.zeros(len(pixels), dtype=torch.int64)
        return measure(state.model, state.layers, pixels, labels, 1 / 255).macs_kept

    before, weights = kept(), {n: x.weight.clone().abs() for n, x in state.layers.items()}
    gone = training_stages.trim(state, images)
    assert 0.25 < kept() < 0.31 < before
    # what went moved activations a little, and so their MACs
    assert training_stages.trim(state, images) < gone / 20
    if balance == 1:  # the least go, and what no output can depend on any more
        for name, layer in state.layers.items():
            pruned, least = (
                weights[name][layer.weight_mask == 0],
                weights[name][layer.weight_mask == 1].min(),
            )
            assert (pruned <= least).float().mean() > 0.9
    else:
        for layer in state.layers.values():
            counts = group_counts(layer.weight_mask, 1, balance)
            assert bool((counts == counts[..., :1]).all())


def test_trim_takes_nothing_for_a_share_that_is_not_used() -> None:
    """The last layer cannot use a fifth of the MACs; the others have what it leaves, also at the end."""
    shares = (0.0,) * 9 + (0.2,)
    state = fresh(tiny(macs=0.3, trim=True, mac_shares=shares, criterion="magnitude"))
    pixels = torch.randint(0, 256, (40, 3, 32, 32), generator=torch.Generator().manual_seed(4))
    labels = torch.zeros(len(pixels), dtype=torch.int64)
    training_stages.trim(state, pixels.float() / 255)
    kept = measure(state.model, state.layers, pixels, labels, 1 / 255).macs_kept
    assert 0.28 < kept < 0.31


def test_trim_ends_the_run_on_calibration_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[torch.Size] = []

    def trim(state: RunState, images: torch.Tensor) -> int:
        seen.append(images.shape)
        return training_stages.trim(state, images) + 7

    monkeypatch.setattr("jp_hw.train.finish.trim", trim)
    train(tiny(trim=True), synthetic(), tmp_path, command="jp-hw train resnet8")
    metrics = json.loads((tmp_path / "result" / zoo.JSON).read_text())["metrics"]
    assert metrics["trimmed_weights"] >= 7
    assert seen == [(64, 3, 32, 32)]


def test_trim_needs_a_share_of_macs() -> None:
    with pytest.raises(JpHwError, match="trim goes with macs: densities say"):
        tiny(trim=True, macs=None, densities=(0.5,) * 10)
