"""jp_requantizer: equal to the golden model's formula on random and extreme accumulators."""

import random
from pathlib import Path

import numpy as np

from jp_hw.golden import requantize
from jp_hw.ir import Requantize
from rtl_tests.common import SEED, memory_text, on_simulators, run

MULTIPLIER_BITS = 17
TOP = (1 << MULTIPLIER_BITS) - 1


def sizes(
    acc: int, total: int, shift: int, low: int, high: int, channels: int, x_bits: int,
    table: tuple[int, int] | None = None,
) -> dict[str, int]:  # fmt: skip
    """table: least and greatest entry, where there is one."""
    least, most = table or (low, high)
    return {
        "Channels": max(channels, 2),
        "ChannelBits": max(1, (channels - 1).bit_length()),
        "XBits": x_bits,
        "AccBits": acc,
        "SumBits": total,
        "Shift": shift,
        "Low": low,
        "High": high,
        "ValueBits": max(most.bit_length(), (-1 - least).bit_length()) + (least < 0),
        "Table": int(table is not None),
        "least": least,
        "most": most,
    }


SETS = {
    "table": sizes(20, 21, 16, -512, 511, 6, 3, table=(-128, 127)),
    "relu": sizes(20, 21, 16, 0, 255, 12, 3),
    "leaky": sizes(24, 25, 21, -128, 127, 5, 1),
    "widest": sizes(32, 32, 40, -128, 127, 3, 2),
    "shift40-narrow": sizes(8, 9, 40, -128, 127, 2, 1),
    "shift-of-product": sizes(8, 9, 26, -128, 127, 2, 1),
    "shift-beyond-product": sizes(8, 9, 27, -128, 127, 2, 1),
    "shift1": sizes(6, 7, 1, 0, 255, 4, 1),
    "shift1-signed": sizes(10, 12, 1, -128, 127, 2, 5),
    "shift9": sizes(12, 13, 9, 0, 15, 7, 2),
    "low-clamp-inside": sizes(14, 16, 12, -3, 100, 4, 1),
    "bit": sizes(9, 10, 17, 0, 1, 1, 1),
    "shift31": sizes(30, 31, 31, 0, 255, 2, 1),
    "table-of-two": sizes(12, 13, 9, 0, 1, 3, 1, table=(0, 255)),
    "table-uneven": sizes(16, 17, 12, -5, 100, 4, 2, table=(-3, 9)),
    "sum-narrower": sizes(16, 12, 12, -128, 127, 4, 1),
}


def cases(p: dict[str, int], rng: random.Random) -> tuple[Requantize, np.ndarray, list[list[int]]]:
    """A rule, biases, and [channel, accumulator, value] of accumulators whose sums fit SumBits."""
    count = p["Channels"]
    low_sum, high_sum = -(1 << (p["SumBits"] - 1)), (1 << (p["SumBits"] - 1)) - 1
    low_acc, high_acc = -(1 << (p["AccBits"] - 1)), (1 << (p["AccBits"] - 1)) - 1
    reach = min(high_sum, 1 << (p["SumBits"] - 2))
    bias = np.array([rng.randint(-reach, reach) for _ in range(count)])
    table = None
    if p["Table"]:
        least, most, size = p["least"], p["most"], p["High"] - p["Low"] + 1
        table = np.sort([least, most, *(rng.randint(least, most) for _ in range(size - 2))])
    rule = Requantize(
        np.array([TOP, 0, 1, *(rng.randint(0, TOP) for _ in range(count))][:count]),
        np.array([TOP, TOP // 8, 0, *(rng.randint(0, TOP) for _ in range(count))][:count]),
        p["Shift"],
        p["Low"],
        p["High"],
        theta=0,
        table=table,
    )
    listed = []
    for k in range(count):
        least, most = max(low_acc, low_sum - int(bias[k])), min(high_acc, high_sum - int(bias[k]))
        m = max(int(rule.multiplier[k]), 1)
        edges = [
            ((value << p["Shift"]) - (1 << (p["Shift"] - 1))) // m - int(bias[k]) + d
            for value in (p["Low"], p["Low"] + 1, 1, p["High"], p["High"] + 1)
            for d in (-1, 0, 1)
        ]
        wanted = [least, most, least + 1, most - 1, -int(bias[k]) - 1, -int(bias[k]), 0, *edges]
        wanted += [rng.randint(least, most) for _ in range(60)]
        wanted += [-int(bias[k]) + rng.randint(-200, 200) for _ in range(40)]
        for acc in (a for a in wanted if least <= a <= most):
            value = requantize(rule, np.full(count, acc, np.int64), bias)[k]
            listed.append([k, acc, int(value)])
    return rule, bias, listed


def table_file(rule: Requantize, bits: int) -> dict[str, str]:
    if rule.table is None:
        return {}
    return {"mem/l_table.mem": memory_text((int(v) & ((1 << bits) - 1) for v in rule.table), bits)}


@on_simulators(SETS, verilator=2)
def test_requantizer(simulator: str, parameters: dict[str, int], tmp_path: Path) -> None:
    rule, bias, listed = cases(parameters, random.Random(SEED))
    parameters = dict(parameters)
    ends = {parameters.pop("least"), parameters.pop("most")}
    assert {value for _, _, value in listed} >= ends or (
        parameters["Shift"] > parameters["SumBits"] + 8  # sums too small to reach a limit
    )
    bits = parameters["SumBits"]
    words = [
        int(n) << (bits + MULTIPLIER_BITS) | int(m) << bits | int(b) & ((1 << bits) - 1)
        for n, m, b in zip(rule.negative, rule.multiplier, bias, strict=True)
    ]
    run(
        "jp_requantizer",
        {**parameters, "PostFile": "mem/l_post.mem", "TableFile": "mem/l_table.mem"},
        "bench_requantizer",
        tmp_path,
        simulator,
        files={
            "mem/l_post.mem": memory_text(words, bits + 2 * MULTIPLIER_BITS),
            **table_file(rule, parameters["ValueBits"]),
        },
        data=listed,
    )
