"""jp_merge: rows stay together, nothing is lost or doubled, no input is forgotten."""

from pathlib import Path

from rtl_tests.common import on_simulators, run

SETS = {
    "three": {"Inputs": 3, "Width": 12, "Depth": 16},
    "one": {"Inputs": 1, "Width": 6, "Depth": 16},
    "two": {"Inputs": 2, "Width": 3, "Depth": 8},
    "eight": {"Inputs": 8, "Width": 30, "Depth": 16},
    "thirteen": {"Inputs": 13, "Width": 9, "Depth": 8},
    "thirty": {"Inputs": 30, "Width": 18, "Depth": 16},
}


@on_simulators(SETS)
def test_merge(simulator: str, parameters: dict[str, int], tmp_path: Path) -> None:
    run("jp_merge", parameters, "bench_merge", tmp_path, simulator)
