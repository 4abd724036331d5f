"""jp_dispatcher: columns, ring addresses, markers and their PEs; stalls; rate."""

import random
from pathlib import Path

from rtl_tests.common import SEED, memory_text, on_simulators, run


def sizes(
    pes: int,
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
) -> dict[str, object]:
    return locals()


SETS = {
    "conv": sizes(5, 4, 6, 3, 6, 29, 17, [0, 2, 1, 1]),
    "many": sizes(20, 3, 2, 4, 4, 5, 0, [0, 0, 3]),
    "least": sizes(1, 1, 1, 1, 1, 0, 0, [1]),
    "rows": sizes(2, 7, 1, 2, 5, 31, 3, [1, 0, 0, 2, 0, 1, 0]),
    "signed-wider": sizes(3, 3, 4, 2, 5, 11, 2, [0, 1, 2], value_bits=5, wide=9, signed=1),
    "unsigned-wider": sizes(3, 3, 4, 2, 5, 11, 2, [1, 1, 1], wide=9),
    "linear": sizes(9, 1, 1, 40, 3, 4, 0, [1]),
    "all-late": sizes(3, 5, 3, 1, 3, 1, 1, [0, 0, 0, 0, 5]),
}
ROW_CLASSES = COLUMN_CLASSES = 2


@on_simulators(SETS)
def test_dispatcher(simulator: str, parameters: dict, tmp_path: Path) -> None:
    rng = random.Random(SEED)
    p = parameters
    pes, channels, ring = p["pes"], p["channels"], p["ring"]
    count = ROW_CLASSES * COLUMN_CLASSES * channels
    column_bits = (p["first"] + count - 1).bit_length()
    completed_bits = max(1, max(p["completed"]).bit_length())
    rows = [
        [rng.randrange(ROW_CLASSES) * COLUMN_CLASSES * channels, rng.getrandbits(ring), completed]
        for completed in p["completed"]
    ]
    columns = [
        [rng.randrange(COLUMN_CLASSES) * channels, rng.getrandbits(ring)] for _ in range(p["width"])
    ]
    masks = [rng.getrandbits(pes) & rng.getrandbits(pes) for _ in range(count)]
    for i in range(0, count, channels):
        masks[i] |= 1 << rng.randrange(pes)  # somebody wants channel 0
    row_words = [(c << ring | base) << column_bits | term for term, base, c in rows]
    column_words = [base << column_bits | term for term, base in columns]
    run(
        "jp_dispatcher",
        {
            "Prefix": "mem/d",
            "Pes": pes,
            "Height": p["height"],
            "Width": p["width"],
            "ValueBits": p["value_bits"],
            "ValueSigned": p["signed"],
            "OutValueBits": p["wide"],
            "XBits": max(1, (p["width"] - 1).bit_length()),
            "ChannelBits": max(1, (channels - 1).bit_length()),
            "ColumnBits": column_bits,
            "Columns": count,
            "FirstColumn": p["first"],
            "RingBits": ring,
            "CompletedBits": completed_bits,
            "FrameStep": p["step"],
        },
        "bench_dispatcher",
        tmp_path,
        simulator,
        files={
            "mem/d_rows.mem": memory_text(
                [*row_words, 0][: max(2, p["height"])], completed_bits + ring + column_bits
            ),
            "mem/d_columns.mem": memory_text(
                [*column_words, 0][: max(2, p["width"])], ring + column_bits
            ),
            "mem/d_masks.mem": memory_text(masks, pes),
        },
        data={"rows": rows, "columns": columns, "masks": masks, "channels": channels},
    )
