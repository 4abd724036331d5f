"""The compiled part of `polish`: the best ways of two layers."""

# mypy: disable-error-code="no-untyped-def"

from jp_hw.schedule.compiled import inlined, jit


@inlined
def holds(left, one, two):
    """Whether two ways' needs fit into what is left of every kind."""
    fits = True
    for kind in range(len(left)):
        fits &= one[kind] + two[kind] <= left[kind]
    return fits


@inlined
def slowest(one, two, most):
    """Cycles of all frames together in the slower of two ways, or `most` where they are no fewer."""
    total = 0.0
    for frame in range(len(one)):
        total += max(one[frame], two[frame])
        if total >= most:
            return most
    return total


@jit
def best_pair(first, second, first_needs, second_needs, left, most):
    """Ways of two layers with which all frames together take the fewest cycles, and these.

    first, second: float (ways, frames), what the layers take of each frame, or others if they take more;
    first_needs, second_needs: (ways, kinds); left: (kinds,). Where nothing fits that takes fewer
    cycles than `most`, that and -1, -1.
    """
    one, two = -1, -1
    for a in range(len(first)):
        if slowest(first[a], first[a], most) >= most:
            continue
        for b in range(len(second)):
            if holds(left, first_needs[a], second_needs[b]):
                total = slowest(first[a], second[b], most)
                if total < most:
                    most, one, two = total, a, b
    return most, one, two
