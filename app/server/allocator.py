"""Allocator: a bound on glibc's memory arenas.

By default each thread gets an arena of its own, up to eight for each core, and free memory in one
is of no use to the others, so resident memory rises for hours (mallopt(3), M_ARENA_MAX).
"""

import ctypes
from collections.abc import Mapping

ARENAS = 2
_M_ARENA_MAX = -8  # malloc.h


def limit_arenas(environment: Mapping[str, str]) -> None:
    """Bound the number of arenas, unless MALLOC_ARENA_MAX does or the C library has none."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None and "MALLOC_ARENA_MAX" not in environment:
        mallopt(_M_ARENA_MAX, ARENAS)
