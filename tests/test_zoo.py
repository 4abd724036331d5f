"""Artifacts: what is saved is what is loaded, and nothing broken is loaded."""

import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from jp_hw import models, zoo
from jp_hw.datasets import Split
from jp_hw.errors import JpHwError
from jp_hw.nn import winners

INFO: dict[str, Any] = {
    "name": "mine",
    "model": {"builder": "mlp3", "args": {"hidden": [30, 20]}},
    "dataset": {"name": "mnist", "train_images": 2, "test_images": 2},
    "input": {"shape": [28, 28, 1], "layout": "HWC", "dtype": "uint8", "scale": 1 / 255},
    "classes": 10,
    "seed": 0,
    "command": "jp-hw train mine",
    "config": {},
    "packages": {},
    "metrics": {},
}


class Bar(NamedTuple):
    """At least so many samples right, such an accuracy; at most such a drop from the dense network, so
    many MACs."""

    right: float
    accuracy: float
    drop: float
    macs_kept: float


BARS = {
    "convnet5": Bar(0.65, 0.819, 0.008, 0.12),
    "mlp3": Bar(0.95, 0.983, 0.004, 0.009),
    "resnet8": Bar(0.75, 0.86, 0.016, 0.05),
    "resnet32": Bar(0.75, 0.86, 0.01, 0.12),
}


def split(n: int) -> Split:
    rng = np.random.default_rng(n)
    return Split(rng.integers(0, 256, (n, 28, 28, 1)).astype(np.uint8), rng.integers(0, 10, n))


def tensors() -> dict[str, torch.Tensor]:
    torch.manual_seed(3)
    model = models.build("mlp3", {"hidden": (30, 20)})
    for index, module in enumerate(winners(model).values()):
        module.theta.fill_(0.1 * index)
    return dict(model.state_dict())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    zoo.save(tmp_path / "net", INFO, tensors(), samples=split(6), calibration=split(9))
    return tmp_path / "net"


def test_round_trip(folder: Path) -> None:
    artifact = zoo.load(folder)
    assert (artifact.name, artifact.input_shape) == ("mine", (28, 28, 1))
    model = artifact.model()
    assert not model.training
    assert {m.mode for m in winners(model).values()} == {"static"}
    for name, value in tensors().items():
        assert torch.equal(model.state_dict()[name], value), name
    np.testing.assert_array_equal(artifact.samples().images, split(6).images)
    np.testing.assert_array_equal(artifact.calibration().labels, split(9).labels)


def test_a_run_folder_opens_its_result(folder: Path) -> None:
    shutil.move(folder, folder.parent / "run" / "result")
    assert zoo.load(folder.parent / "run").name == "mine"


def test_every_zoo_network_is_whole_and_meets_its_bar() -> None:
    assert "mlp3" in zoo.names()
    for info in zoo.models():
        artifact = zoo.load(info["name"])
        images, labels = artifact.samples().images, artifact.samples().labels
        assert len(artifact.calibration()) == 256
        assert len(labels) == 64
        x = torch.tensor(images).permute(0, 3, 1, 2).float() * artifact.input_scale
        with torch.no_grad():
            right = (artifact.model()(x).argmax(1).numpy() == labels).mean()
        metrics, bar = info["metrics"], BARS[info["name"]]
        assert right >= bar.right
        assert metrics["jpnet"]["accuracy"] >= bar.accuracy
        assert metrics["dense"]["accuracy"] - metrics["jpnet"]["accuracy"] < bar.drop
        assert metrics["jpnet"]["macs_kept"] <= bar.macs_kept
        assert info["command"].startswith(f"jp-hw train {info['name']} ")


def test_zoo_mlp3_weights_match_its_figures() -> None:
    artifact = zoo.load("mlp3")
    figures = artifact.info["metrics"]
    assert figures["dense"]["accuracy"] >= 0.984
    assert figures["jpnet"]["macs_kept"] <= 0.009
    for layer in figures["jpnet"]["layers"]:
        kept = np.count_nonzero(artifact.tensors[f"{layer['name']}.weight"])
        assert kept == layer["weights_kept"]


def test_unknown_name_lists_the_zoo() -> None:
    with pytest.raises(JpHwError, match=r"'mlp9' is neither in the zoo .*mlp3.* nor a folder"):
        zoo.load("mlp9")


def test_folder_without_network(tmp_path: Path) -> None:
    with pytest.raises(JpHwError, match=r"holds no model\.json"):
        zoo.load(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(JpHwError, match="is not finished"):
        zoo.load(tmp_path)


def edit(path: Path, **changes: Any) -> None:
    info = json.loads(path.read_text())
    path.write_text(json.dumps({k: v for k, v in {**info, **changes}.items() if v is not None}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 99}, "has format 99, but format 1 is read"),
        ({"format": None}, "describes no trained network"),
        ({"metrics": None, "seed": None}, "lacks seed, metrics"),
        ({"input": {"shape": [28, 28]}}, "bad input"),
        ({"input": {"shape": [28, 28, 1], "scale": "big"}}, "bad input"),
        ({"model": []}, "bad input, classes or model"),
    ],
)
def test_bad_description(folder: Path, changes: dict[str, Any], message: str) -> None:
    edit(folder / zoo.JSON, **changes)
    with pytest.raises(JpHwError, match=message):
        zoo.load(folder)


def test_description_that_is_no_json(folder: Path) -> None:
    (folder / zoo.JSON).write_text("{ half")
    with pytest.raises(JpHwError, match=r"model\.json cannot be read"):
        zoo.load(folder)


def test_truncated_or_missing_files_are_named(folder: Path) -> None:
    artifact = zoo.load(folder)
    for name, use in (
        (zoo.TENSORS, artifact.model),
        (zoo.SAMPLES, artifact.samples),
        (zoo.CALIBRATION, artifact.calibration),
    ):
        path = folder / name
        path.write_bytes(path.read_bytes()[:-40])
        with pytest.raises(JpHwError, match=f"{name} cannot be read"):
            use()
        path.unlink()
        with pytest.raises(JpHwError, match=f"{name} cannot be read"):
            use()


@pytest.mark.parametrize(
    ("value", "message"),
    [(float("nan"), "holds NaN"), (float("inf"), "infinite"), (0.0, "all zero")],
)
def test_spoilt_weights_are_neither_saved_nor_loaded(
    folder: Path, value: float, message: str
) -> None:
    from safetensors.torch import save_file

    bad = {name: tensor.clone() for name, tensor in tensors().items()}
    bad["fc2.weight"].fill_(value)
    with pytest.raises(JpHwError, match=f"fc2.weight .*{message}"):
        zoo.save(folder, INFO, bad, samples=split(6), calibration=split(9))
    assert zoo.load(folder).model() is not None  # the artifact that was there still stands
    save_file(bad, folder / zoo.TENSORS)
    with pytest.raises(JpHwError, match=f"fc2.weight .*{message}"):
        zoo.load(folder).model()


def test_tensors_of_another_model(folder: Path) -> None:
    edit(folder / zoo.JSON, model={"builder": "mlp3", "args": {}})
    with pytest.raises(JpHwError, match="does not fit its model") as caught:
        zoo.load(folder).model()
    assert "\n" not in str(caught.value)
    edit(folder / zoo.JSON, model={"builder": "mlp3", "args": {"depth": 4}})
    with pytest.raises(JpHwError, match="cannot be built"):
        zoo.load(folder).model()
    edit(folder / zoo.JSON, model={"builder": "lenet9", "args": {}})
    with pytest.raises(JpHwError, match="choose one of mlp3"):
        zoo.load(folder).model()


def test_images_of_another_shape_or_class_are_refused(folder: Path) -> None:
    images, labels = split(6).images, split(6).labels
    for bad, message in (
        ({"images": images[:, :27], "labels": labels}, "no uint8 images"),
        ({"images": images.astype(np.float32), "labels": labels}, "no uint8 images"),
        ({"images": images, "labels": labels[:-1]}, "with a label each"),
        ({"images": images, "labels": labels + 10}, "outside 0..9"),
        ({"images": images}, "cannot be read"),
    ):
        np.savez_compressed(folder / zoo.SAMPLES, **bad)
        with pytest.raises(JpHwError, match=message):
            zoo.load(folder).samples()


def test_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(JpHwError, match="cannot be written"):
        zoo.save(tmp_path / "file" / "net", INFO, tensors(), samples=split(2), calibration=split(2))


def test_save_needs_every_key(tmp_path: Path) -> None:
    info = {key: value for key, value in INFO.items() if key != "command"}
    with pytest.raises(JpHwError, match="needs command"):
        zoo.save(tmp_path, info, tensors(), samples=split(2), calibration=split(2))
