"""Memory that a network frees after one window, kept for the next."""

from __future__ import annotations

import ctypes
import platform
from functools import cache
from typing import Any

# glibc's names for them, of mallopt(3); no header is needed to call it.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
KEPT_BYTES = 1 << 30
# A map of 32 channels in a window of 128x128x128 voxels is smaller. Larger ones are given back at once: glibc
# finds no place for a block where an equal one was (its remainder lies in a cache), so that of maps of 371 MB
# (105 classes, 96x96x96) six were held where three were in use.
LARGEST_BYTES = 320 << 20


@cache
def _libc() -> Any:
    return ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None


def keep_freed_memory() -> bool:
    """Let this process reuse up to 1 GiB of the blocks it frees; False where the C library can't be told.

    Torch asks for each result anew. glibc returns blocks of 32 MB and more to the system at once, which
    fills the next one with zeros page by page: with 14 classes in windows of 96x96x96 voxels half of the
    network's CPU time. The highest use of memory stays about the same, the use in between does not go down.
    """
    libc = _libc()
    return bool(
        libc is not None
        and libc.mallopt(M_MMAP_THRESHOLD, LARGEST_BYTES)
        and libc.mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
    )


def return_freed_memory() -> None:
    """Give back to the system what is free now, so that what the process holds is what it uses."""
    libc = _libc()
    if libc is not None:
        libc.malloc_trim(0)
