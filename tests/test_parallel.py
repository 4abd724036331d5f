"""Several things at once: the search finds the same on one core and on several."""

import threading

import pytest
from networks import wide

from jp_hw import boards
from jp_hw.schedule import parallel, schedule, search


def test_results_keep_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "CORES", 2)
    first, second = threading.Event(), threading.Event()

    def work(item: int) -> int:
        """The first item waits for the second: they do run at once."""
        if item == 1:
            assert second.wait(30)
            first.set()
        if item == 2:
            second.set()
        return 10 * item

    assert parallel.each(work, [1, 2, 3]) == [10, 20, 30]
    assert first.is_set()


def test_errors_arrive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "CORES", 2)
    with pytest.raises(ZeroDivisionError):
        parallel.each(lambda item: 1 // item, [1, 0])


def test_the_search_finds_the_same_on_any_number_of_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """With more room for what waits, which the exchange leaves no use for here."""
    monkeypatch.setattr(search, "exchange", lambda *given: given[4])
    board, found = boards.load("pynq-z2"), []
    for cores in (1, 3):
        monkeypatch.setattr(parallel, "CORES", cores)
        layers = schedule(wide(), board, pes=24).layers
        spread = [layer.channel_of.tolist() for layer in layers]
        room = [(layer.fifo_depth, layer.winner_depth, layer.slack) for layer in layers]
        found.append((spread, room))
    assert found[0] == found[1]
    assert len(set(found[0][1])) > 1
