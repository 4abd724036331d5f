"""jp_group: sums, winners, hazards, the ring, drains between MACs, full queues, rate, reset."""

import random
from pathlib import Path

import numpy as np

from jp_hw.schedule.design import Field, memory, rom_pair
from rtl_tests.common import SEED, memory_text, on_simulators, run
from rtl_tests.pools import Pooling, from_parameters


def sizes(
    lanes: int,
    slots: int,
    out_width: int,
    ring_bits: int,
    columns: int,
    longest: int,
    **others: int,
) -> dict[str, int]:
    return {
        "Buses": lanes,
        "Slots": slots,
        "OutWidth": out_width,
        "RingBits": ring_bits,
        "Columns": columns,
        "longest": longest,
        "FifoDepth": 16,
        "WinnerDepth": 16,
        "Pes": 1,
        "First": 0,
        "WeightBits": 8,
        "ValueBits": 8,
        "ValueSigned": 0,
        "SideBits": 0,
        "CutBits": 0,
        "TwoSided": 0,
        "AccBits": 24,
        "PairedRoms": 0,
        "BlockRing": 0,
        "MapWidth": out_width,
        "MapHeight": 1,
        "OutHeight": 1,
        **others,
    }


def pooled(
    lanes: int, slots: int, pool: Pooling, ring_bits: int, columns: int, longest: int, **others: int
) -> dict[str, int]:
    return sizes(
        lanes, slots, pool.out[1], ring_bits, columns, longest, **{**pool.parameters, **others}
    )


SETS = {
    "lanes2": sizes(2, 3, 4, 6, 14, 9, ValueSigned=1, TwoSided=1, BlockRing=1, Pes=3),
    "pool-overlapping": pooled(
        2,
        2,
        Pooling((6, 5), (3, 3), (3, 3), (2, 2), (1, 1)),
        6,
        12,
        9,
        ValueSigned=1,
        TwoSided=1,
        Pes=2,
        First=17,
    ),
    "pool-2x2": pooled(
        1,
        3,
        Pooling((4, 4), (2, 2), (2, 2), (2, 2)),
        6,
        9,
        7,
        BlockRing=1,
        PairedRoms=1,
        Pes=4,
    ),
    "pool-rows": pooled(1, 2, Pooling((5, 3), (4, 3), (2, 1), (1, 1)), 5, 6, 5, ValueSigned=1),
    "pool-one-word": pooled(2, 1, Pooling((3, 4), (3, 4), (1, 1), (1, 1)), 4, 6, 4),
    "tight": sizes(1, 2, 2, 3, 5, 4, Pes=2, TwoSided=1, BlockRing=1),
    "least": sizes(1, 1, 1, 1, 2, 1, FifoDepth=4),
    "linear": sizes(1, 16, 1, 5, 40, 16, WinnerDepth=32, PairedRoms=1, Pes=7),
    "row-of-one-slot": sizes(1, 1, 28, 7, 9, 12, FifoDepth=4, Pes=2),
    "narrow": sizes(
        1, 4, 3, 5, 7, 5, WeightBits=2, ValueBits=3, AccBits=8, ValueSigned=1, TwoSided=1
    ),
    "lanes4": sizes(4, 2, 3, 5, 20, 6, ValueSigned=1, PairedRoms=1, BlockRing=1),
    "not-a-power": sizes(1, 3, 3, 5, 6, 7, FifoDepth=8, Pes=5, First=120),
    "eight": sizes(1, 1, 2, 4, 5, 4, WinnerDepth=32, Pes=8),
    "beside": sizes(2, 3, 4, 6, 14, 9, Pes=2, SideBits=2),
    "far-beside": sizes(1, 2, 4, 5, 300, 6, Pes=3, SideBits=4, ValueSigned=1),
    "paired-beside": sizes(1, 2, 4, 5, 20, 6, SideBits=4, PairedRoms=1),
    "one-tap": sizes(1, 2, 4, 5, 20, 6, Pes=2, SideBits=4, TapBits=3, MostBeside=2),
    "cut": sizes(2, 3, 4, 6, 14, 9, Pes=2, SideBits=2, CutBits=2),
    "paired-cut": sizes(1, 2, 4, 5, 20, 6, CutBits=2, PairedRoms=1),
}


@on_simulators(SETS, verilator=2)
def test_group(simulator: str, parameters: dict[str, int], tmp_path: Path) -> None:
    rng = random.Random(SEED)
    p = dict(parameters)
    longest = p.pop("longest")
    row, ring = p["MapWidth"] * p["Slots"], 1 << p["RingBits"]
    space = (ring // row - 1) * row
    most_weight = (1 << (p["WeightBits"] - 1)) - 1
    columns = [[[most_weight, 0]]]
    for i in range(1, p["Columns"]):
        length = min(longest, space) if i == 1 else rng.randint(1, min(longest, space))
        offsets = sorted(rng.sample(range(space), length))
        columns.append([[rng.choice([-1, 1]) * rng.randint(1, most_weight), o] for o in offsets])
    starts = [sum(map(len, columns[:i])) for i in range(len(columns))]
    # entries of the first and of the last output row: something is always left
    cuts = [[rng.randrange(len(c)) if p["CutBits"] else 0 for c in columns] for _ in range(2)]
    cut_bits = [max(1, max(own).bit_length()) if p["CutBits"] else 0 for own in cuts]
    offsets = [offset for column in columns for _, offset in column]
    entries = max(2, len(offsets))
    sides = p["SideBits"] // 2
    taps = [[rng.getrandbits(sides) if sides else 0 for _ in offsets] for _ in range(2)]
    for own in taps:
        own[0] = (1 << sides) - 1  # the first column's weight is never beside the map
    tap_fields = [(Field("taps", sides), np.array(own)) for own in taps if sides]
    if "TapBits" in p:  # one number for both sides
        most = 2 * p["MostBeside"]
        taps[0] = [rng.randrange(most + 1) for _ in offsets]
        taps[1] = [most - tap for tap in taps[0]]
        tap_fields = [(Field("tap", p["TapBits"]), np.array(taps[0]))]
    of_pe = [columns]  # the others have other weights in the same places
    for _ in range(1, p["Pes"]):
        of_pe.append(
            [
                [[rng.choice([-1, 1]) * rng.randint(1, most_weight), o] for _, o in column]
                for column in columns
            ]
        )
    limit = 1 << (p["AccBits"] - 1)
    near = min(limit - 1, most_weight << p["ValueBits"])
    thresholds = []
    for _ in range(p["Pes"]):
        own = [[-limit, -limit]]  # slot 0 always wins
        own += [
            [rng.randint(-near // 4, near), rng.randint(-near, near // 8)]
            for _ in range(p["Slots"] - 1)
        ]
        if p["Slots"] > 2:
            own[1] = [limit - 1, -limit]  # and slot 1 never
        thresholds.append(own)
    pitch = 1 << max(1, (p["Slots"] - 1).bit_length())
    padded = [[*own, *[[0, 0]] * (pitch - p["Slots"])] for own in thresholds]
    table = [words for own in padded for words in own][
        : max(2, (p["Pes"] - 1) * pitch + p["Slots"])
    ]
    p |= {
        "Prefix": "mem/l",
        "PoolPrefix": "mem/l",
        "ColumnBits": max(1, (p["Columns"] - 1).bit_length()),
        "StartBits": max(1, (entries - 1).bit_length()),
        "MoreBits": max(1, (max(map(len, columns)) - 1).bit_length()),
        "FirstBits": cut_bits[0],
        "LastBits": cut_bits[1],
        "OffsetBits": max(1, max(offsets).bit_length()),
        "Entries": entries,
        "FirstChannel": 5 * p["Slots"],
        "ChannelBits": ((5 + p["Pes"]) * p["Slots"] - 1).bit_length(),
        "OutXBits": max(1, (p["OutWidth"] - 1).bit_length()),
    }
    acc_mask = (1 << p["AccBits"]) - 1
    files = pool.files("mem/l") if (pool := from_parameters(p)) else {}
    for i, own in enumerate(of_pe, p["First"]):
        weights = [weight for column in own for weight, _ in column]
        roms = (
            memory(
                f"l_pe{i:03}_pointers",
                (Field("start", p["StartBits"]), np.array(starts)),
                (Field("more", p["MoreBits"]), np.array([len(c) - 1 for c in own])),
                *(
                    (Field("cut", bits), np.array(cut))
                    for bits, cut in zip(cut_bits, cuts, strict=True)
                    if bits
                ),
            ),
            memory(
                f"l_pe{i:03}_weights",
                (Field("weight", p["WeightBits"], signed=True), np.array(weights)),
                (Field("offset", p["OffsetBits"]), np.array(offsets)),
                *tap_fields,
            ),
        )
        for m in [rom_pair(*roms)] if p["PairedRoms"] else roms:
            files[f"mem/{m.name}.mem"] = memory_text(m.words, m.width)
    files[f"mem/l_group{p['First']:03}_thresholds.mem"] = memory_text(
        [(to & acc_mask) << p["AccBits"] | start & acc_mask for start, to in table],
        2 * p["AccBits"],
    )
    run(
        "jp_group",
        p,
        "bench_group",
        tmp_path,
        simulator,
        files=files,
        data={
            "columns": of_pe,
            "thresholds": thresholds,
            "cuts": cuts,
            "taps": [
                [own[s : s + len(c)] for s, c in zip(starts, columns, strict=True)] for own in taps
            ],
            "most_value": (1 << (p["ValueBits"] - p["ValueSigned"])) - 1,
        },
    )
