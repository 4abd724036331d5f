"""An accelerator in plain Python, that knows a design by the bits of its memory images alone.

`Decoder` does what the hardware does with every word of every image, in plain Python: it scatters
tokens, drains rows and requantizes, with the tokens of a row in any order, and with drains as early
or as late as the hardware can be.
"""

from collections.abc import Iterator

import numpy as np

from jp_hw.ir import Int
from jp_hw.schedule import Design, LayerDesign, Memory


def words(memory: Memory) -> list[dict[str, int]]:
    """Fields of every word, cut out of its bits."""
    result = []
    for word in memory.words:
        assert 0 <= word < 1 << memory.width
        found = {}
        for field in memory.fields:
            bits = word & ((1 << field.bits) - 1)
            word >>= field.bits
            found[field.name] = bits - (1 << field.bits) * (field.signed and bits >> field.bits - 1)
        result.append(found)
    return result


Row = list[tuple[int, int, int]]
"""Tokens of one row: (physical channel, x, value)."""


class Decoder:
    """One layer, from its memory images and sizes."""

    def __init__(self, layer: LayerDesign) -> None:
        self.layer = layer
        (lane,) = layer.lanes
        self.first = lane.first_column
        self.height = lane.height
        self.rows, self.columns = words(lane.rows), words(lane.columns)
        self.masks = [list(word.values()) for word in words(lane.masks)]
        self.pointers = [words(memory) for memory in layer.pointers]
        self.weights = [words(memory) for memory in layer.weights]
        self.thresholds = [words(memory) for memory in layer.thresholds]
        self.post = words(layer.post)

    def run(self, frames: list[list[Row]], *, late: bool) -> Iterator[list[list[list[int]]]]:
        """Drained accumulators of every frame: [output row][PE][word], drained early or late."""
        layer, ring = self.layer, 1 << self.layer.ring_bits
        memory = [[0] * ring for _ in range(layer.pes)]
        drained: list[list[list[int]]] = []
        start, pending = 0, 0

        def drain() -> None:
            at = len(drained) * layer.row_words
            row = []
            for own in memory:
                row.append([own[(at + i) % ring] for i in range(layer.row_words)])
                for i in range(layer.row_words):
                    own[(at + i) % ring] = 0
            drained.append(row)

        for frame in frames:
            assert len(frame) == self.height
            for y, tokens in enumerate(frame):
                for token in tokens:
                    self._scatter(memory, y, token, start)
                for _ in range(self.rows[y]["completed"]):
                    if pending:
                        drain()
                    pending = 1
                    if not late:
                        drain()
                        pending = 0
            start = (start + layer.frame_step) % ring
        if pending:
            drain()
        height = layer.out_height
        assert len(drained) == len(frames) * height
        for n in range(len(frames)):
            yield drained[n * height : (n + 1) * height]

    def _scatter(
        self, memory: list[list[int]], y: int, token: tuple[int, int, int], start: int
    ) -> None:
        channel, x, value = token
        row, column = self.rows[y], self.columns[x]
        number = row["term"] + column["term"] + channel
        base = row["base"] + column["base"] + start
        half = 1 << (self.layer.accumulator_bits - 1)
        for p, wanted in enumerate(self.masks[number]):
            if wanted:
                pointer = self.pointers[p][self.first + number]
                for entry in range(pointer["start"], pointer["start"] + pointer["more"] + 1):
                    word = self.weights[p][entry]
                    at = (base + word["offset"]) % len(memory[p])
                    memory[p][at] += word["weight"] * value
                    assert -half <= memory[p][at] < half

    def accumulators(self, frame: list[list[list[int]]]) -> Int:
        """One frame's drained words as int64 (height, width, channels)."""
        layer = self.layer
        shape = (layer.out_height, layer.out_width, int(layer.channel_of.max()) + 1)
        result = np.zeros(shape, np.int64)
        for y, p, x, slot in np.ndindex(layer.out_height, layer.pes, layer.out_width, layer.slots):
            value, channel = frame[y][p][x * layer.slots + slot], layer.channel_of[p, slot]
            if channel < 0:
                assert value == 0
            else:
                result[y, x, channel] = value
        return result

    def tokens(self, frame: list[list[list[int]]]) -> list[Row]:
        """The winners of one frame, requantized."""
        layer, rule = self.layer, self.layer.requantize
        assert rule is not None
        rows: list[Row] = []
        for row in frame:
            rows.append([])
            for p, i in np.ndindex(layer.pes, layer.row_words):
                x, slot = divmod(i, layer.slots)
                value, limits = row[p][i], self.thresholds[p][slot]
                if value >= limits["keep_from"] or (rule.signed and value <= limits["keep_to"]):
                    channel = p * layer.slots + slot
                    post = self.post[channel]
                    total = value + post["bias"]
                    product = total * post["negative" if total < 0 else "multiplier"]
                    result = (product + (1 << (rule.shift - 1))) >> rule.shift
                    rows[-1].append((channel, x, min(max(result, rule.low), rule.high)))
        return rows

    def logits(self, frame: list[list[list[int]]]) -> list[int]:
        """Logits by class, of the last layer."""
        layer = self.layer
        found: dict[int, int] = {}
        for p, slot in np.ndindex(layer.pes, layer.slots):
            value, limits = frame[0][p][slot], self.thresholds[p][slot]
            if value >= limits["keep_from"]:
                post = self.post[p * layer.slots + slot]
                assert post["class"] not in found
                found[post["class"]] = value + post["bias"]
        return [found[i] for i in range(len(found))]


def tokenize(design: Design, images: Int) -> list[list[Row]]:
    """What the tokenizer makes of images, from its memories: rows of (channel, x, value)."""
    spec = design.network.input
    keep, place_of = words(design.input_keep), words(design.input_map)
    frames = []
    for image in images:
        rows: list[Row] = [[] for _ in range(spec.shape.height)]
        for i, value in enumerate(image.reshape(-1).tolist()):
            where = place_of[i % (spec.shape.width * spec.shape.channels)]
            if keep[i // 8][f"byte{i % 8}"] and value and abs(value) >= spec.theta:
                y = i // (spec.shape.width * spec.shape.channels)
                rows[y].append((where["channel"], where["x"], value))
        frames.append(rows)
    return frames


def shuffled(frames: list[list[Row]], seed: int) -> list[list[Row]]:
    rng = np.random.default_rng(seed)
    return [[[row[i] for i in rng.permutation(len(row))] for row in frame] for frame in frames]
