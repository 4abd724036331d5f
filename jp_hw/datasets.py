"""MNIST and CIFAR-10 from their standard files, as numpy arrays; any folder of images.

Layouts: MNIST as IDX files (plain or .gz) in ``DIR/MNIST/raw`` or ``DIR``; CIFAR-10 as binary
batches in ``DIR/cifar-10-batches-bin`` or ``DIR``. Files that are missing are downloaded with
checked MD5 sums. No pixel is normalized: images are uint8 in N, H, W, C order.
"""

import gzip
import os
import tarfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jp_hw import imagefolder
from jp_hw.errors import JpHwError
from jp_hw.imagefolder import FolderImages

ENV = "JP_HW_DATA"
MNIST_MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
MNIST_FILES: Mapping[str, str] = {  # name -> MD5 of NAME.gz, as the mirrors serve it
    "train-images-idx3-ubyte": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "train-labels-idx1-ubyte": "d53e105ee54ea40749a09fcbcd1e9432",
    "t10k-images-idx3-ubyte": "9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1-ubyte": "ec29112dd5afa0611ce80d1b7f02629c",
}
CIFAR10_MIRROR = "https://www.cs.toronto.edu/~kriz/"
CIFAR10_ARCHIVE = "cifar-10-binary.tar.gz"
CIFAR10_MD5 = "c32a1d4ab5d03f1284b67883e8d87530"
CIFAR10_FOLDER = "cifar-10-batches-bin"
CIFAR10_TRAIN = tuple(f"data_batch_{index}.bin" for index in range(1, 6))
CIFAR10_TEST = ("test_batch.bin",)
CIFAR10_RECORD = 1 + 3 * 32 * 32

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Split:
    """``images`` uint8 (N, H, W, C), in memory or on disk, and ``labels`` int64 (N,)."""

    images: Any
    labels: Labels

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.labels)

    def __getitem__(self, index: slice) -> "Split":
        """The samples of a slice, as a view."""
        return Split(self.images[index], self.labels[index])

    def loaded(self) -> "Split":
        """The same samples with all images in memory."""
        if isinstance(self.images, FolderImages):
            return Split(self.images.take(range(len(self))), self.labels)
        return self


@dataclass(frozen=True)
class Dataset:
    """The two standard splits of a data set; the number of classes is that of the full set."""

    name: str
    train: Split
    test: Split
    classes: int = 10


def centre(split: Split, size: tuple[int, int]) -> Split:
    """A split with its images cut to ``size`` = (H, W) at their centre, as a view.

    Raise JpHwError when the images are smaller.
    """
    height, width = split.images.shape[1:3]
    if height < size[0] or width < size[1]:
        raise JpHwError(f"images of {height}x{width} are smaller than {size[0]}x{size[1]}")
    if isinstance(split.images, FolderImages):
        return Split(split.images.centre(size), split.labels)
    top, left = (height - size[0]) // 2, (width - size[1]) // 2
    return Split(split.images[:, top : top + size[0], left : left + size[1]], split.labels)


def data_folder(folder: str | Path | None = None) -> Path:
    """The data folder: the argument, or the environment variable JP_HW_DATA.

    Raise JpHwError when neither is given or the folder does not exist.
    """
    chosen = folder or os.environ.get(ENV)
    if not chosen:
        raise JpHwError(f"no data folder: give --data DIR or set {ENV}")
    path = Path(chosen)
    if not path.is_dir():
        raise JpHwError(f"data folder {path} does not exist: create it, or give the right --data")
    return path


def load(name: str, folder: str | Path | None = None) -> Dataset:
    """Read the data set ``mnist`` or ``cifar10``; download what is missing into ``folder``.

    Raise JpHwError on an unknown name, a missing folder, a file that can neither be read nor
    downloaded, and a file that is not what its name says.
    """
    if name not in LOADERS:
        raise JpHwError(f"data set {name!r} is unknown: choose one of {', '.join(LOADERS)}")
    return LOADERS[name](data_folder(folder))


def load_mnist(folder: Path) -> Dataset:
    """MNIST: 60,000 + 10,000 images (28, 28, 1), of which a folder may hold a subset."""
    paths = {name: _mnist_file(folder, name) for name in MNIST_FILES}
    splits = []
    for part in ("train", "t10k"):
        images_path, labels_path = (
            paths[f"{part}-images-idx3-ubyte"],
            paths[f"{part}-labels-idx1-ubyte"],
        )
        images, labels = read_idx(images_path, 3), read_idx(labels_path, 1)
        if images.shape[1:] != (28, 28):
            raise JpHwError(f"{images_path} holds images of {images.shape[1:]}, not (28, 28)")
        if len(images) != len(labels):
            raise JpHwError(f"{labels_path} has {len(labels)} labels for {len(images)} images")
        splits.append(Split(images[..., None], _checked_labels(labels, labels_path)))
    return Dataset("mnist", splits[0], splits[1])


def load_cifar10(folder: Path) -> Dataset:
    """CIFAR-10: 50,000 + 10,000 images (32, 32, 3), in the order of the batch files."""
    where = _cifar10_folder(folder)
    train = [read_cifar10_batch(where / name) for name in CIFAR10_TRAIN]
    test = [read_cifar10_batch(where / name) for name in CIFAR10_TEST]
    return Dataset("cifar10", _joined(train), _joined(test))


def load_imagefolder(folder: Path) -> Dataset:
    """Any images in ``DIR/train/CLASS`` and ``DIR/val/CLASS``, 256x256, read when needed."""
    (train, test), classes = imagefolder.read(folder)
    return Dataset("imagefolder", Split(*train), Split(*test), classes)


def read_idx(path: Path, dims: int) -> NDArray[np.uint8]:
    """An IDX file of unsigned bytes with ``dims`` dimensions, plain or gzip by its name.

    Raise JpHwError naming the file when its magic number, size or compression is wrong.
    """
    raw = _read(path)
    if len(raw) < 4 or raw[:4] != bytes((0, 0, 8, dims)):
        raise JpHwError(f"{path} is no IDX file of {dims}-dimensional bytes: remove it and retry")
    header = 4 + 4 * dims
    shape = tuple(int.from_bytes(raw[at : at + 4], "big") for at in range(4, header, 4))
    expected = header + int(np.prod(shape, dtype=np.int64))
    if len(raw) != expected or not all(shape):
        raise JpHwError(f"{path} has {len(raw)} bytes instead of {expected}: remove it and retry")
    return np.frombuffer(raw, np.uint8, offset=header).reshape(shape)


def read_cifar10_batch(path: Path) -> Split:
    """One binary batch: records of a label byte and 3 planes of 32 x 32 bytes."""
    raw = np.frombuffer(_read(path), np.uint8)
    if not raw.size or raw.size % CIFAR10_RECORD:
        raise JpHwError(
            f"{path} has {raw.size} bytes, no multiple of {CIFAR10_RECORD}: remove it and retry"
        )
    records = raw.reshape(-1, CIFAR10_RECORD)
    images = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return Split(np.ascontiguousarray(images), _checked_labels(records[:, 0], path))


def _read(path: Path) -> bytes:
    """All bytes of a file, unpacked if its name ends in .gz."""
    try:
        return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise JpHwError(f"{path} cannot be read ({error}): remove it and retry") from error


def _checked_labels(labels: NDArray[np.uint8], path: Path) -> Labels:
    """Labels as int64, all below 10."""
    if labels.max(initial=0) >= 10:
        raise JpHwError(f"{path} has label {labels.max()}, but there are 10 classes")
    return labels.astype(np.int64)


def _joined(parts: list[Split]) -> Split:
    """Several splits end to end."""
    images = np.concatenate([part.images for part in parts])
    return Split(images, np.concatenate([part.labels for part in parts]))


def _mnist_file(folder: Path, name: str) -> Path:
    """The path of an MNIST file, plain or .gz, downloaded to DIR/MNIST/raw if there is none."""
    for where in (folder / "MNIST" / "raw", folder):
        for candidate in (where / name, where / f"{name}.gz"):
            if candidate.is_file():
                return candidate
    urls = [mirror + f"{name}.gz" for mirror in MNIST_MIRRORS]
    return _download(urls, MNIST_FILES[name], folder / "MNIST" / "raw" / f"{name}.gz")


def _cifar10_folder(folder: Path) -> Path:
    """The folder with all six batch files, unpacked from the download if one is missing."""
    names = CIFAR10_TRAIN + CIFAR10_TEST
    for where in (folder / CIFAR10_FOLDER, folder):
        if all((where / name).is_file() for name in names):
            return where
    url = CIFAR10_MIRROR + CIFAR10_ARCHIVE
    archive = _download([url], CIFAR10_MD5, folder / CIFAR10_ARCHIVE)
    try:
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
    except (OSError, tarfile.TarError) as error:
        raise JpHwError(f"{archive} cannot be unpacked ({error}): remove it and retry") from error
    return folder / CIFAR10_FOLDER


def _download(urls: list[str], md5: str, path: Path) -> Path:
    """Fetch the first URL that answers to ``path`` and check its MD5."""
    import pooch

    pooch.get_logger().setLevel("ERROR")
    fetch: Callable[..., Any] = pooch.retrieve
    reason: Exception | None = None
    for url in urls:
        try:
            fetch(url, known_hash=f"md5:{md5}", fname=path.name, path=path.parent)
            return path
        except (
            OSError,
            ValueError,
        ) as error:  # requests' errors are OSErrors; bad hash: ValueError
            reason = error
    why = type(reason).__name__
    raise JpHwError(
        f"{path.name} is not in {path.parent} and cannot be downloaded ({why}): "
        "put it there yourself"
    )


LOADERS: Mapping[str, Callable[[Path], Dataset]] = {
    "mnist": load_mnist,
    "cifar10": load_cifar10,
    "imagefolder": load_imagefolder,
}
