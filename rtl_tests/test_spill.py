"""jp_spill: order, one word a cycle, latency, two words deep, registered outputs."""

from pathlib import Path

from rtl_tests.common import on_simulators, run

SETS = {"bits9": {"Width": 9}, "bit": {"Width": 1}, "bits73": {"Width": 73}}


@on_simulators(SETS)
def test_spill(simulator: str, parameters: dict[str, int], tmp_path: Path) -> None:
    run("jp_spill", parameters, "bench_spill", tmp_path, simulator)
