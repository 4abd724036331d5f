"""How the scheduler's inner loops are compiled; importing numba takes a second.

Compiled code is kept in `__pycache__` until its own file changes: who changes a constant that it
imports, or the options here, must delete `*.nbi` there.
"""

from typing import Any

import numba

OPTIONS: dict[str, Any] = {"cache": True, "nogil": True, "_nrt": False}
"""Threads can run it side by side (`parallel`). Without numba's reference counts, which took half of the
time: nothing compiled makes an array."""
jit = numba.njit(**OPTIONS)
inlined = numba.njit(inline="always", **OPTIONS)
"""For what is called in every cycle: arrays as arguments took a third of the time."""
