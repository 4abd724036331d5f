"""Images in one folder per class, read when they are needed.

Layout: ``DIR/train/CLASS/*`` and ``DIR/val/CLASS/*`` (or ``DIR/test``), any file that Pillow opens.
Classes are numbered in the order of their names, which both parts must share.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jp_hw.errors import JpHwError

ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm", ".tif", ".tiff")
SIDE = 256
READERS = 8

Images = NDArray[np.uint8]


@dataclass(frozen=True)
class FolderImages:
    """Images by index, decoded on access: uint8 RGB (height, width, 3).

    An image is resized so that it just covers ``side`` x ``side`` pixels, cut to that square at its
    centre, then to the ``window`` = (height, width) at the centre of the square.
    """

    paths: tuple[Path, ...]
    side: int = SIDE
    window: tuple[int, int] = (SIDE, SIDE)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(images, height, width, 3)."""
        return len(self.paths), *self.window, 3

    def __len__(self) -> int:
        """Number of images."""
        return len(self.paths)

    def take(self, indices: Sequence[int]) -> Images:
        """The images of some indices, decoded by several threads; JpHwError names a bad file."""
        with ThreadPoolExecutor(READERS) as pool:
            return np.stack(list(pool.map(self._image, (self.paths[i] for i in indices))))

    def __getitem__(self, part: slice) -> "FolderImages":
        """The images of a slice, still on disk."""
        return FolderImages(self.paths[part], self.side, self.window)

    def centre(self, window: tuple[int, int]) -> "FolderImages":
        """The same images cut to a smaller window at their centre."""
        return FolderImages(self.paths, self.side, window)

    def _image(self, path: Path) -> Images:
        """Decode, resize and cut one file."""
        from PIL import Image, ImageOps, UnidentifiedImageError

        try:
            with Image.open(path) as file:
                fitted = ImageOps.fit(file.convert("RGB"), (self.side, self.side))
        except (OSError, UnidentifiedImageError, ValueError) as error:
            raise JpHwError(f"{path} is no readable image ({error}): remove it") from error
        (height, width), whole = self.window, np.asarray(fitted, dtype=np.uint8)
        top, left = (self.side - height) // 2, (self.side - width) // 2
        return whole[top : top + height, left : left + width]


def read(folder: Path) -> tuple[list[tuple[FolderImages, NDArray[np.int64]]], int]:
    """Training and test images with their labels, and the number of classes.

    Raise JpHwError when a part is missing or empty, or when their classes differ.
    """
    train = _part(folder / "train", folder)
    val = folder / "val" if (folder / "val").is_dir() else folder / "test"
    test = _part(val, folder)
    if set(test) - set(train):
        unknown = sorted(set(test) - set(train))[0]
        raise JpHwError(f"class {unknown} of {val} is not in {folder / 'train'}")
    numbers = {name: index for index, name in enumerate(train)}
    parts = []
    for classes in (train, test):
        pairs: list[Any] = [(path, numbers[name]) for name in classes for path in classes[name]]
        labels = np.array([number for _, number in pairs], dtype=np.int64)
        order = np.random.default_rng(0).permutation(len(pairs))  # classes mixed, always alike
        parts.append((FolderImages(tuple(pairs[i][0] for i in order)), labels[order]))
    return parts, len(numbers)


def _part(part: Path, folder: Path) -> dict[str, list[Path]]:
    """Image files of every class below a folder, sorted by name."""
    if not part.is_dir():
        raise JpHwError(f"{folder} is no image folder: it needs train/CLASS/* and val/CLASS/*")
    classes = {
        entry.name: sorted(p for p in entry.iterdir() if p.suffix.lower() in ENDINGS)
        for entry in sorted(part.iterdir())
        if entry.is_dir()
    }
    for name, files in classes.items():
        if not files:
            raise JpHwError(f"{part / name} holds no image ({', '.join(ENDINGS)})")
    if not classes:
        raise JpHwError(f"{part} holds no folder of a class")
    return classes
