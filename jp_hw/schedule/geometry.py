"""Which outputs an input row or column reaches: the classes behind the dispatchers' tables."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Axis:
    """One direction of a convolution, seen from the input.

    classes: distinct sets of (kernel tap, output - origin); border positions and stride phases
    get classes of their own, so no token ever computes an output that does not exist.
    class_of, origin: per input position, its class and the first output it reaches (0 if none).
    done: per output position, the input position after which it is complete, never falling.
    """

    classes: tuple[tuple[tuple[int, int], ...], ...]
    class_of: tuple[int, ...]
    origin: tuple[int, ...]
    done: tuple[int, ...]

    def span(self) -> int:
        """Most outputs in the making at once: from the oldest incomplete one to the newest."""
        widest = 1
        for i, (kind, origin) in enumerate(zip(self.class_of, self.origin, strict=True)):
            taps = self.classes[kind]
            if taps:
                oldest = next(out for out, done in enumerate(self.done) if done >= i)
                widest = max(widest, origin + max(reach for _, reach in taps) - oldest + 1)
        return widest

    def completed(self) -> list[int]:
        """Per input position, how many outputs are complete after it."""
        return [self.done.count(i) for i in range(len(self.class_of))]


def axis(inputs: int, outputs: int, kernel: int, stride: int, padding: int, dilation: int) -> Axis:
    """Classes of one direction; sizes in elements, padding before the first input."""
    classes: dict[tuple[tuple[int, int], ...], int] = {}
    class_of, origins = [], []
    done = [0] * outputs
    for i in range(inputs):
        reached = []
        for tap in range(kernel):
            out, rest = divmod(i + padding - tap * dilation, stride)
            if rest == 0 and 0 <= out < outputs:
                reached.append((tap, out))
                done[out] = max(done[out], i)
        origin = min((out for _, out in reached), default=0)
        signature = tuple((tap, out - origin) for tap, out in reached)
        class_of.append(classes.setdefault(signature, len(classes)))
        origins.append(origin)
    for out in range(1, outputs):
        done[out] = max(done[out], done[out - 1])
    return Axis(tuple(classes), tuple(class_of), tuple(origins), tuple(done))
