"""jp_counters: against sums in Python, 3 cycles behind at most, wrapping at 32 bits."""

from pathlib import Path

from rtl_tests.common import on_simulators, run

SETS = {
    "lanes3": {"Lanes": 3, "Pes": 13, "OutHeight": 3},
    "least": {"Lanes": 1, "Pes": 1, "OutHeight": 1},
    "many": {"Lanes": 4, "Pes": 128, "OutHeight": 32},
}


@on_simulators(SETS)
def test_counters(simulator: str, parameters: dict[str, int], tmp_path: Path) -> None:
    run("jp_counters", parameters, "bench_counters", tmp_path, simulator)
