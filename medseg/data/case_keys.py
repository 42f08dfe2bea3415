"""Whose a file is, and whether it is a label map: several ways to read that from its name."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

from medseg.data.words import Part, stem_of, take_apart

Key = tuple[str, ...]


class Marked(NamedTuple):
    """A file with what one way of reading makes of it."""

    part: Part
    is_label: bool
    split: str
    key: Key
    channel: str


def is_indexed(paths: Sequence[str]) -> bool:
    """True where names end in nnU-Net's channel numbers: the labels lack them, or all are low and shared."""
    parts = [take_apart(p) for p in paths]
    labels = {stem_of(p.path) for p in parts if says_label(p)}
    images = [stem_of(p.path) for p in parts if not says_label(p)]
    numbers = [re.fullmatch(r"(.+)_(\d{4})", s) for s in images]
    if not images or not all(numbers):
        return False
    if labels:
        return sum(m[1] in labels for m in numbers if m) > 0 and not any(s in labels for s in images)
    return all(int(m[2]) < 10 for m in numbers if m) and any(m[2] == "0000" for m in numbers if m)


def is_label(path: str) -> bool:
    """True where a path says label map."""
    return says_label(take_apart(path))


def says_label(part: Part) -> bool:
    """True where the name, or the folder without a contrary name, says label map."""
    return part.by_name == "label" or (part.by_folder == "label" and part.by_name != "image")


def _folder_first(part: Part) -> bool:
    return (part.by_folder or part.by_name) == "label"


def _ending(part: Part) -> bool:
    return part.ending in (".png", ".gif", ".bmp")


Role = Callable[[Part], bool]


def _by_place(parts: Sequence[Part], role: Role) -> list[Marked]:
    return [Marked(p, role(p), p.split, p.place + p.rest, p.channel) for p in parts]


def _by_name(parts: Sequence[Part], role: Role) -> list[Marked]:
    return [Marked(p, role(p), p.split, p.rest or p.place[-1:], p.channel) for p in parts]


def _by_folder(parts: Sequence[Part], role: Role) -> list[Marked]:
    """One folder, one case: what else the image's name says is its channel."""
    n_images = Counter(p.place for p in parts if not role(p))
    marked = []
    for p in parts:
        # Where no folder tells anything, all files would be one case.
        key = p.place or p.rest
        channel = _in_words(p) if n_images[p.place] > 1 and p.place else p.channel
        marked.append(Marked(p, role(p), p.split, key, channel))
    return marked


def _in_words(part: Part) -> str:
    return " ".join([part.channel] * bool(part.channel) + list(part.rest))


def _by_prefix(parts: Sequence[Part], role: Role) -> list[Marked]:
    """An image's name begins with its label map's: what follows is the channel."""
    known = {p.place + p.rest for p in parts if role(p)}
    marked = []
    for p in parts:
        full = p.place + p.rest
        fit = next((full[:n] for n in range(len(full), 0, -1) if full[:n] in known), full)
        marked.append(Marked(p, role(p), p.split, fit, p.channel or " ".join(full[len(fit) :])))
    n_images = Counter(m.key for m in marked if not m.is_label)
    return [m if n_images[m.key] > 1 else m._replace(channel=m.part.channel) for m in marked]


def _by_numbers(parts: Sequence[Part], role: Role) -> list[Marked]:
    return [Marked(p, role(p), p.split, _numbers(p) or p.rest or p.place, p.channel) for p in parts]


def _by_first_number(parts: Sequence[Part], role: Role) -> list[Marked]:
    return [Marked(p, role(p), p.split, _numbers(p)[:1] or p.rest or p.place, p.channel) for p in parts]


def _numbers(part: Part) -> Key:
    words = " ".join(part.rest) or stem_of(part.path)
    return tuple(d.lstrip("0") or "0" for d in re.findall(r"\d+", words))


def _by_folder_numbers(parts: Sequence[Part], role: Role) -> list[Marked]:
    """Two trees below each numbered folder, with the same names in all of them."""
    marked = []
    for p in parts:
        numbers = tuple(w for w in p.place if w.isdecimal())
        marked.append(Marked(p, role(p), p.split, numbers + (p.rest or p.place), p.channel))
    return marked


def _by_exact_folder(parts: Sequence[Part], role: Role) -> list[Marked]:
    """As `_by_folder`, where the folders' names differ in their signs alone (``a b``, ``a_b``)."""
    folders = [PurePosixPath(p.path).parts[:-1] for p in parts]
    n_images = Counter(f for f, p in zip(folders, parts, strict=True) if not role(p))
    return [
        Marked(p, role(p), p.split, f or p.rest, _in_words(p) if n_images[f] > 1 else p.channel)
        for f, p in zip(folders, parts, strict=True)
    ]


_WAYS = (
    *(_by_place, _by_name, _by_folder, _by_prefix, _by_numbers, _by_first_number),
    *(_by_folder_numbers, _by_exact_folder),
)


def all_ways(parts: Sequence[Part]) -> list[list[Marked]]:
    """The files as each way marks them, the plainest first."""
    ways = [way(parts, role) for role in (says_label, _folder_first) for way in _WAYS]
    return [*ways, _by_place(parts, _ending)]
