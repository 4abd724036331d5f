"""jp_tokenizer: tokens of frames that fit, and of those that do not; throughput; reset."""

import random
from pathlib import Path

from rtl_tests.common import SEED, memory_text, on_simulators, run


def sizes(
    height: int, width: int, channels: int, theta: int = 1, signed: int = 0
) -> dict[str, int]:
    return {
        "Height": height,
        "Width": width,
        "Channels": channels,
        "Theta": theta,
        "Signed": signed,
        "Holes": 0,
    }


SETS = {
    "row15": {**sizes(3, 5, 3, 20, 1), "Holes": 1},
    "row3": {**sizes(9, 3, 1, 2), "Holes": 1},
    "row64": sizes(3, 64, 1),
    "row1": sizes(21, 1, 1),
    "row1-1": sizes(1, 1, 1, 5),
    "row2": sizes(4, 1, 2, 1, 1),
    "row4": sizes(3, 2, 2),
    "row5": sizes(3, 5, 1, 128, 1),
    "row7": sizes(5, 7, 1, 1, 1),
    "row8": sizes(4, 2, 4, 3),
    "row9": sizes(3, 3, 3, 255),
    "row12": {**sizes(3, 4, 3, 0), "Holes": 1},
    "row16": sizes(2, 2, 8, 100, 1),
    "row96": sizes(2, 32, 3),
    "row784": {**sizes(1, 1, 784, 4), "Holes": 1},
}


@on_simulators(SETS, verilator=2)
def test_tokenizer(simulator: str, parameters: dict[str, int], tmp_path: Path) -> None:
    rng = random.Random(SEED)
    p = dict(parameters)
    width, channels, holes = p.pop("Width"), p.pop("Channels"), p.pop("Holes")
    p |= {
        "RowBytes": width * channels,
        "XBits": max(1, (width - 1).bit_length()),
        "ChannelBits": max(1, (channels - 1).bit_length()),
    }
    size = p["Height"] * p["RowBytes"]
    keep = [not holes or rng.random() < 0.6 for _ in range(size)]
    # any injective map will do, and a scrambled one shows that the table is used
    free = rng.sample(range(1 << (p["XBits"] + p["ChannelBits"])), p["RowBytes"])
    beats = [
        sum(bit << i for i, bit in enumerate(keep[first : first + 8]))
        for first in range(0, size, 8)
    ]
    run(
        "jp_tokenizer",
        {**p, "Prefix": "mem/input"},
        "bench_tokenizer",
        tmp_path,
        simulator,
        files={
            "mem/input_keep.mem": memory_text([*beats, 0][: max(2, len(beats))], 8),
            "mem/input_map.mem": memory_text(
                [*free, 0][: max(2, len(free))], p["XBits"] + p["ChannelBits"]
            ),
        },
        data={"keep": keep, "place": free},
    )
