"""Images that a user gives: PNG, NPY and IDX files, or a folder of them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jp_hw import datasets
from jp_hw.errors import JpHwError
from jp_hw.ir import Int

Shape = tuple[int, ...]
IDX_DIMENSIONS = 3
"""A file of images in IDX form: number, height, width."""


@dataclass(frozen=True)
class Images:
    """values: integers (n, height, width, channels); names: of each image."""

    values: Int
    names: tuple[str, ...]


def read_images(path: Path, shape: Shape) -> Images:
    """Read images from a file, or from all files of a folder in order of their names.

    shape: height, width and channels that the images must have. Raises JpHwError, naming the file,
    where it cannot be read or its images have another size; nothing is scaled or cut.
    """
    if not path.exists():
        raise JpHwError(f"--images {path}: there is no such file or folder")
    files = [path]
    if path.is_dir():
        files = sorted(child for child in path.iterdir() if _reader(child) is not None)
        if not files:
            raise JpHwError(f"{path} holds no .png, .npy or IDX (-ubyte) files")
    values, names = [], []
    for file in files:
        found = _fitted(_read(file, shape), shape, file)
        values.append(found)
        names += [file.name if len(found) == 1 else f"{file.name}[{i}]" for i in range(len(found))]
    return Images(np.concatenate(values), tuple(names))


def _reader(path: Path) -> str | None:
    """What kind of file it is, by its name."""
    name = path.name.lower()
    if name.endswith((".png", ".npy")):
        return name[-3:]
    return "idx" if "ubyte" in name or name.endswith((".idx", ".idx.gz")) else None


def _read(path: Path, shape: Shape) -> np.ndarray:
    """Images of one file, one or many, as it holds them."""
    kind = _reader(path)
    if kind is None:
        raise JpHwError(f"{path} is no .png, .npy or IDX (-ubyte) file")
    if kind == "idx":
        return datasets.read_idx(path, IDX_DIMENSIONS)
    if kind == "png":
        return _read_png(path, shape)
    try:
        loaded: np.ndarray = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise JpHwError(f"cannot read {path}: {error}") from error
    return loaded


def _read_png(path: Path, shape: Shape) -> np.ndarray:
    from PIL import Image, UnidentifiedImageError

    modes = {1: "L", 3: "RGB", 4: "RGBA"}
    try:
        with Image.open(path) as image:
            channels = shape[-1]
            if _is_vector(shape):
                channels = shape[-1] // (image.width * image.height)
            elif channels not in modes:
                raise JpHwError(
                    f"{path}: the network reads {channels} channels, PNG has 1, 3 or 4; use .npy"
                )
            return np.asarray(image.convert(modes.get(channels, "L")))
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError) as error:
        raise JpHwError(f"cannot read {path}: {error}") from error


def _is_vector(shape: Shape) -> bool:
    """Whether the network is fully connected from its input on, and knows no height and width."""
    return shape[:2] == (1, 1)


def _fitted(found: np.ndarray, shape: Shape, path: Path) -> Int:
    """As (n, height, width, channels), if it can be that: one image or many, vectors or maps."""
    if not np.issubdtype(found.dtype, np.integer):
        raise JpHwError(f"{path} holds {found.dtype}; the network reads integers")
    size = int(np.prod(shape))
    forms = {shape, (size,)}
    if shape[-1] == 1:
        forms.add(shape[:-1])
    for batch in (found, found[None]):
        one = batch.shape[1:]
        if one in forms or (_is_vector(shape) and one and int(np.prod(one)) == size):
            return batch.reshape(len(batch), *shape).astype(np.int64)
    raise JpHwError(
        f"{path} holds images of shape {'x'.join(map(str, found.shape))}; the network reads "
        f"{'x'.join(map(str, shape))}"
    )
