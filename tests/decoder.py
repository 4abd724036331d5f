"""An accelerator in plain Python, that knows a design by the bits of its memory images alone.

`Decoder` does what the hardware does with every word of every image, in plain Python: it scatters
the tokens of all lanes, drains and pools rows, and requantizes. The tokens of a row come in any
order; between two markers the lanes take turns in any order; and a row is drained as early or as
late as the hardware can be.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from jp_hw.ir import INPUT, Int
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
Frame = list[Row]
Work = tuple[int, int, int, tuple[int, int]]
"""Column, base, value; how many of its taps lead beside the map on the left, on the right."""
Drained = list[list[list[int]]]
"""Outputs of one frame: [output row][PE][x * slots + slot]."""


class LaneDecoder:
    """One lane's dispatcher."""

    def __init__(self, layer: LayerDesign, number: int) -> None:
        lane = layer.lanes[number]
        self.first, self.height, self.step = lane.first_column, lane.height, layer.frame_step
        self.rows, self.columns = words(lane.rows), words(lane.columns)
        self.masks = [list(word.values()) for word in words(lane.masks)]
        self.stored = lane.stored

    def work(self, frames: Sequence[Frame]) -> Iterator[Work | None]:
        """Every token's work, and None for every marker."""
        start = 0
        for frame in frames:
            assert len(frame) == self.height
            for y, tokens in enumerate(frame):
                row = self.rows[y]
                for channel, x, value in tokens:
                    column = self.columns[x]
                    if not (row["live"] and column["live"]):
                        continue
                    number = row["term"] + column["term"] + channel
                    assert number < self.stored
                    number += row.get("cut", 0) * self.stored
                    beside = column.get("beside_left", 0), column.get("beside_right", 0)
                    yield number, row["base"] + column["base"] + start, value, beside
                yield from [None] * row["completed"]
            start += self.step


class Decoder:
    """One layer, from its memory images and sizes."""

    def __init__(self, layer: LayerDesign) -> None:
        self.layer = layer
        self.lanes = [LaneDecoder(layer, i) for i in range(len(layer.lanes))]
        self.pointers = [words(memory) for memory in layer.pointers]
        self.weights = [words(memory) for memory in layer.weights]
        self.thresholds = [words(memory) for memory in layer.thresholds]
        self.posts = [words(stream.post) for stream in layer.streams]
        self.pool_rows = words(layer.pool.rows) if layer.pool else []
        self.pool_columns = words(layer.pool.columns) if layer.pool else []
        self.table = None if layer.table is None else words(layer.table)

    def run(
        self, frames: Sequence[Sequence[Frame]], *, late: bool, seed: int = 0
    ) -> Iterator[Drained]:
        """Outputs of every frame, drained early or late; frames: per lane."""
        layer = self.layer
        rng = np.random.default_rng(seed)
        memory = [[0] * (1 << layer.ring_bits) for _ in range(layer.pes)]
        drained: list[list[list[int]]] = []
        work = [lane.work(own) for lane, own in zip(self.lanes, frames, strict=True)]
        for number in range(len(frames[0]) * layer.out_height):
            for i, column in self._turns(work, rng):
                self._scatter(memory, i, *column)
            if late and number:  # a row that the marker before this one completed
                drained.append(self._drain(memory, number - 1))
            if not late:
                drained.append(self._drain(memory, number))
        for i, _ in self._turns(work, rng, markers=False):  # rows below all that an output reads
            raise AssertionError(f"a column of lane {i} after the last output was complete")
        if late:
            drained.append(self._drain(memory, len(drained)))
        assert not any(any(own) for own in memory)
        for n in range(len(frames[0])):
            yield drained[n * layer.out_height : (n + 1) * layer.out_height]

    def _turns(
        self,
        work: list[Iterator[Work | None]],
        rng: np.random.Generator,
        *,
        markers: bool = True,
    ) -> Iterator[tuple[int, Work]]:
        """Work of all lanes up to their next markers, lanes in random turns; no empty columns."""
        open_ = list(range(len(work)))
        while open_:
            i = int(rng.choice(open_))
            column = next(work[i], "end")
            assert markers or column is not None, "a marker too many"
            assert not markers or column != "end", "a marker is missing"
            if column is None or column == "end":
                open_.remove(i)
            elif any(self.lanes[i].masks[column[0]]):
                yield i, column

    def entries(self, pe: int, lane: int, number: int) -> range:
        """Words of a PE's weights that a column has, whole or cut."""
        own = self.lanes[lane]
        cut, column = divmod(number, own.stored)
        pointer = self.pointers[pe][own.first + column]
        first = pointer["start"] + (pointer["first"] if cut == 1 else 0)
        last = pointer["start"] + pointer["more"] - (pointer["last"] if cut == 2 else 0)
        return range(first, last + 1)

    def _scatter(
        self,
        memory: list[list[int]],
        lane: int,
        number: int,
        base: int,
        value: int,
        beside: tuple[int, int],
    ) -> None:
        own = self.lanes[lane]
        half = 1 << (self.layer.accumulator_bits - 1)
        for p, wanted in enumerate(own.masks[number]):
            if wanted:
                for entry in self.entries(p, lane, number):
                    word = self.weights[p][entry]
                    most, tap = self.layer.most_beside, word.get("tap", 0)
                    taps = word.get("taps_left", tap), word.get("taps_right", 2 * most - tap)
                    if taps[0] < beside[0] or taps[1] < beside[1]:
                        continue
                    at = (base + word["offset"]) % len(memory[p])
                    total = memory[p][at] + word["weight"] * value
                    assert -half <= total < half
                    memory[p][at] = total

    def _drain(self, memory: list[list[int]], number: int) -> list[list[int]]:
        """Outputs of one row: [PE][x * slots + slot]."""
        layer = self.layer
        frame, row = divmod(number, layer.out_height)
        places = [
            self._window(frame * layer.map_height * layer.row_words, row, x, slot)
            for x in range(layer.out_width)
            for slot in range(layer.slots)
        ]
        result = []
        for own in memory:
            found = []
            for window in places:  # one after another: windows overlap, and the last one clears
                found.append(max(own[at % len(own)] for at, _ in window))
                for at, last in window:
                    own[at % len(own)] *= not last
            result.append(found)
        return result

    def _window(self, start: int, row: int, x: int, slot: int) -> list[tuple[int, bool]]:
        """Addresses of an output's accumulators, and whether each is cleared."""
        layer, pool = self.layer, self.layer.pool
        if pool is None:
            return [(start + row * layer.row_words + x * layer.slots + slot, True)]
        found = []
        rows, columns = self.pool_rows[row], self.pool_columns[x]
        for dy, dx in np.ndindex(*pool.window):
            if rows["live"] >> dy & columns["live"] >> dx & 1:
                y = row * pool.stride[0] - pool.padding[0] + dy
                left = x * pool.stride[1] - pool.padding[1] + dx
                at = start + y * layer.row_words + left * layer.slots + slot
                found.append((at, bool(rows["last"] >> dy & columns["last"] >> dx & 1)))
        return found

    def outputs(self, frame: Drained) -> Int:
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

    def tokens(self, frame: Drained) -> list[Frame]:
        """The winners of one frame, requantized, by stream."""
        layer, rule = self.layer, self.layer.requantize
        assert rule is not None
        streams: list[Frame] = []
        for stream, post_of in zip(layer.streams, self.posts, strict=True):
            rows: Frame = [[] for _ in range(layer.out_height)]
            for y, p, i in np.ndindex(layer.out_height, stream.pes, layer.out_width * layer.slots):
                x, slot = divmod(i, layer.slots)
                value = frame[y][stream.first_pe + p][i]
                limits = self.thresholds[stream.first_pe + p][slot]
                if value >= limits["keep_from"] or (rule.signed and value <= limits["keep_to"]):
                    channel = p * layer.slots + slot
                    post = post_of[channel]
                    total = value + post["bias"]
                    product = total * post["negative" if total < 0 else "multiplier"]
                    result = (product + (1 << (rule.shift - 1))) >> rule.shift
                    result = min(max(result, rule.low), rule.high)
                    if self.table is not None:
                        result = self.table[result - rule.low]["value"]
                    rows[y].append((channel, x, result))
            streams.append(rows)
        return streams

    def logits(self, frame: Drained) -> list[int]:
        """Logits by class, of the last layer."""
        layer = self.layer
        found: dict[int, int] = {}
        for p, slot in np.ndindex(layer.pes, layer.slots):
            value, limits = frame[0][p][slot], self.thresholds[p][slot]
            if value >= limits["keep_from"]:
                post = self.posts[0][p * layer.slots + slot]
                assert post["class"] not in found
                found[post["class"]] = value + post["bias"]
        return [found[i] for i in range(len(found))]


Streams = dict[tuple[str, int], list[Frame]]
"""Frames of every stream of every tensor."""


def decode(
    design: Design, images: Int, *, late: bool = False, seed: int = 0
) -> tuple[Int, dict[str, Int], Streams]:
    """Logits (n, classes); sums after pooling of every layer (n, height, width, channels); tokens."""
    streams: Streams = {(INPUT, 0): tokenize(design, images)}
    outputs: dict[str, Int] = {}
    for number, layer in enumerate(design.layers):
        decoder = Decoder(layer)
        frames = [
            shuffled(streams[lane.tensor, lane.stream], 64 * seed + i)
            for i, lane in enumerate(layer.lanes)
        ]
        results = list(decoder.run(frames, late=late, seed=seed + number))
        outputs[layer.name] = np.array([decoder.outputs(result) for result in results])
        if layer.requantize is None:
            return np.array([decoder.logits(result) for result in results]), outputs, streams
        found = [decoder.tokens(result) for result in results]
        for i in range(len(layer.streams)):
            streams[layer.name, i] = [frame[i] for frame in found]
    raise AssertionError("the last layer gives logits")


def tokenize(design: Design, images: Int) -> list[Frame]:
    """What the tokenizer makes of images, from its memories: rows of (channel, x, value)."""
    spec, dense = design.network.input, design.network.dense
    keep, place_of = words(design.input_keep), words(design.input_map)
    frames = []
    for image in images:
        rows: Frame = [[] for _ in range(spec.shape.height)]
        for i, value in enumerate(image.reshape(-1).tolist()):
            where = place_of[i % (spec.shape.width * spec.shape.channels)]
            wins = dense or (value and abs(value) >= spec.theta)
            if wins and keep[i // 8][f"byte{i % 8}"]:
                y = i // (spec.shape.width * spec.shape.channels)
                rows[y].append((where["channel"], where["x"], value))
        frames.append(rows)
    return frames


def gathered(layer: LayerDesign, streams: Streams, frame: int, *, dense: bool = False) -> Int:
    """One frame of a layer's tokens as a tensor, int64 (height, width, channels).

    No token is zero, but in a dense network, where every output gives one.
    """
    shape = (layer.out_height, layer.out_width, int(layer.channel_of.max()) + 1)
    result = np.zeros(shape, np.int64)
    for i, stream in enumerate(layer.streams):
        channel_of = layer.channel_of[stream.first_pe : stream.first_pe + stream.pes].reshape(-1)
        for y, row in enumerate(streams[layer.name, i][frame]):
            for channel, x, value in row:
                assert dense or value != 0
                assert result[y, x, channel_of[channel]] == 0
                result[y, x, channel_of[channel]] = value
    sent = sum(len(row) for i in range(len(layer.streams)) for row in streams[layer.name, i][frame])
    assert not dense or sent == result.size
    return result


def shuffled(frames: Sequence[Frame], seed: int) -> list[Frame]:
    rng = np.random.default_rng(seed)
    return [[[row[i] for i in rng.permutation(len(row))] for row in frame] for frame in frames]
