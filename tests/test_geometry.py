"""Classes of rows and columns, against a list of which input reaches which output by which tap."""

from hypothesis import given, settings
from hypothesis import strategies as st

from jp_hw.schedule.geometry import Axis, axis

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
    geometry: tuple[int, int, int, int, int, int],
) -> None:
    found = axis(*geometry)
    exact = reaches(*geometry)
    assert decoded(found) == exact
    assert len(found.class_of) == len(found.origin) == geometry[0]
    assert sorted(set(found.class_of)) == list(range(len(found.classes)))
    assert len(set(found.classes)) == len(found.classes)
    assert all(reach >= 0 for taps in found.classes for _, reach in taps)


@settings(max_examples=300, derandomize=True, deadline=None)
@given(geometries)
def test_outputs_are_done_when_nothing_reaches_them_any_more(
    geometry: tuple[int, int, int, int, int, int],
) -> None:
    found = axis(*geometry)
    exact = reaches(*geometry)
    inputs, outputs = geometry[:2]
    last = [max([i for i, _, out in exact if out == o], default=0) for o in range(outputs)]
    assert list(found.done) == [max(last[: o + 1]) for o in range(outputs)]
    assert found.completed() == [found.done.count(i) for i in range(inputs)]
    assert sum(found.completed()) == outputs


@settings(max_examples=300, derandomize=True, deadline=None)
@given(geometries)
def test_span_is_the_most_rows_alive_at_once(
    geometry: tuple[int, int, int, int, int, int],
) -> None:
    found = axis(*geometry)
    exact = reaches(*geometry)
    inputs, outputs = geometry[:2]
    spans = [1]
    for i in range(inputs):
        oldest = sum(found.completed()[:i])
        newest = max((out for at, _, out in exact if at == i), default=oldest)
        spans.append(newest - oldest + 1)
    assert found.span() == max(spans)
    assert found.span() <= max(1, outputs)


def test_a_3x3_row_of_six_with_padding() -> None:
    found = axis(inputs=6, outputs=6, kernel=3, stride=1, padding=1, dilation=1)
    # tap 0 of output o reads input o - 1, so input i reaches output i + 1 by tap 0
    inner = ((0, 2), (1, 1), (2, 0))
    assert found.classes == (((0, 1), (1, 0)), inner, ((1, 1), (2, 0)))
    assert found.class_of == (0, 1, 1, 1, 1, 2)
    assert found.origin == (0, 0, 1, 2, 3, 4)
    assert found.done == (1, 2, 3, 4, 5, 5)
    assert found.completed() == [0, 1, 1, 1, 1, 2]
    assert found.span() == 3


def test_stride_two_has_a_class_per_phase() -> None:
    found = axis(inputs=7, outputs=4, kernel=3, stride=2, padding=1, dilation=1)
    assert set(found.classes) == {((1, 0),), ((0, 1), (2, 0))}
    assert found.class_of == (0, 1, 0, 1, 0, 1, 0)
    assert found.span() == 2


def test_an_input_that_no_output_reads() -> None:
    found = axis(inputs=5, outputs=2, kernel=1, stride=3, padding=0, dilation=1)
    assert [found.classes[kind] for kind in found.class_of] == [((0, 0),), (), (), ((0, 0),), ()]
    assert found.origin == (0, 0, 0, 1, 0)
    assert found.done == (0, 3)
