"""How the scheduler's inner loops are compiled; importing numba takes a second."""

from typing import Any

import numba

OPTIONS: dict[str, Any] = {"cache": True, "_nrt": False}
"""Without numba's reference counts, which took half of the time: nothing compiled makes an array."""
jit = numba.njit(**OPTIONS)
