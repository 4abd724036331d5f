"""The train command: options reach the run, scripts can read its output, errors are one line."""

import json
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner, Result

from jp_hw.cli.train import configured, numbers, train
from jp_hw.errors import JpHwError

OPTIONS = ["--epochs", "1,1,1,1", "--set", "holdout=40", "--batch-size", "32"]
OPTIONS += ["--densities", "0.1,0.1,0.5"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for part, n in (("train", 200), ("t10k", 70)):
        labels = np.arange(n) % 10
        images = (rng.random((n, 28, 28)) < 0.1) * 255
        images[np.arange(n), labels, :] = 200
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            head = bytes((0, 0, 8, array.ndim))
            head += b"".join(size.to_bytes(4, "big") for size in array.shape)
            (tmp_path / f"{part}-{kind}-ubyte").write_bytes(head + array.astype(np.uint8).tobytes())
    return tmp_path


def invoke(*args: str) -> Result:
    app = typer.Typer()
    app.command()(train)
    return CliRunner().invoke(app, args)


def test_json_is_one_object_with_the_figures(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    args = ["mlp3", "--data", str(data), "-o", str(out), "--json", "--seed", "3", *OPTIONS]
    args += ["--lr", "1e-3,2e-3,1e-3,5e-4", "--winner-rates", "0.3,0.4", "--optimizer", "sgd"]
    result = invoke(*args)
    assert result.exit_code == 0, result.output
    figures = json.loads(result.stdout)
    assert figures["dense_macs"] == 266_200
    assert 0 < figures["macs_kept"] < 0.1
    assert {"dense_accuracy", "jpnet_accuracy", "weights_kept", "layers"} <= set(figures)
    assert figures["seed"] == 3
    assert figures["artifact"] == str(out / "result")
    config = json.loads((out / "config.json").read_text())
    assert (config["static"]["epochs"], config["static"]["lr"]) == (1, 5e-4)
    assert config["winner_rates"] == [0.3, 0.4]
    assert config["optimizer"] == "sgd"
    assert (out / "result" / "model.safetensors").is_file()


def test_table_and_progress_for_people(data: Path, tmp_path: Path) -> None:
    result = invoke("mlp3", "--data", str(data), "-o", str(tmp_path / "run"), *OPTIONS)
    assert result.exit_code == 0, result.output
    for word in ("dense", "prune", "dynamic", "static", "fc1", "fc3", "Artifact: "):
        assert word in result.output


def test_errors_are_one_line(data: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "run")
    for args, message in (
        (["mlp9", "-o", out], "choose one of mlp3"),
        (["mlp3", "-o", out, "--epochs", "1,2"], "--epochs 1,2: give 4 values"),
        (["mlp3", "-o", out, "--epochs", "1,1,1,1.5"], "static.epochs"),
        (["mlp3", "-o", out, "--winner-rates", "a,b"], "--winner-rates a,b: give numbers"),
        (["mlp3", "-o", out, "--data", str(tmp_path / "none")], "does not exist"),
    ):
        error = invoke(*args).exception
        assert isinstance(error, JpHwError)
        assert message in str(error)
        assert "\n" not in str(error)
    assert not (tmp_path / "run").exists()


def test_any_setting_can_be_given_by_its_name() -> None:
    settings = ("prune.warmup=0.2", "device=cpu", "model_args.activation=leaky_relu", "flip=false")
    config = configured("resnet32", "1,2,3,4", None, 8, settings, balance=4)
    assert (config.prune.epochs, config.prune.warmup) == (2, 0.2)
    assert config.model_args == {"width": 8, "activation": "leaky_relu"}
    assert (config.flip, config.device, config.balance) == (False, "cpu", 4)
    assert configured("resnet8", None, None, densities=(0.5,) * 10).macs is None
    for setting, message in (
        ("flip", "--set flip: give KEY=VALUE"),
        ("speed=9", "speed: Extra inputs"),
        ("dense.crop=big", r"dense\.crop: .*integer"),
        ("model_args.depth=3", "cannot be built from"),
        ("macs=null", "null stands for the recipe's value"),
        ("quantize=1", "quantize needs 2 to 8 bits"),
    ):
        with pytest.raises(JpHwError, match=message):
            configured("resnet8", None, None, None, (setting,))


def test_a_run_stops_after_a_stage(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    args = ["mlp3", "--data", str(data), "-o", str(out), *OPTIONS]
    result = invoke(*args, "--until", "dense", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == {
        "name": "mlp3", "stopped_after": "dense", "run": str(out)
    }  # fmt: skip
    other = invoke(*args[:-1], "0.2,0.2,0.5", "--from", str(out), "-o", str(tmp_path / "2"))
    assert other.exit_code == 0, other.output
    assert isinstance(invoke(*args, "--until", "prunes").exception, JpHwError)


def test_numbers() -> None:
    assert numbers("--x", None) is None
    assert numbers("--x", "1,2.5") == (1.0, 2.5)
