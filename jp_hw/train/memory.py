"""What a training step frees is kept for the next one."""

import ctypes

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""Parameters of mallopt(3)."""


def keep_freed() -> None:
    """Tell the C library to keep freed memory, where it can be told (glibc).

    A step's maps are tens of megabytes each. By default every one is mapped anew from the system,
    which clears its pages first.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, -1)
