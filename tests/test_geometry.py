"""Classes of rows and columns, against a list of which input reaches which output by which tap."""

from hypothesis import given, settings
from hypothesis import strategies as st

from jp_hw.ir import Pool
from jp_hw.schedule.geometry import Axis, axis, ring_rows, windows

Geometry = tuple[int, int, int, int, int, int]
geometries = st.tuples(
    st.integers(1, 9), st.integers(1, 9), st.integers(1, 4), st.integers(1, 4), st.integers(0, 4),
    st.integers(1, 3),
)  # fmt: skip


def reaches(
    inputs: int, outputs: int, kernel: int, stride: int, padding: int, dilation: int
) -> set[tuple[int, int, int]]:
    """All (input, tap, output) of a convolution in one direction."""
    return {
        (output * stride - padding + tap * dilation, tap, output)
        for output in range(outputs)
        for tap in range(kernel)
        if 0 <= output * stride - padding + tap * dilation < inputs
    }


def decoded(found: Axis) -> set[tuple[int, int, int]]:
    return {
        (i, tap, found.origin[i] + reach)
        for i, kind in enumerate(found.class_of)
        for tap, reach in found.classes[kind]
    }


@settings(max_examples=300, derandomize=True, deadline=None)
@given(geometries)
def test_classes_and_origins_say_exactly_what_is_reached(
    geometry: Geometry,
) -> None:
    found = axis(*geometry)
    exact = reaches(*geometry)
    assert decoded(found) == exact
    assert len(found.class_of) == len(found.origin) == geometry[0]
    assert sorted(set(found.class_of)) == list(range(len(found.classes)))
    assert len(set(found.classes)) == len(found.classes)
    assert all(reach >= 0 for taps in found.classes for _, reach in taps)


@settings(max_examples=300, derandomize=True, deadline=None)
@given(geometries, st.lists(st.integers(0, 2), min_size=4, max_size=4))
def test_taps_of_equal_weights_share_a_class(geometry: Geometry, names: list[int]) -> None:
    found = axis(*geometry, same=tuple(names[: geometry[2]]))
    exact = {(i, names[tap], out) for i, tap, out in reaches(*geometry)}
    assert decoded(found) == exact
    assert len(found.classes) <= len(axis(*geometry).classes)
    assert found.done == axis(*geometry).done


@settings(max_examples=300, derandomize=True, deadline=None)
@given(geometries)
def test_a_class_is_a_piece_of_its_root(geometry: Geometry) -> None:
    found = axis(*geometry)
    for taps, (root, first, last) in zip(found.classes, found.parts, strict=True):
        assert found.classes[root][first:last] == taps
        assert found.parts[root] == (root, 0, len(found.classes[root]))


pools = st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(0, 3))


def pool_of(outputs: int, numbers: tuple[int, int, int]) -> tuple[Pool, int]:
    """A pool along one direction of a map of that size, and how many outputs it has."""
    window, stride, padding = numbers
    padding = min(padding, window - 1)
    pool = Pool((outputs, 1), (window, 1), (stride, 1), (padding, 0))
    return pool, -(-(outputs + padding) // stride)


@settings(max_examples=300, derandomize=True, deadline=None)
@given(geometries, pools)
def test_only_what_a_pool_looks_at_is_computed(
    geometry: Geometry, numbers: tuple[int, int, int]
) -> None:
    pool, count = pool_of(geometry[1], numbers)
    needs = windows(pool, 0, count)
    found = axis(*geometry, windows=needs)
    exact = {entry for entry in reaches(*geometry) if any(entry[2] in window for window in needs)}
    assert decoded(found) == exact
    last = [max([i for i, _, out in exact if out in window], default=0) for window in needs]
    assert list(found.done) == [max(last[: q + 1]) for q in range(count)]


@settings(max_examples=300, derandomize=True, deadline=None)
@given(geometries)
def test_outputs_are_done_when_nothing_reaches_them_any_more(
    geometry: Geometry,
) -> None:
    found = axis(*geometry)
    exact = reaches(*geometry)
    inputs, outputs = geometry[:2]
    last = [max([i for i, _, out in exact if out == o], default=0) for o in range(outputs)]
    assert list(found.done) == [max(last[: o + 1]) for o in range(outputs)]
    assert found.completed() == [found.done.count(i) for i in range(inputs)]
    assert sum(found.completed()) == outputs


@settings(max_examples=300, derandomize=True, deadline=None)
@given(st.lists(geometries, min_size=1, max_size=3), st.one_of(st.none(), pools))
def test_the_ring_holds_all_rows_alive_at_once(
    lanes: list[Geometry], numbers: tuple[int, int, int] | None
) -> None:
    """While an output row is drained, tokens go on up to the marker of the next one."""
    outputs = lanes[0][1]
    lanes = [(inputs, outputs, *others) for inputs, _, *others in lanes]
    pool, count = (None, outputs) if numbers is None else pool_of(outputs, numbers)
    needs = windows(pool, 0, count)
    axes = [axis(*geometry, windows=needs) for geometry in lanes]
    alive = [1]
    for frame in range(2):
        for q in range(count):
            number = frame * count + q
            oldest = 0
            if number:
                before, row = divmod(number - 1, count)
                oldest = before * outputs + needs[row][0]
            for geometry, own in zip(lanes, axes, strict=True):
                newest = [
                    frame * outputs + out
                    for i, _, out in reaches(*geometry)
                    if i <= own.done[q] and any(out in window for window in needs)
                ]
                alive += [max(newest) - oldest + 1] if newest else []
    assert ring_rows(axes, needs, outputs) == max(alive)


def test_a_3x3_row_of_six_with_padding() -> None:
    found = axis(inputs=6, outputs=6, kernel=3, stride=1, padding=1, dilation=1)
    # tap 0 of output o reads input o - 1, so input i reaches output i + 1 by tap 0
    inner = ((2, 0), (1, 1), (0, 2))
    assert found.classes == (((1, 1), (0, 2)), inner, ((2, 0), (1, 1)))
    assert found.class_of == (0, 1, 1, 1, 1, 2)
    assert found.origin == (-1, 0, 1, 2, 3, 4)
    assert found.done == (1, 2, 3, 4, 5, 5)
    assert found.completed() == [0, 1, 1, 1, 1, 2]
    assert ring_rows([found], windows(None, 0, 6), 6) == 4  # a drained row, and three in the making
    assert found.parts == ((1, 1, 3), (1, 0, 3), (1, 0, 2))


def test_stride_two_has_a_class_per_phase() -> None:
    found = axis(inputs=7, outputs=4, kernel=3, stride=2, padding=1, dilation=1)
    assert set(found.classes) == {((1, 0),), ((2, 0), (0, 1))}
    assert found.class_of == (0, 1, 0, 1, 0, 1, 0)


def test_an_input_that_no_output_reads() -> None:
    found = axis(inputs=5, outputs=2, kernel=1, stride=3, padding=0, dilation=1)
    assert [found.classes[kind] for kind in found.class_of] == [((0, 0),), (), (), ((0, 0),), ()]
    assert found.origin == (0, 0, 0, 1, 0)
    assert found.done == (0, 3)
