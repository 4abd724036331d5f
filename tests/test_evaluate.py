"""Evaluation counts what it says: on the zoo's samples, laid out as a tiny MNIST."""

import gzip
import os
import struct
from pathlib import Path

import numpy as np
import pytest

from jp_hw import zoo
from jp_hw.errors import JpHwError
from jp_hw.evaluate import evaluate, network_of
from jp_hw.macs import count

FULL = os.environ.get("JP_HW_DATA")


def write_mnist(folder: Path, images: np.ndarray, labels: np.ndarray) -> None:
    """The four IDX files, the same images for training and test."""
    folder.mkdir(parents=True)
    for split in ("train", "t10k"):
        header = struct.pack(">IIII", 2051, len(images), *images.shape[1:3])
        with gzip.open(folder / f"{split}-images-idx3-ubyte.gz", "wb") as file:
            file.write(header + images.astype(np.uint8).tobytes())
        with gzip.open(folder / f"{split}-labels-idx1-ubyte.gz", "wb") as file:
            file.write(struct.pack(">II", 2049, len(labels)) + labels.astype(np.uint8).tobytes())


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    samples = zoo.load("mlp3").samples()
    write_mnist(tmp_path / "MNIST" / "raw", samples.images, samples.labels)
    return tmp_path


def test_figures(tiny: Path) -> None:
    artifact = zoo.load("mlp3")
    samples = artifact.samples()
    result = evaluate("mlp3", tiny)
    counts = count(network_of(artifact), samples.images.reshape(-1, 1, 1, 784))
    assert result.images == len(samples)
    assert result.layers == tuple(counts)
    assert result.macs_per_image == sum(layer.macs for layer in counts) / len(samples)
    assert result.dense_macs == 784 * 300 + 300 * 100 + 100 * 10
    assert result.integer_accuracy >= 0.95


def test_labels_decide_the_accuracy(tiny: Path, tmp_path: Path) -> None:
    samples = zoo.load("mlp3").samples()
    wrong = tmp_path / "wrong"
    write_mnist(wrong / "MNIST" / "raw", samples.images, (samples.labels + 1) % 10)
    right, none = evaluate("mlp3", tiny), evaluate("mlp3", wrong)
    assert none.integer_accuracy <= 1.0 - right.integer_accuracy
    assert none.float_accuracy <= 1.0 - right.float_accuracy


def test_missing_data_is_named(tmp_path: Path) -> None:
    with pytest.raises(JpHwError, match="nowhere"):
        evaluate("mlp3", tmp_path / "nowhere")


@pytest.mark.skipif(not FULL, reason="JP_HW_DATA is not set")
def test_the_zoo_holds_what_it_promises() -> None:
    result = evaluate("mlp3")
    assert result.images == 10_000
    assert result.dense_accuracy is not None
    assert result.dense_accuracy >= 0.984
    assert result.integer_accuracy >= result.dense_accuracy - 0.004
    assert abs(result.integer_accuracy - result.float_accuracy) <= 0.001
    assert result.macs_per_image / result.dense_macs <= 0.009
