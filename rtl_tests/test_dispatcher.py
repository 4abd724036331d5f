"""jp_dispatcher: columns, ring addresses and markers; what is not live; stalls; rate."""

import random
from pathlib import Path

from rtl_tests.common import SEED, memory_text, on_simulators, run


def sizes(
    height: int,
    width: int,
    channels: int,
    ring: int,
    step: int,
    first: int,
    completed: list[int],
    value_bits: int = 8,
    wide: int = 8,
    signed: int = 0,
    sides: int = 0,
    cut: int = 0,
) -> dict[str, object]:
    return locals()


SETS = {
    "conv": sizes(4, 6, 3, 6, 29, 17, [0, 2, 1, 1]),
    "beside": sizes(4, 6, 3, 6, 29, 17, [0, 2, 1, 1], sides=2),
    "cut": sizes(5, 2, 3, 6, 29, 17, [1, 1, 1, 1, 1], sides=2, cut=12),
    "far-beside": sizes(3, 9, 2, 4, 7, 0, [1, 1, 1], wide=9, sides=4),
    "many": sizes(3, 2, 4, 4, 5, 0, [0, 0, 3]),
    "least": sizes(1, 1, 1, 1, 0, 0, [1]),
    "rows": sizes(7, 1, 2, 5, 31, 3, [1, 0, 0, 2, 0, 1, 0]),
    "signed-wider": sizes(3, 4, 2, 5, 11, 2, [0, 1, 2], value_bits=5, wide=9, signed=1),
    "unsigned-wider": sizes(3, 4, 2, 5, 11, 2, [1, 1, 1], wide=9),
    "linear": sizes(1, 1, 40, 3, 4, 0, [1]),
    "all-late": sizes(5, 3, 1, 3, 1, 1, [0, 0, 0, 0, 5]),
}
ROW_CLASSES = COLUMN_CLASSES = 2


@on_simulators(SETS)
def test_dispatcher(simulator: str, parameters: dict, tmp_path: Path) -> None:
    rng = random.Random(SEED)
    p = parameters
    channels, ring = p["channels"], p["ring"]
    count = ROW_CLASSES * COLUMN_CLASSES * channels
    column_bits = (p["first"] + count + 2 * p["cut"] - 1).bit_length()
    cut_bits = 2 if p["cut"] else 0
    completed_bits = max(1, max(p["completed"]).bit_length())

    def live(places: int) -> list[int]:
        """Some are not, but one at least is."""
        found = [int(rng.random() < 0.7) for _ in range(places)]
        return found if any(found) else [1] * places

    rows = [
        [
            rng.randrange(ROW_CLASSES) * COLUMN_CLASSES * channels,
            rng.getrandbits(ring),
            completed,
            on,
            rng.randrange(3) if p["cut"] else 0,
        ]
        for completed, on in zip(p["completed"], live(p["height"]), strict=True)
    ]
    columns = [
        [
            rng.randrange(COLUMN_CLASSES) * channels,
            rng.getrandbits(ring),
            rng.getrandbits(p["sides"]) if p["sides"] else 0,
            on,
        ]
        for on in live(p["width"])
    ]
    row_words = [
        (((cut << 1 | on) << completed_bits | c) << ring | base) << column_bits | term
        for term, base, c, on, cut in rows
    ]
    column_words = [
        ((on << p["sides"] | sides) << ring | base) << column_bits | term
        for term, base, sides, on in columns
    ]
    run(
        "jp_dispatcher",
        {
            "Prefix": "mem/d",
            "Height": p["height"],
            "Width": p["width"],
            "ValueBits": p["value_bits"],
            "ValueSigned": p["signed"],
            "OutValueBits": p["wide"],
            "XBits": max(1, (p["width"] - 1).bit_length()),
            "ChannelBits": max(1, (channels - 1).bit_length()),
            "ColumnBits": column_bits,
            "FirstColumn": p["first"],
            "RingBits": ring,
            "SideBits": p["sides"],
            "CutBits": cut_bits,
            "CutColumns": p["cut"],
            "CompletedBits": completed_bits,
            "FrameStep": p["step"],
        },
        "bench_dispatcher",
        tmp_path,
        simulator,
        files={
            "mem/d_rows.mem": memory_text(
                [*row_words, 0][: max(2, p["height"])],
                cut_bits + 1 + completed_bits + ring + column_bits,
            ),
            "mem/d_columns.mem": memory_text(
                [*column_words, 0][: max(2, p["width"])], 1 + p["sides"] + ring + column_bits
            ),
        },
        data={"rows": rows, "columns": columns, "channels": channels},
    )
