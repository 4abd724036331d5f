"""Several things at once: the search finds the same on one core and on several."""

import threading
from dataclasses import replace
from typing import Any

import pytest
from networks import wide

from jp_hw import boards
from jp_hw.schedule import exchange, parallel, schedule, search
from jp_hw.schedule.allocate import allocate, candidates, measured


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


def test_the_exchange_finds_the_same_on_any_number_of_cores_and_without_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What rounds remember of one another is what they would find."""
    network, board = wide(), boards.load("pynq-z2")
    board = board.model_copy(update={"budget": board.budget.model_copy(update={"bram18": 12})})

    class Nothing(dict[object, object]):
        """Forgets."""

        def __contains__(self, key: object) -> bool:
            return False

    found = []
    for cores, forgets in ((1, False), (3, False), (1, True)):
        monkeypatch.setattr(parallel, "CORES", cores)
        samples = measured(network)
        if forgets:
            samples = replace(samples, known=Nothing())
            own = exchange._Round.choices

            def choices(self: Any, *given: Any, own: Any = own) -> Any:
                self.needs = {}
                return own(self, *given)

            monkeypatch.setattr(exchange._Round, "choices", choices)
        start = allocate(candidates(network, samples, None), board)
        best = exchange.exchange(network, samples, board, None, start, search._costs)
        assert best is not start
        found.append([layer.channel_of.tolist() for layer in best.layers])
    assert found[0] == found[1] == found[2]
