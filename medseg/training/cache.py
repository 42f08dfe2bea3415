"""Prepared cases kept in memory or in mapped files: bounded, safe to read, never stale."""

from __future__ import annotations

import contextlib
import copy
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from medseg.hashes import file_hash
from medseg.training.fingerprint import fingerprint
from medseg.training.packing import pack, unpack

Case = dict[str, Any]
PARTIAL = ".part-"
STALE_S = 3600.0
"""An unfinished entry that is older than this belongs to no living process."""


class CaseCache:
    """Cases by what made them: the content of their files, the transforms' arguments and the versions.

    With a folder, a case is a folder of ``.npy`` files (never pickle) and a ``case.json``, mapped into memory
    copy-on-write when it is read: nothing is loaded but what is looked at, processes share the pages, and a
    transform that changes its input in place changes nobody else's. An entry is written under another name
    and renamed. Where the limit is reached, the entries that were used longest ago, and not by this run, go.

    Args:
        folder: where entries are kept between runs; None keeps cases in this process's memory.
        limit_bytes: the most that all entries may take; what doesn't fit is made anew each time.
        recipe: whatever else decides what a case becomes; its fingerprint is part of every key.
    """

    def __init__(self, folder: str | os.PathLike[str] | None, *, limit_bytes: int, recipe: Any) -> None:
        self.folder = None if folder is None else Path(folder)
        self.limit_bytes = limit_bytes
        self._memory: dict[int, Case] = {}
        self._memory_bytes = 0
        self._keys: dict[int, str] = {}
        self._is_full = False
        self._recipe = fingerprint(recipe) if self.folder is not None else ""

    def get(self, row: Mapping[str, Any], make: Callable[[], Case], *, shared: bool = False) -> Case:
        """The case of `row`, by `make` if it isn't known yet; the caller may change it in place.

        With `shared` the caller promises not to, and spares a copy of what lies in memory.
        """
        name = id(row)  # the rows of a data set live as long as it does
        if self.folder is not None:
            return self._from_files(name, row, make)
        if name not in self._memory:
            case = make()
            size = _size(case)
            if self._memory_bytes + size > self.limit_bytes:
                self._tell_full()
                return case
            self._memory[name] = case
            self._memory_bytes += size
        case = self._memory[name]
        return dict(case) if shared else copy.deepcopy(case)

    def _from_files(self, name: int, row: Mapping[str, Any], make: Callable[[], Case]) -> Case:
        assert self.folder is not None
        if name not in self._keys:
            self._keys[name] = self._key(row)
        entry = self.folder / self._keys[name]
        case = unpack(entry)
        if case is None:
            case = make()
            self._store(entry, case)
        return case

    def _key(self, row: Mapping[str, Any]) -> str:
        """Files count with their content, everything else with its value."""
        parts: list[Any] = [self._recipe]
        for field, value in sorted(row.items()):
            values = value if isinstance(value, (list, tuple)) else [value]
            parts.append(field)
            for item in values:
                is_file = isinstance(item, (str, Path)) and Path(item).is_file()
                parts.append((item, file_hash(Path(item)) if is_file else ""))
        return fingerprint(parts)[:40]

    def _store(self, entry: Path, case: Case) -> None:
        assert self.folder is not None
        self.folder.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=PARTIAL, dir=self.folder))
        try:
            if not self._make_room(_size(case)):
                self._tell_full()
                return
            pack(case, partial)
            # With what describes it, an entry is larger than its voxels.
            if not self._make_room(_bytes_in(partial)):
                self._tell_full()
                return
            shutil.rmtree(entry, ignore_errors=True)  # a damaged one
            with contextlib.suppress(OSError):  # another process was faster: its entry is the same
                partial.rename(entry)
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def _make_room(self, n_bytes: int) -> bool:
        assert self.folder is not None
        ours = set(self._keys.values())
        entries = []
        for entry in list(self.folder.iterdir()):
            if not entry.name.startswith(PARTIAL):
                entries.append(entry)
            elif time.time() - entry.stat().st_mtime > STALE_S:  # its process was killed
                shutil.rmtree(entry, ignore_errors=True)
        sizes = {e: _bytes_in(e) for e in entries}
        total = sum(sizes.values()) + n_bytes
        others = (e for e in entries if e.name not in ours)
        for entry in sorted(others, key=_used):
            if total <= self.limit_bytes:
                break
            shutil.rmtree(entry, ignore_errors=True)
            total -= sizes[entry]
        return total <= self.limit_bytes

    def _tell_full(self) -> None:
        if not self._is_full:
            self._is_full = True
            sys.stderr.write(
                f"training  the cache is full at {self.limit_bytes / 1e9:g} GB: the other cases are prepared "
                "anew at each visit; raise cache_gb or give cache_dir\n"
            )


def _used(entry: Path) -> float:
    """When an entry was last used; a damaged one never was."""
    case = entry / "case.json"
    return case.stat().st_mtime if case.is_file() else 0.0


def _bytes_in(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir())


def _size(case: Mapping[str, Any]) -> int:
    return sum(v.numel() * v.element_size() for v in case.values() if isinstance(v, torch.Tensor))
