"""jp_buffer: order, room for Depth words, rate, latency, registered flags."""

from pathlib import Path

from rtl_tests.common import on_simulators, run

SETS = {
    "three": {"Width": 9, "Depth": 3},
    "two": {"Width": 1, "Depth": 2},
    "one": {"Width": 5, "Depth": 1},
    "four": {"Width": 73, "Depth": 4},
    "most in LUTs": {"Width": 6, "Depth": 128},
    "thousand": {"Width": 17, "Depth": 1000},
}


@on_simulators(SETS)
def test_buffer(simulator: str, parameters: dict[str, int], tmp_path: Path) -> None:
    run("jp_buffer", parameters, "bench_buffer", tmp_path, simulator)
