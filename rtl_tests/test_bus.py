"""jp_bus: every PE gets the work of all lanes, row by row; nobody waits for a PE that is not meant."""

import random
from pathlib import Path

from rtl_tests.common import SEED, memory_text, on_simulators, run


def sizes(
    lanes: int, pes: int, columns: int, first: int = 0, place: int = 5, stored: int = 0
) -> dict[str, int]:
    """stored: columns of which nothing is cut, if something is of the others."""
    return {
        "Lanes": lanes,
        "Pes": pes,
        "Columns": columns,
        "FirstColumn": first,
        "ColumnBits": (first + columns - 1).bit_length(),
        "CutBits": 2 if stored else 0,
        "CutColumns": stored,
        "PeColumnBits": (first + (stored or columns) - 1).bit_length(),
        "PlaceBits": place,
        "ValueBits": 8,
    }


SETS = {
    "two-lanes": sizes(2, 9, 20),
    "alone": sizes(1, 5, 13, first=21),
    "cut": sizes(1, 5, 39, first=21, stored=13),
    "two-lanes-cut": sizes(2, 3, 20, stored=10),
    "three-lanes": sizes(3, 4, 7),
    "one-pe": sizes(2, 1, 2, place=1),
    "many": sizes(8, 40, 100, place=9),
}


@on_simulators(SETS)
def test_bus(simulator: str, parameters: dict[str, int], tmp_path: Path) -> None:
    rng, pes = random.Random(SEED), parameters["Pes"]
    masks = [rng.getrandbits(pes) & rng.getrandbits(pes) for _ in range(parameters["Columns"])]
    masks[0], masks[1] = (1 << pes) - 1, (1 << pes) - 2  # all, and all but the first PE
    run(
        "jp_bus",
        {"Prefix": "mem/b", **parameters},
        "bench_bus",
        tmp_path,
        simulator,
        files={"mem/b_masks.mem": memory_text(masks, pes)},
        data=masks,
    )
