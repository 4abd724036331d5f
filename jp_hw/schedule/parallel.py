"""Several things at once, on all cores: compiled code lets go of Python's lock (`compiled`)."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
MOST = 8
"""More is tried in vain too often, where the first success ends it."""
CORES = min(
    MOST, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
)
"""Those that are used."""


def each(work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """What work makes of every item, in their order."""
    if CORES == 1 or len(items) < 2:
        return [work(item) for item in items]
    with ThreadPoolExecutor(CORES) as pool:
        return list(pool.map(work, items))
