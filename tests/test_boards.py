"""Board files: all of ours load, and a wrong one is refused with the key and the way out."""

import tomllib
from pathlib import Path

import pytest
from pydantic import ValidationError

from jp_hw import boards
from jp_hw.errors import JpHwError
from jp_hw.resources import data_dir

TEXT = (data_dir("boards") / "pynq-z2.toml").read_text()


def test_every_board_loads_under_its_file_s_name() -> None:
    names = sorted(path.stem for path in data_dir("boards").glob("*.toml"))
    assert "pynq-z2" in names
    assert [board.name for board in boards.available()] == names
    for name in names:
        assert boards.load(name) in boards.available()


def test_the_pynq_z2_is_an_xc7z020() -> None:
    board = boards.load("pynq-z2")
    assert (board.part, board.family, board.clock_mhz) == ("xc7z020clg400-1", "xc7", 100.0)
    assert board.budget.model_dump() == {"lut": 53200, "ff": 106400, "dsp": 220, "bram18": 280}
    with pytest.raises(ValidationError, match="frozen"):
        board.clock_mhz = 200.0


def test_a_part_of_every_device_is_left_to_shell_and_router() -> None:
    for board in boards.available():
        whole, usable = board.budget, board.budget.usable
        assert 0.89 * whole.lut < usable.lut <= 0.9 * whole.lut
        assert 0.89 * whole.ff < usable.ff <= 0.9 * whole.ff
        assert usable.dsp == whole.dsp and 0.95 * whole.bram18 < usable.bram18 < whole.bram18


def test_a_board_is_data_only() -> None:
    """Every key of the model is in the file, and the file has no other."""
    for path in data_dir("boards").glob("*.toml"):
        data = tomllib.loads(path.read_text())
        assert data == boards.load(path.stem).model_dump(mode="json")


def test_an_own_file_is_loaded_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(TEXT.replace('"pynq-z2"', '"mine"').replace("220", "9"))
    board = boards.load(str(path))
    assert (board.name, board.budget.dsp) == ("mine", 9)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(JpHwError, match=r"unknown board pynq; choose one of .*pynq-z2.*\(\.toml\)"):
        boards.load("pynq")
    with pytest.raises(JpHwError, match="unknown board ;"):
        boards.load("")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[budget]", "turbo = 1\n[budget]", "key turbo: Extra inputs are not permitted"),
        ("dsp = 220", "dsp = 220\nuram = 3", r"key budget\.uram: Extra inputs"),
        ("dsp = 220", "", r"key budget\.dsp: Field required"),
        ("dsp = 220", "dsp = 0", r"key budget\.dsp: Input should be greater than 0"),
        ("dsp = 220", "dsp = 2.5", r"key budget\.dsp"),
        ("dsp = 220", 'dsp = "many"', r"key budget\.dsp"),
        ('part = "xc7z020clg400-1"', "", "key part: Field required"),
        ('"xc7z020clg400-1"', '"xc7; rm -rf"', "key part: String should match"),
        ('"pynq-z2"', '"../up"', "key name: String should match"),
        ('"xc7"', '"ice40"', "key family: Input should be 'xc7' or 'xcup'"),
        ("100.0", "0.0", "key clock_mhz: Input should be greater than 0"),
        ("100.0", "nan", "key clock_mhz"),
        ("100.0", "1e4", "key clock_mhz: Input should be less than or equal to 1000"),
        ("[budget]", "[budget", "is no valid TOML"),
        ("[budget]", "\udcff", "is no valid TOML"),
    ],
)
def test_a_wrong_file_is_refused_with_its_key(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    path = tmp_path / "wrong.toml"
    assert old in TEXT
    path.write_bytes(TEXT.replace(old, new).encode("utf-8", "surrogateescape"))
    with pytest.raises(JpHwError, match=message) as caught:
        boards.load(str(path))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(JpHwError, match=r"cannot read board file .*absent\.toml: No such file"):
        boards.load(str(tmp_path / "absent.toml"))
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(JpHwError, match="Is a directory"):
        boards.load(str(tmp_path / "folder.toml"))
