"""jp_fork: every reader gets every word once, at its own pace."""

from pathlib import Path

from rtl_tests.common import on_simulators, run

SETS = {"three": {"Outputs": 3}, "two": {"Outputs": 2}, "eight": {"Outputs": 8}}


@on_simulators(SETS)
def test_fork(simulator: str, parameters: dict[str, int], tmp_path: Path) -> None:
    run("jp_fork", parameters, "bench_fork", tmp_path, simulator)
