"""jp_bus: every PE gets the work of all lanes, row by row; nobody waits for a PE that is not meant."""

from pathlib import Path

from rtl_tests.common import on_simulators, run

SETS = {
    "two-lanes": {"Lanes": 2, "Pes": 9, "Width": 14},
    "alone": {"Lanes": 1, "Pes": 5, "Width": 12},
    "three-lanes": {"Lanes": 3, "Pes": 4, "Width": 13},
    "one-pe": {"Lanes": 2, "Pes": 1, "Width": 12},
    "many": {"Lanes": 8, "Pes": 40, "Width": 30},
}


@on_simulators(SETS)
def test_bus(simulator: str, parameters: dict[str, int], tmp_path: Path) -> None:
    run("jp_bus", parameters, "bench_bus", tmp_path, simulator)
