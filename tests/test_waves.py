"""`simulate --waves` leaves a recording beside its log, and nothing in the build's sources."""

from pathlib import Path

import pytest
from networks import mlp

from jp_hw import boards
from jp_hw.build import emit, open_build
from jp_hw.errors import JpHwError
from jp_hw.schedule import schedule
from jp_hw.simulate import keep_waves, simulate
from jp_hw.simulators import icarus_version


@pytest.mark.parametrize(
    ("simulator", "name"),
    [
        ("verilator", "waves.vcd"),
        pytest.param(
            "icarus",
            "waves.fst",
            marks=pytest.mark.skipif(icarus_version() is None, reason="Icarus is not installed"),
        ),
    ],
)
def test_waves_are_recorded(tmp_path: Path, simulator: str, name: str) -> None:
    network = mlp(3, (16, 4, 3), density=0.5, activity=0.5)
    design = schedule(network, boards.load("pynq-z2"), pes=2)
    build = open_build(emit(design).write(tmp_path / "build"))
    before = sorted(build.folder.joinpath("rtl").iterdir())
    assert simulate(build, 2, simulator=simulator, waves=True).passed
    recorded = build.folder / "sim" / f"{simulator}-waves" / name
    assert recorded.stat().st_size > 1000
    assert sorted(build.folder.joinpath("rtl").iterdir()) == before


def test_no_recording_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(JpHwError, match="recorded no waveforms"):
        keep_waves(tmp_path, tmp_path)
