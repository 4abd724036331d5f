"""jp_merge: rows stay together, nothing is lost or doubled, the first input goes first."""

from pathlib import Path

from rtl_tests.common import on_simulators, run

SETS = {
    "three": {"Inputs": 3, "Width": 12},
    "one": {"Inputs": 1, "Width": 6},
    "two": {"Inputs": 2, "Width": 3},
    "eight": {"Inputs": 8, "Width": 30},
}


@on_simulators(SETS)
def test_merge(simulator: str, parameters: dict[str, int], tmp_path: Path) -> None:
    run("jp_merge", parameters, "bench_merge", tmp_path, simulator)
