"""ITK's habit of changing the process's locale, undone."""

from __future__ import annotations

import locale
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def locale_kept() -> Iterator[None]:
    """The locale after the block is that before it.

    SimpleITK 2.5 leaves the process in the C locale once it has read a VTK file; then names and texts
    beyond ASCII can no longer be opened. Also a decorator.
    """
    before = locale.setlocale(locale.LC_ALL)
    try:
        yield
    finally:
        locale.setlocale(locale.LC_ALL, before)
