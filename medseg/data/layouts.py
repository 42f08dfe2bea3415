"""What a folder was taken for: the name of the layout, its rule, its cases and what else is known of them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from medseg.data.manifest import Case
from medseg.data.words import ENDINGS


@dataclass
class Layout:
    """What a folder was taken for, and by which rule."""

    name: str
    rule: str
    cases: list[Case] = field(default_factory=list)
    channels: list[str] = field(default_factory=list)
    labels: dict[str, int | tuple[int, ...]] = field(default_factory=dict)
    regions: dict[str, tuple[int, ...]] = field(default_factory=dict)
    relabel: dict[int, int] = field(default_factory=dict)
    ignored: tuple[int, ...] = ()
    notes: list[str] = field(default_factory=list)
    header: dict[str, str] = field(default_factory=dict)
    problem: str = ""


def files_below(root: Path) -> Iterator[Path]:
    """Every file below a folder, also behind links; a folder that is met twice is entered once."""
    entered: set[tuple[int, int]] = set()
    linked = [root]
    # Links last, so that a file keeps the path under which it lies.
    for start in linked:
        for folder, folders, names in os.walk(start):
            about = os.stat(folder)
            if (about.st_dev, about.st_ino) in entered:
                folders.clear()
                continue
            entered.add((about.st_dev, about.st_ino))
            linked += [Path(folder, name) for name in folders if os.path.islink(os.path.join(folder, name))]
            yield from (path for name in names if (path := Path(folder, name)).is_file())


def list_files(root: Path) -> list[str]:
    """Every file below a folder by name and number, forward slashes; hidden and a Mac's are left out."""
    found = (p.relative_to(root) for p in files_below(root))
    paths = [p.as_posix() for p in found if not any(part.startswith((".", "__MACOSX")) for part in p.parts)]
    return sorted(paths, key=_order)


def _order(path: str) -> list[tuple[int, int, str]]:
    words = re.split(r"(\d+)", path)
    return [(0, int(w), "") if w.isdecimal() else (1, 0, w) for w in words]


def images_of(paths: Iterable[str]) -> list[str]:
    """The files whose ending is an image's."""
    return [p for p in paths if p.lower().endswith(ENDINGS)]
