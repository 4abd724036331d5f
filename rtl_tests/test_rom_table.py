"""jp_rom, jp_rom_pair and jp_table: every word of the file, whatever its width."""

import random
from pathlib import Path

import pytest

from rtl_tests.common import SEED, memory_text, on_simulators, run

SETS = {
    "wide": {"Width": 70, "Depth": 37, "AddrBits": 6},
    "least": {"Width": 1, "Depth": 2, "AddrBits": 1},
    "full": {"Width": 9, "Depth": 128, "AddrBits": 7},
}


@pytest.mark.parametrize("module", ["jp_rom", "jp_table"])
@on_simulators(SETS)
def test_memory(simulator: str, parameters: dict[str, int], module: str, tmp_path: Path) -> None:
    rng = random.Random(SEED)
    words = [rng.getrandbits(parameters["Width"]) for _ in range(parameters["Depth"])]
    words[:2] = [0, (1 << parameters["Width"]) - 1]
    run(
        module,
        {**parameters, "File": "mem/t.mem"},
        "bench_rom",
        tmp_path,
        simulator,
        files={"mem/t.mem": memory_text(words, parameters["Width"])},
        data=words,
    )


PAIRS = {
    "wide": {"Width": 21, "DepthA": 37, "DepthB": 64, "AddrBitsA": 6, "AddrBitsB": 6},
    "least": {"Width": 1, "DepthA": 2, "DepthB": 2, "AddrBitsA": 1, "AddrBitsB": 1},
    "unequal": {"Width": 15, "DepthA": 200, "DepthB": 3, "AddrBitsA": 8, "AddrBitsB": 2},
}


@on_simulators(PAIRS)
def test_pair(simulator: str, parameters: dict[str, int], tmp_path: Path) -> None:
    rng = random.Random(SEED)
    width = parameters["Width"]
    words = [[rng.getrandbits(width) for _ in range(parameters[f"Depth{x}"])] for x in "AB"]
    run(
        "jp_rom_pair",
        {**parameters, "FileA": "mem/a.mem", "FileB": "mem/b.mem"},
        "bench_rom_pair",
        tmp_path,
        simulator,
        files={f"mem/{x}.mem": memory_text(w, width) for x, w in zip("ab", words, strict=True)},
        data=words,
    )
