"""Weights that lead beside the map, of all columns or of some: all back ends."""

import json
from pathlib import Path

import fuzz
import pytest
from networks import Convolution, chain
from test_schedule import check, spread

from jp_hw.build import emit, open_build
from jp_hw.ir import Shape
from jp_hw.macs import ANY, count
from jp_hw.plan import MANIFEST
from jp_hw.schedule import Design
from jp_hw.schedule.build import savings
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


@pytest.fixture(scope="module", params=[ANY, 1])
def design(request: pytest.FixtureRequest) -> Design:
    """All weights that lead beside the map are stored, or those of tokens with one tap there."""
    found = spread(NETWORK, wide=0, beside=request.param)
    kinds = [[field.name for field in layer.weights[0].fields[2:]] for layer in found.layers]
    told = ["tap"] if request.param == ANY else ["taps_left", "taps_right"]
    assert kinds[:3] == [told, [], told]
    most = min(request.param, 2)
    assert [layer.most_beside for layer in found.layers[:3]] == [most, 0, most]
    return found


def test_each_column_more_costs_memory_and_saves_macs() -> None:
    layer = NETWORK.layers[0]
    assert savings(NETWORK, layer) == (1, ANY)
    designs = [spread(NETWORK, wide=0, beside=beside) for beside in (ANY, 1, 0)]
    stored = [sum(pe.depth for pe in design.layers[0].weights) for design in designs]
    pointers = [design.layers[0].pointers[0].depth for design in designs]
    macs = [count(NETWORK, NETWORK.samples, beside=design.beside)[0] for design in designs]
    assert stored == sorted(set(stored))
    assert pointers == sorted(set(pointers))
    assert [found.macs for found in macs] == 3 * [macs[-1].executed]
    assert macs[0].executed > macs[1].executed > macs[2].executed


def test_builds_that_knew_only_all_or_nothing_are_read(tmp_path: Path) -> None:
    design = spread(NETWORK, wide=0)
    folder = emit(design).write(tmp_path / "build")
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    for layer in manifest["placement"]:
        layer["trimmed"] = layer.pop("beside") == 0
    (folder / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    assert open_build(folder).design.beside == design.beside == {"layer0": ANY, "layer2": ANY}


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
