"""The search: its front is one, studies go on where they ended, and refuse what is not theirs."""

import json
from pathlib import Path

import pytest
from test_evaluate import write_mnist
from typer.testing import CliRunner

from jp_hw import boards, zoo
from jp_hw.cli import app
from jp_hw.errors import JpHwError
from jp_hw.explore import FRONT, JOURNAL, PLOT, Point, Space, explore, pareto
from jp_hw.schedule.estimate import Resources

BOARD = boards.load("pynq-z2")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    samples = zoo.load("mlp3").samples()
    write_mnist(folder / "MNIST" / "raw", samples.images, samples.labels)
    return folder


def space(**changes: object) -> Space:
    values = {"models": ("mlp3",), "board": BOARD, "clocks": (80.0, 100.0), "bits": (2, 8)}
    return Space(**{**values, "images": 40, "cycle_images": 2, **changes})  # type: ignore[arg-type]


def point(accuracy: float, cycles: float, area: float) -> Point:
    return Point("m", 8, 8, 4, 100.0, accuracy, cycles, area, Resources(1, 1, 1, 1))


def test_the_front_has_what_nothing_beats() -> None:
    best, small, fast = point(0.9, 100, 0.5), point(0.8, 100, 0.1), point(0.8, 50, 0.5)
    worse, equal = point(0.9, 120, 0.5), point(0.9, 100, 0.5)
    assert pareto([worse, best, small, equal, fast]) == [fast, best, small]
    assert pareto([]) == []


def test_a_study_goes_on_where_it_ended(data: Path, tmp_path: Path) -> None:
    told: list[tuple[int, Point | None]] = []
    explore(space(), tmp_path, 3, data=data, tell=lambda *news: told.append(news))
    assert [number for number, _ in told] == [1, 2, 3]
    again: list[int] = []
    front = explore(space(), tmp_path, 8, data=data, tell=lambda number, _: again.append(number))
    assert again == [4, 5, 6, 7, 8]
    points = [point for _, point in told if point is not None]
    assert all(any(_no_worse(best, p) for best in front) for p in points)
    result = json.loads((tmp_path / FRONT).read_text())
    assert result["front"] == [p.to_json() for p in front]
    for entry in result["front"]:
        assert entry["images_per_second"] == 1e6 * entry["clock_mhz"] / entry["cycles"]
        assert 0 < entry["area"] <= 1 and 0 <= entry["accuracy"] <= 1
    assert (tmp_path / PLOT).read_bytes().startswith(b"\x89PNG")
    assert explore(space(), tmp_path, 8, data=data) == front  # nothing left to do


def _no_worse(a: Point, b: Point) -> bool:
    return (
        a.accuracy >= b.accuracy and a.images_per_second >= b.images_per_second and a.area <= b.area
    )


def test_another_study_is_left_alone(data: Path, tmp_path: Path) -> None:
    explore(space(), tmp_path, 1, data=data)
    before = (tmp_path / JOURNAL).read_bytes()
    with pytest.raises(JpHwError, match="holds a study with other bits, clocks: give the same"):
        explore(space(bits=(3, 8), clocks=(50.0,)), tmp_path, 2, data=data)
    assert (tmp_path / JOURNAL).read_bytes() == before
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / JOURNAL).write_text("not a journal\n" * 3)
    with pytest.raises(JpHwError, match="is no study of jp_hw: remove it, or give another"):
        explore(space(), foreign, 1, data=data)


def test_designs_that_do_not_fit_are_no_points(data: Path, tmp_path: Path) -> None:
    tiny = BOARD.model_copy(update={"budget": BOARD.budget.model_copy(update={"dsp": 2})})
    told: list[Point | None] = []
    with pytest.raises(JpHwError, match="none of 2 designs fits pynq-z2"):
        explore(space(board=tiny), tmp_path, 2, data=data, tell=lambda _, p: told.append(p))
    assert told == [None, None]


def test_command(data: Path, tmp_path: Path) -> None:
    def call(*more: str) -> tuple[int, str]:
        arguments = ["explore", "mlp3", "--trials", "2", "--images", "20", "--data", str(data)]
        result = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "s"), *more])
        return result.exit_code, result.output

    code, output = call("--bits", "8", "--json")
    assert code == 0
    assert {p["weight_bits"] for p in json.loads(output)["front"]} == {8}
    code, output = call("--bits", "8")
    assert code == 0 and "Pareto front on pynq-z2" in output
    result = CliRunner().invoke(app, ["explore", "mlp3", "--bits", "1-9"])
    assert isinstance(result.exception, JpHwError)
    assert "bit widths '1-9': give numbers from 2 to 8" in str(result.exception)
