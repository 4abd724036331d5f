"""jp_ring, in LUTs and in block RAM: reads, writes, both at one address."""

from pathlib import Path

from rtl_tests.common import on_simulators, run

SETS = {
    "lut": {"Width": 19, "AddrBits": 4, "Block": 0},
    "block": {"Width": 19, "AddrBits": 4, "Block": 1},
    "least": {"Width": 2, "AddrBits": 1, "Block": 1},
}


@on_simulators(SETS)
def test_ring(simulator: str, parameters: dict[str, int], tmp_path: Path) -> None:
    run("jp_ring", parameters, "bench_ring", tmp_path, simulator)
