"""jp_drain: addresses and flags of every word, without pooling and with pools of all kinds."""

from pathlib import Path

from rtl_tests.common import on_simulators, run
from rtl_tests.pools import Pooling


def plain(width: int, slots: int, ring_bits: int) -> dict[str, object]:
    sizes = {"MapWidth": width, "OutWidth": width, "MapHeight": 3, "OutHeight": 3, "Pool": 0}
    return {"pool": None, "sizes": {**sizes, "Slots": slots, "RingBits": ring_bits}}


def pooled(pool: Pooling, slots: int, ring_bits: int) -> dict[str, object]:
    return {"pool": pool, "sizes": {**pool.parameters, "Slots": slots, "RingBits": ring_bits}}


PES = {"overlapping": 2, "row": 3, "word": 2, "tall": 8, "one-word-row": 2, "wide": 5}
"""Of the others, one."""
SETS = {
    "overlapping": pooled(Pooling((7, 6), (4, 3), (3, 3), (2, 2), (1, 1)), 3, 7),
    "row": plain(5, 3, 5),
    "two": pooled(Pooling((4, 6), (2, 3), (2, 2), (2, 2)), 2, 5),
    "skipping": pooled(Pooling((8, 7), (3, 2), (2, 1), (3, 4), (1, 0)), 1, 6),
    "ceil": pooled(Pooling((5, 5), (3, 3), (2, 2), (2, 2)), 2, 5),
    "whole": pooled(Pooling((4, 3), (1, 1), (4, 3), (1, 1)), 4, 6),
    "word": pooled(Pooling((1, 1), (1, 1), (1, 1), (1, 1)), 1, 1),
    "rest": pooled(Pooling((9, 4), (2, 2), (2, 2), (2, 2)), 1, 4),
    "tall": pooled(Pooling((6, 5), (6, 5), (1, 4), (1, 1), (0, 2)), 2, 6),
    "one-word-row": plain(1, 1, 1),
    "wide": plain(5, 3, 6),
}


for name, pes in PES.items():
    SETS[name]["sizes"]["Pes"] = pes


@on_simulators(SETS)
def test_drain(simulator: str, parameters: dict, tmp_path: Path) -> None:
    pool: Pooling | None = parameters["pool"]
    run(
        "jp_drain",
        {"Prefix": "mem/d", "Pes": 1, **parameters["sizes"]},
        "bench_drain",
        tmp_path,
        simulator,
        files=pool.files("mem/d") if pool else {},
    )
