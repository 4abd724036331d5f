"""Images that a user gives: every form that fits is read, everything else is refused by name."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jp_hw.errors import JpHwError
from jp_hw.images import read_images

GREY, COLOUR, VECTOR = (5, 4, 1), (5, 4, 3), (1, 1, 20)
RNG = np.random.default_rng(5)


def pixels(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, shape, dtype=np.uint8)


def idx(array: np.ndarray) -> bytes:
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes((0, 0, 8, array.ndim)) + sizes + array.tobytes()


def test_png_grey_and_colour(tmp_path: Path) -> None:
    grey, colour = pixels(5, 4), pixels(5, 4, 3)
    Image.fromarray(grey).save(tmp_path / "g.png")
    Image.fromarray(colour).save(tmp_path / "c.PNG")
    found = read_images(tmp_path / "g.png", GREY)
    assert found.names == ("g.png",)
    assert np.array_equal(found.values, grey[None, :, :, None])
    assert np.array_equal(read_images(tmp_path / "c.PNG", COLOUR).values[0], colour)
    assert read_images(tmp_path / "c.PNG", GREY).values.shape == (1, 5, 4, 1)
    flat = read_images(tmp_path / "c.PNG", (1, 1, 60)).values
    assert np.array_equal(flat.reshape(5, 4, 3), colour)
    assert np.array_equal(read_images(tmp_path / "g.png", VECTOR).values.reshape(5, 4), grey)


@pytest.mark.parametrize(
    ("shape", "wanted", "count"),
    [
        ((5, 4), GREY, 1), ((5, 4, 1), GREY, 1), ((7, 5, 4), GREY, 7), ((7, 5, 4, 1), GREY, 7),
        ((5, 4, 3), COLOUR, 1), ((2, 5, 4, 3), COLOUR, 2), ((60,), COLOUR, 1), ((3, 60), COLOUR, 3),
        ((20,), VECTOR, 1), ((9, 20), VECTOR, 9), ((1, 1, 20), VECTOR, 1),
        ((5, 4), VECTOR, 1), ((7, 5, 4), VECTOR, 7), ((2, 2, 5, 2), VECTOR, 2),
    ],
)  # fmt: skip
def test_npy_of_any_form(
    tmp_path: Path, shape: tuple[int, ...], wanted: tuple[int, ...], count: int
) -> None:
    values = pixels(*shape)
    np.save(tmp_path / "x.npy", values.astype(np.int16))
    found = read_images(tmp_path / "x.npy", wanted)
    assert found.values.dtype == np.int64
    assert np.array_equal(found.values, values.reshape(count, *wanted))
    assert len(found.names) == count


def test_idx_plain_and_packed(tmp_path: Path) -> None:
    values = pixels(3, 5, 4)
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(idx(values))
    (tmp_path / "more.idx.gz").write_bytes(gzip.compress(idx(values)))
    for name in ("t10k-images-idx3-ubyte", "more.idx.gz"):
        found = read_images(tmp_path / name, GREY)
        assert np.array_equal(found.values[..., 0], values)
        assert found.names[2] == f"{name}[2]"


def test_a_folder_in_order_of_names(tmp_path: Path) -> None:
    first, second = pixels(2, 5, 4), pixels(5, 4)
    np.save(tmp_path / "b.npy", first)
    Image.fromarray(second).save(tmp_path / "a.png")
    (tmp_path / "notes.txt").write_text("not an image")
    found = read_images(tmp_path, GREY)
    assert found.names == ("a.png", "b.npy[0]", "b.npy[1]")
    assert np.array_equal(found.values[..., 0], np.stack([second, *first]))


def test_what_does_not_fit_is_named(tmp_path: Path) -> None:
    def refused(name: str, shape: tuple[int, ...] = GREY) -> str:
        with pytest.raises(JpHwError) as caught:
            read_images(tmp_path / name, shape)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert refused("none.png").endswith("none.png: there is no such file or folder")
    np.save(tmp_path / "x.npy", pixels(5, 5))
    assert refused("x.npy").endswith("x.npy holds images of shape 5x5; the network reads 5x4x1")
    np.save(tmp_path / "f.npy", np.zeros((5, 4)))
    assert "f.npy holds float64; the network reads integers" in refused("f.npy")
    (tmp_path / "bad.npy").write_bytes(b"\x80\x04no data")
    assert "cannot read" in refused("bad.npy")
    np.save(tmp_path / "o.npy", np.array([{}]), allow_pickle=True)
    assert "cannot read" in refused("o.npy")
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n")
    assert "cannot read" in refused("bad.png")
    Image.fromarray(pixels(5, 4)).save(tmp_path / "g.png")
    assert "the network reads 9 channels, PNG has 1, 3 or 4; use .npy" in refused(
        "g.png", (5, 4, 9)
    )
    assert refused("g.png", (1, 1, 21)).endswith("of shape 5x4; the network reads 1x1x21")
    (tmp_path / "t.txt").write_text("x")
    assert "is no .png, .npy or IDX (-ubyte) file" in refused("t.txt")
    (tmp_path / "x-ubyte").write_bytes(idx(pixels(3)))
    assert "is no IDX file of 3-dimensional bytes" in refused("x-ubyte")
    (tmp_path / "empty").mkdir()
    assert "holds no .png, .npy or IDX" in refused("empty")
