"""jp_fifo: order, capacity, slack, registered flags; misuse stops the simulation."""

from pathlib import Path

import pytest

from jp_hw.errors import JpHwError
from jp_hw.simulators import Job, sources_of
from rtl_tests.common import RTL, on_simulators, run, simulators

SETS = {
    "slack1": {"Width": 11, "Depth": 16, "Slack": 1},
    "plain": {"Width": 8, "Depth": 16, "Slack": 0},
    "two": {"Width": 1, "Depth": 2, "Slack": 0},
    "four-slack2": {"Width": 5, "Depth": 4, "Slack": 2},
    "four": {"Width": 73, "Depth": 4, "Slack": 0},
    "slack6": {"Width": 24, "Depth": 8, "Slack": 6},
    "block": {"Width": 31, "Depth": 128, "Slack": 1},
    "block-plain": {"Width": 9, "Depth": 128, "Slack": 0},
}


@on_simulators(SETS)
def test_fifo(simulator: str, parameters: dict[str, int], tmp_path: Path) -> None:
    run("jp_fifo", parameters, "bench_fifo", tmp_path, simulator)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"Depth": 3}, "jp_fifo: Depth 3"),
        ({"Depth": 1}, "jp_fifo: Depth 1"),
        ({"Depth": 4, "Slack": 3}, "jp_fifo: Depth 4, Slack 3"),
        ({"Depth": 4, "Slack": 1}, "jp_fifo: overflow"),
    ],
)
def test_misuse_is_fatal(parameters: dict[str, int], message: str, tmp_path: Path) -> None:
    job = Job(
        simulators()[0],
        tuple(sources_of(RTL)),
        "jp_fifo",
        str(tmp_path / "sim"),
        str(tmp_path),
        "rtl_tests.bench_overflow",
        parameters,
        python_path=(str(Path(__file__).parents[1]),),
    )
    with pytest.raises(JpHwError):
        job.run(120)
    assert message in (tmp_path / "sim" / "log.txt").read_text()
