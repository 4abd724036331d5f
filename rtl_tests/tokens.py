"""Reference model of the tokenizer, and of the stream that it reads."""

from dataclasses import dataclass
from random import Random


@dataclass(frozen=True)
class Beat:
    data: int
    keep: int
    last: int


@dataclass(frozen=True)
class Format:
    """Sizes of a tokenizer; keep: per byte of a frame, whether any weight reads it."""

    height: int
    row_bytes: int
    theta: int
    signed: bool
    x_bits: int
    channel_bits: int
    keep: tuple[bool, ...]
    place: tuple[int, ...]  # {channel, x} per byte of a row

    @property
    def frame_bytes(self) -> int:
        return self.height * self.row_bytes

    @property
    def beats(self) -> int:
        return -(-self.frame_bytes // 8)

    @property
    def marker(self) -> int:
        return 1 << (self.channel_bits + self.x_bits + 8)


@dataclass(frozen=True)
class Outcome:
    """What becomes of one frame. tokens: markers without their value bits."""

    tokens: list[int]
    short: bool
    long: bool


def beats_of(data: bytes, rng: Random) -> list[Beat]:
    """Bytes as beats, the last one with a partial tkeep; bytes beyond it are garbage."""
    beats = []
    for first in range(0, len(data), 8):
        part = data[first : first + 8]
        word = int.from_bytes(part + rng.randbytes(8 - len(part)), "little")
        beats.append(Beat(word, (1 << len(part)) - 1, int(first + 8 >= len(data))))
    return beats


def expect(beats: list[Beat], fmt: Format) -> Outcome:
    """One frame, from its first beat to its tlast."""
    values = [0] * fmt.frame_bytes
    seen = [False] * fmt.frame_bytes
    long = len(beats) > fmt.beats
    for b, beat in enumerate(beats[: fmt.beats]):
        for i in range(8):
            at = 8 * b + i
            if not beat.keep >> i & 1:
                continue
            if at < fmt.frame_bytes:
                values[at], seen[at] = beat.data >> 8 * i & 255, True
            else:
                long = True
    tokens = []
    for at, byte in enumerate(values):
        value = byte - 256 if fmt.signed and byte > 127 else byte
        if seen[at] and abs(value) >= fmt.theta and fmt.keep[at]:
            tokens.append(fmt.place[at % fmt.row_bytes] << 8 | byte)
        if (at + 1) % fmt.row_bytes == 0:
            tokens.append(fmt.marker)
    return Outcome(tokens, not all(seen), long)
