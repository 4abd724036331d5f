"""Pools by the book: what jp_drain reads for every output, and its tables."""

from dataclasses import dataclass

from rtl_tests.common import memory_text

Pair = tuple[int, int]


@dataclass(frozen=True)
class Pooling:
    """map: sums (rows, columns); out: outputs; each pair (vertical, horizontal)."""

    map: Pair
    out: Pair
    window: Pair
    stride: Pair
    padding: Pair = (0, 0)

    def live(self, axis: int, output: int) -> list[bool]:
        """Per row or column of the window, whether it lies on the map."""
        start = output * self.stride[axis] - self.padding[axis]
        return [0 <= start + tap < self.map[axis] for tap in range(self.window[axis])]

    def last(self, axis: int, output: int) -> list[bool]:
        """... and whether no later window needs it."""
        starts = [i * self.stride[axis] - self.padding[axis] for i in range(self.out[axis])]
        places = [starts[output] + tap for tap in range(self.window[axis])]
        later = {start + tap for start in starts[output + 1 :] for tap in range(self.window[axis])}
        on_map = self.live(axis, output)
        return [on and place not in later for on, place in zip(on_map, places, strict=True)]

    @property
    def parameters(self) -> dict[str, int]:
        return {
            "MapHeight": self.map[0],
            "MapWidth": self.map[1],
            "OutHeight": self.out[0],
            "OutWidth": self.out[1],
            "Pool": 1,
            "PoolRows": self.window[0],
            "PoolCols": self.window[1],
            "StrideY": self.stride[0],
            "StrideX": self.stride[1],
            "PadY": self.padding[0],
            "PadX": self.padding[1],
        }

    def files(self, prefix: str) -> dict[str, str]:
        found = {}
        for axis, name in enumerate(("rows", "columns")):
            size = self.window[axis]
            words = [
                bits(self.last(axis, i)) << size | bits(self.live(axis, i))
                for i in range(self.out[axis])
            ]
            words += [0] * (2 - len(words))
            found[f"{prefix}_pool_{name}.mem"] = memory_text(words, 2 * size)
        return found


def from_parameters(p: dict[str, int]) -> Pooling | None:
    if not p.get("Pool"):
        return None
    return Pooling(
        (p["MapHeight"], p["MapWidth"]), (p["OutHeight"], p["OutWidth"]),
        (p["PoolRows"], p["PoolCols"]), (p["StrideY"], p["StrideX"]), (p["PadY"], p["PadX"]),
    )  # fmt: skip


def bits(flags: list[bool]) -> int:
    return sum(flag << i for i, flag in enumerate(flags))


def words(pool: Pooling, slots: int, frame: int, row: int) -> list[list[tuple[int, bool, bool]]]:
    """Per output of a row (x, then slot), its window: (address, live, erase); not wrapped."""
    found = []
    row_words = pool.map[1] * slots
    for x in range(pool.out[1]):
        for slot in range(slots):
            top = frame * pool.map[0] + row * pool.stride[0] - pool.padding[0]
            left = x * pool.stride[1] - pool.padding[1]
            found.append(
                [
                    (
                        (top + dy) * row_words + (left + dx) * slots + slot,
                        pool.live(0, row)[dy] and pool.live(1, x)[dx],
                        pool.last(0, row)[dy] and pool.last(1, x)[dx],
                    )
                    for dy in range(pool.window[0])
                    for dx in range(pool.window[1])
                ]
            )
    return found
