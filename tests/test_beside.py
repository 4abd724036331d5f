"""Weights that lead beside the map, where one number tells the taps on both sides: all back ends."""

import fuzz
import pytest
from networks import Convolution, chain
from test_schedule import check, spread

from jp_hw.ir import Shape
from jp_hw.schedule import Design
from jp_hw.simulators import icarus_version

NETWORK = chain(
    5,
    Shape(6, 8, 3),
    (
        Convolution(6, kernel=(5, 5), padding=(2, 2)),
        Convolution(4, kernel=(3, 3), padding=(1, 1)),
        Convolution(5, kernel=(3, 5), padding=(1, 2)),
    ),
)


@pytest.fixture(scope="module")
def design() -> Design:
    found = spread(NETWORK, untrimmed=0)
    kinds = [[field.name for field in layer.weights[0].fields[2:]] for layer in found.layers]
    assert kinds[:3] == [["tap"], [], ["tap"]]
    assert [layer.most_beside for layer in found.layers[:3]] == [2, 0, 2]
    return found


def test_the_images_alone_reproduce_the_golden_model(design: Design) -> None:
    for late in (False, True):
        check(design, late=late)


def test_csim(design: Design, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz, "scheduled", lambda _: design)
    fuzz.check_csim(NETWORK)


@pytest.mark.skipif(icarus_version() is None, reason="Icarus is not installed")
def test_rtl(design: Design, monkeypatch: pytest.MonkeyPatch) -> None:
    """With and without stalls; MACs that lead beside the map are counted, and take their cycles."""
    monkeypatch.setattr(fuzz, "scheduled", lambda _: design)
    fuzz.check_rtl(NETWORK)
