"""Readers of the standard files: what they return, and every broken file they must refuse."""

import gzip
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from jp_hw import datasets
from jp_hw.errors import JpHwError


def idx(array: np.ndarray) -> bytes:
    head = bytes((0, 0, 8, array.ndim)) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    return head + array.astype(np.uint8).tobytes()


@pytest.fixture
def mnist(tmp_path: Path) -> tuple[Path, dict[str, np.ndarray]]:
    rng = np.random.default_rng(7)
    arrays = {
        "train-images-idx3-ubyte": rng.integers(0, 256, (20, 28, 28)),
        "train-labels-idx1-ubyte": rng.integers(0, 10, 20),
        "t10k-images-idx3-ubyte": rng.integers(0, 256, (6, 28, 28)),
        "t10k-labels-idx1-ubyte": rng.integers(0, 10, 6),
    }
    for index, (name, array) in enumerate(arrays.items()):
        if index % 2:
            (tmp_path / f"{name}.gz").write_bytes(gzip.compress(idx(array)))
        else:
            (tmp_path / name).write_bytes(idx(array))
    return tmp_path, arrays


@pytest.fixture
def cifar(tmp_path: Path) -> tuple[Path, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(8)
    images = rng.integers(0, 256, (6, 2, 32, 32, 3)).astype(np.uint8)
    labels = rng.integers(0, 10, (6, 2)).astype(np.uint8)
    folder = tmp_path / datasets.CIFAR10_FOLDER
    folder.mkdir()
    for i, name in enumerate(datasets.CIFAR10_TRAIN + datasets.CIFAR10_TEST):
        planes = images[i].transpose(0, 3, 1, 2).reshape(2, -1)
        (folder / name).write_bytes(np.hstack([labels[i][:, None], planes]).tobytes())
    return tmp_path, images, labels


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    import pooch

    asked: list[str] = []

    def refuse(url: str, **_: object) -> str:
        asked.append(url)
        raise OSError("no route to host")

    monkeypatch.setattr(pooch, "retrieve", refuse)
    return asked


def test_mnist_plain_and_gz(mnist: tuple[Path, dict[str, np.ndarray]]) -> None:
    folder, arrays = mnist
    data = datasets.load("mnist", folder)
    assert data.train.images.shape == (20, 28, 28, 1)
    assert data.train.images.dtype == np.uint8
    assert data.train.labels.dtype == np.int64
    np.testing.assert_array_equal(data.train.images[..., 0], arrays["train-images-idx3-ubyte"])
    np.testing.assert_array_equal(data.test.labels, arrays["t10k-labels-idx1-ubyte"])
    assert len(data.train[-5:]) == 5


def test_mnist_standard_folder_goes_first_and_env_names_it(
    mnist: tuple[Path, dict[str, np.ndarray]], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = mnist
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    changed = np.full(6, 3)
    (raw / "t10k-labels-idx1-ubyte").write_bytes(idx(changed))
    monkeypatch.setenv(datasets.ENV, str(folder))
    assert datasets.load("mnist").test.labels.tolist() == changed.tolist()


def test_cifar_planes_become_pixels(cifar: tuple[Path, np.ndarray, np.ndarray]) -> None:
    folder, images, labels = cifar
    for where in (folder, folder / datasets.CIFAR10_FOLDER):
        data = datasets.load("cifar10", where)
        np.testing.assert_array_equal(data.train.images, images[:5].reshape(10, 32, 32, 3))
        np.testing.assert_array_equal(data.test.labels, labels[5])


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("train-images-idx3-ubyte", lambda raw: raw[:-1], "bytes instead of"),
        ("train-images-idx3-ubyte", lambda raw: raw + b"x", "bytes instead of"),
        ("train-images-idx3-ubyte", lambda raw: b"\0\0\x08\x01" + raw[4:], "no IDX file"),
        ("train-images-idx3-ubyte", lambda raw: b"", "no IDX file"),
        ("train-images-idx3-ubyte", lambda raw: raw[:9], "bytes instead of"),
        ("t10k-labels-idx1-ubyte.gz", lambda raw: raw[:-9], "cannot be read"),
        ("t10k-labels-idx1-ubyte.gz", lambda raw: b"hello", "cannot be read"),
        ("t10k-labels-idx1-ubyte.gz", lambda _: gzip.compress(idx(np.full(6, 11))), "label 11"),
        ("t10k-labels-idx1-ubyte.gz", lambda _: gzip.compress(idx(np.ones(5))), "5 labels for 6"),
        ("t10k-images-idx3-ubyte", lambda _: idx(np.ones((6, 27, 28))), r"\(27, 28\)"),
    ],
)
def test_broken_mnist_file_is_named(
    mnist: tuple[Path, dict[str, np.ndarray]], name: str, change: object, message: str
) -> None:
    path = mnist[0] / name
    path.write_bytes(change(path.read_bytes()))  # type: ignore[operator]
    with pytest.raises(JpHwError, match=message) as caught:
        datasets.load("mnist", mnist[0])
    assert name.removesuffix(".gz") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_broken_cifar_batch_is_named(cifar: tuple[Path, np.ndarray, np.ndarray]) -> None:
    path = cifar[0] / datasets.CIFAR10_FOLDER / "data_batch_3.bin"
    whole = path.read_bytes()
    for raw, message in ((whole[:-1], "no multiple of 3073"), (b"\xff" + whole[1:], "label 255")):
        path.write_bytes(raw)
        with pytest.raises(JpHwError, match=message) as caught:
            datasets.load("cifar10", cifar[0])
        assert str(path) in str(caught.value)


def test_missing_file_offline_names_file_and_folder(tmp_path: Path, offline: list[str]) -> None:
    with pytest.raises(JpHwError, match=r"train-images-idx3-ubyte\.gz") as caught:
        datasets.load("mnist", tmp_path)
    assert str(tmp_path / "MNIST" / "raw") in str(caught.value)
    assert [url.split("/")[2] for url in offline] == [
        mirror.split("/")[2] for mirror in datasets.MNIST_MIRRORS
    ]
    with pytest.raises(JpHwError, match=datasets.CIFAR10_ARCHIVE):
        datasets.load("cifar10", tmp_path)


def test_missing_file_is_downloaded_with_its_hash(
    mnist: tuple[Path, dict[str, np.ndarray]], monkeypatch: pytest.MonkeyPatch
) -> None:
    import pooch

    folder, arrays = mnist
    name = "train-labels-idx1-ubyte"
    (folder / f"{name}.gz").unlink()

    def serve(url: str, known_hash: str, fname: str, path: Path) -> str:
        assert url.endswith(f"/{name}.gz")
        assert known_hash == f"md5:{datasets.MNIST_FILES[name]}"
        path.mkdir(parents=True)
        (path / fname).write_bytes(gzip.compress(idx(arrays[name])))
        return str(path / fname)

    monkeypatch.setattr(pooch, "retrieve", serve)
    np.testing.assert_array_equal(datasets.load("mnist", folder).train.labels, arrays[name])


def test_folder_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(datasets.ENV, raising=False)
    with pytest.raises(JpHwError, match=rf"--data DIR or set {datasets.ENV}$"):
        datasets.load("mnist")
    with pytest.raises(JpHwError, match="does not exist"):
        datasets.load("mnist", tmp_path / "nowhere")
    with pytest.raises(JpHwError, match="choose one of mnist, cifar10"):
        datasets.load("imagenet", tmp_path)


def test_import_needs_no_torch() -> None:
    code = (
        "import jp_hw.datasets, jp_hw.zoo, sys; jp_hw.zoo.models(); "
        "assert 'torch' not in sys.modules"
    )
    root = str(Path(datasets.__file__).parents[1])
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": root})


def picture_folder(root: Path, sizes: dict[str, tuple[int, int]]) -> Path:
    from PIL import Image

    for part, count in (("train", 3), ("val", 2)):
        for index, (name, size) in enumerate(sizes.items()):
            (root / part / name).mkdir(parents=True)
            for number in range(count):
                picture = Image.new("RGB", size, (40 * index, 10 * number, 255))
                picture.save(root / part / name / f"{number}.png")
    return root


def test_an_image_folder_is_read_on_demand(tmp_path: Path) -> None:
    data = datasets.load("imagefolder", picture_folder(tmp_path, {"b": (300, 20), "a": (9, 40)}))
    assert (data.classes, len(data.train), len(data.test)) == (2, 6, 4)
    assert data.train.images.shape == (6, 256, 256, 3)
    assert sorted(data.train.labels.tolist()) == [0, 0, 0, 1, 1, 1]
    cut = datasets.centre(data.train[1:], (227, 200)).loaded()
    assert cut.images.shape == (5, 227, 200, 3)
    assert cut.images.dtype == np.uint8
    for image, label in zip(cut.images, cut.labels, strict=True):
        assert (image[..., 0] == (0 if label == 1 else 40)).all()  # classes by name: a is 0
        assert (image[..., 2] == 255).all()


def test_bad_image_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(JpHwError, match="is no image folder"):
        datasets.load("imagefolder", tmp_path)
    folder = picture_folder(tmp_path, {"a": (8, 8), "b": (8, 8)})
    (folder / "train" / "a" / "0.png").write_bytes(b"no picture")
    with pytest.raises(JpHwError, match=r"0.png is no readable image"):
        datasets.load("imagefolder", folder).train.loaded()
    (folder / "val" / "c").mkdir()
    with pytest.raises(JpHwError, match="holds no image"):
        datasets.load("imagefolder", folder)
