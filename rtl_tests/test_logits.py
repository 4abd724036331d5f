"""jp_logits: class order, sign extension, last and user flags, two frames inside."""

import random
from pathlib import Path

from rtl_tests.common import SEED, memory_text, on_simulators, run


def sizes(classes: int, channels: int, acc: int, total: int, x_bits: int = 1) -> dict[str, int]:
    return {
        "Channels": max(channels, 2),
        "ChannelBits": max(1, (channels - 1).bit_length()),
        "XBits": x_bits,
        "AccBits": acc,
        "SumBits": total,
        "Classes": classes,
        "ClassBits": max(1, (classes - 1).bit_length()),
    }


SETS = {
    "ten": sizes(10, 12, 20, 22),
    "one": sizes(1, 1, 8, 9),
    "two": sizes(2, 3, 12, 32, 2),
    "widest": sizes(17, 17, 32, 32),
    "power": sizes(16, 16, 16, 16),
    "narrow-sum": sizes(5, 6, 16, 12),
}


@on_simulators(SETS)
def test_logits(simulator: str, parameters: dict[str, int], tmp_path: Path) -> None:
    rng = random.Random(SEED)
    bits, channels = parameters["SumBits"], parameters["Channels"]
    channel_of = rng.sample(range(channels), parameters["Classes"])
    reach = 1 << (bits - 2)
    bias = [rng.randint(-reach, reach) for _ in range(channels)]
    class_of = {channel: k for k, channel in enumerate(channel_of)}
    words = [class_of.get(c, 0) << bits | bias[c] & ((1 << bits) - 1) for c in range(channels)]
    run(
        "jp_logits",
        {**parameters, "PostFile": "mem/l_post.mem"},
        "bench_logits",
        tmp_path,
        simulator,
        files={"mem/l_post.mem": memory_text(words, bits + parameters["ClassBits"])},
        data={"bias": bias, "channel_of": channel_of},
    )
