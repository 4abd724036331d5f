"""Which outputs an input row or column reaches: the classes behind the dispatchers' tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from jp_hw.ir import Pool

Taps = tuple[tuple[int, int], ...]
NONE, FIRST, LAST = range(3)
"""Taps that are cut of a column."""


@dataclass(frozen=True)
class Axis:
    """One direction of a convolution, seen from the input.

    classes: distinct lists of (kernel tap, output - origin), by rising output; border positions and
    stride phases get classes of their own, so no token ever computes an output that does not exist.
    class_of, origin: per input position, its class and the output that its base points to, which can
    lie outside the map. parts: per class (root class, first, last): its taps are the root's taps
    first..last-1, so that their weights need not be stored twice.
    done: per output position, the input position after which it is complete, never falling.
    beside: per input position, how many of its class's first and last taps lead out of the map: 0
    where it has a class of its own.
    """

    classes: tuple[Taps, ...]
    class_of: tuple[int, ...]
    origin: tuple[int, ...]
    parts: tuple[tuple[int, int, int], ...]
    done: tuple[int, ...]
    beside: tuple[tuple[int, int], ...]

    def newest(self) -> list[int]:
        """Per input position the greatest output that it or an earlier one reaches, -1 for none."""
        found, most = [], -1
        for kind, origin in zip(self.class_of, self.origin, strict=True):
            if self.classes[kind]:
                most = max(most, origin + self.classes[kind][-1][1])
            found.append(most)
        return found

    def stored(self, cut: bool) -> tuple[list[tuple[int, int, int]], list[tuple[int, int]]]:
        """Parts that pointers are stored for; per class which one, and what is cut of it.

        Cut are NONE, its FIRST or its LAST tap; without cut, NONE of all.
        """
        order = sorted(range(len(self.parts)), key=lambda i: self.parts[i][1] - self.parts[i][2])
        found: dict[tuple[int, int, int], int] = {}
        cut_of: dict[int, tuple[int, int]] = {}
        for kind in order:
            root, first, last = self.parts[kind]
            if cut and (root, first - 1, last) in found and first < last:
                cut_of[kind] = found[root, first - 1, last], FIRST
            elif cut and (root, first, last + 1) in found and first < last:
                cut_of[kind] = found[root, first, last + 1], LAST
            else:
                cut_of[kind] = found.setdefault((root, first, last), len(found)), NONE
        return list(found), [cut_of[kind] for kind in range(len(self.parts))]

    def live(self) -> list[bool]:
        """Per input position, whether any output is reached from it."""
        return [
            len(self.classes[kind]) > sum(beside)
            for kind, beside in zip(self.class_of, self.beside, strict=True)
        ]

    def completed(self) -> list[int]:
        """Per input position, how many outputs are complete after it."""
        return [self.done.count(i) for i in range(len(self.class_of))]


@lru_cache(maxsize=1024)
def axis(
    inputs: int,
    outputs: int,
    kernel: int,
    stride: int,
    padding: int,
    dilation: int,
    same: tuple[int, ...] | None = None,
    windows: tuple[tuple[int, ...], ...] | None = None,
    spread: int = 1,
    beside: int = 0,
) -> Axis:
    """Classes of one direction; sizes in elements, padding before the first input.

    same: per tap, a number that taps of equal weights share. windows: per pooled output, the outputs
    that it needs; others are not computed, and `done` is of pooled outputs. spread: from an input to
    the next one. beside: only positions of which more taps than that lead out of the map, on
    either side, have classes of their own, without those: others' have taps that lead beside the map.
    """
    names = list(range(kernel)) if same is None else list(same)
    needed = set(range(outputs)) if windows is None else {o for window in windows for o in window}
    virtual: list[tuple[Taps, int]] = []
    sides = []
    done = [0] * outputs
    for i in range(inputs):
        reached = []
        for tap in reversed(range(kernel)):
            out, rest = divmod(spread * i + padding - tap * dilation, stride)
            if rest == 0:
                reached.append((tap, out))
        origin = min((out for _, out in reached), default=0)
        for _, out in reached:
            if out in needed:
                done[out] = max(done[out], i)
        left, right = (
            sum(out < 0 for _, out in reached),
            sum(out >= outputs for _, out in reached),
        )
        all_of_it = max(left, right) <= beside
        own = [
            (tap, out)
            for tap, out in reached
            if out in needed or (all_of_it and not 0 <= out < outputs)
        ]
        sides.append((left, right) if all_of_it else (0, 0))
        virtual.append((tuple((names[tap], out - origin) for tap, out in own), origin))
    found = {taps for taps, _ in virtual}
    classes: dict[Taps, int] = {}
    class_of, origins = [], []
    for taps, origin in virtual:
        if not any(_slice(taps, whole) for whole in found if whole != taps):
            first = taps[0][1] if taps else 0
            taps, origin = tuple((tap, out - first) for tap, out in taps), origin + first
        class_of.append(classes.setdefault(taps, len(classes)))
        origins.append(origin)
    if windows is not None:
        done = [max(done[out] for out in window) for window in windows]
    for out in range(1, len(done)):
        done[out] = max(done[out], done[out - 1])
    return Axis(
        tuple(classes), tuple(class_of), tuple(origins), _parts(tuple(classes)), tuple(done),
        tuple(sides),
    )  # fmt: skip


def _slice(taps: Taps, whole: Taps) -> tuple[int, int] | None:
    """Where taps lie in one piece within the whole."""
    if taps:
        for first in range(len(whole) - len(taps) + 1):
            if whole[first : first + len(taps)] == taps:
                return first, first + len(taps)
    return None


def _parts(classes: tuple[Taps, ...]) -> tuple[tuple[int, int, int], ...]:
    """Every class as a piece of the longest class that contains it."""
    order = sorted(range(len(classes)), key=lambda i: (-len(classes[i]), i))
    parts = []
    for own, taps in enumerate(classes):
        root, place = own, (0, len(taps))
        for other in order:
            found = _slice(taps, classes[other])
            if found is not None:
                root, place = other, found
                break
        parts.append((root, *place))
    return tuple(parts)


def windows(pool: Pool | None, direction: int, outputs: int) -> tuple[tuple[int, ...], ...]:
    """Per output, the rows (direction 0) or columns (1) of sums that it is the greatest of."""
    if pool is None:
        return tuple((i,) for i in range(outputs))
    return tuple(tuple(taps) for taps in pool.taps(direction, outputs))


def ring_rows(axes: Sequence[Axis], needs: Sequence[Sequence[int]], rows: int) -> int:
    """Rows of sums that are alive at once: of the output row that is drained, up to the newest.

    axes: vertical, of every lane. needs: `windows` of the output rows. rows: of sums in a frame.
    """
    most = 1
    newest = [max(axis.newest()[axis.done[q]] for axis in axes) for q in range(len(needs))]
    for q, new in enumerate(newest):
        drained = needs[q - 1][0] - (rows if q == 0 else 0)
        most = max(most, new - drained + 1)
    return most
