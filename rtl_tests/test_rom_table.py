"""jp_rom, jp_rom_pair and jp_table: every word of the file, whatever its width."""

import random
from pathlib import Path

import numpy as np
import pytest

from jp_hw.schedule.design import Field, memory, rom_pair
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
    "wide": (21, 37, 64),
    "least": (1, 2, 2),
    "unequal": (15, 200, 3),
}


@on_simulators(PAIRS)
def test_pair(simulator: str, parameters: tuple[int, int, int], tmp_path: Path) -> None:
    rng = random.Random(SEED)
    width, *depths = parameters
    a, b = ([rng.getrandbits(width) for _ in range(depth)] for depth in depths)
    image = rom_pair(
        memory("pe_pointers", (Field("b", width), np.array(b))),
        memory("pe_weights", (Field("a", width), np.array(a))),
    )
    assert image.name == "pe_roms"
    run(
        "jp_rom_pair",
        {
            "File": "mem/pe_roms.mem",
            "Width": width,
            "AddrBits": (len(image.words) - 1).bit_length(),
            "AddrBitsA": (len(a) - 1).bit_length(),
            "AddrBitsB": (len(b) - 1).bit_length(),
        },
        "bench_rom_pair",
        tmp_path,
        simulator,
        files={"mem/pe_roms.mem": memory_text(image.words, width)},
        data=[a, b],
    )
