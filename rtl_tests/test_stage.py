"""jp_stage: order, one word a cycle, latency, one word deep, registered valid and data."""

from pathlib import Path

from rtl_tests.common import on_simulators, run

SETS = {"bits9": {"Width": 9}, "bit": {"Width": 1}, "bits73": {"Width": 73}}


@on_simulators(SETS)
def test_stage(simulator: str, parameters: dict[str, int], tmp_path: Path) -> None:
    run("jp_stage", parameters, "bench_spill", tmp_path, simulator)
