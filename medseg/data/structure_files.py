"""Folders with a label map for every structure: which file is which structure of which case, by the names.

TotalSegmentator's ``s0001/segmentations/liver.nii.gz``, Montgomery's ``leftMask/MCUCXR_0001_0.png``,
HaN-Seg's ``case_01_OAR_Bone_Mandible.seg.nrrd`` and their like. What is left of a label map's path without
the words that name its case, and without those that all of them share, is the structure.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from medseg.data.case_keys import says_label
from medseg.data.cases import Case
from medseg.data.content import LabelLike, some_of
from medseg.data.pairing import GUESS, kind_rank, pair
from medseg.data.structure_index import MEANING, WORDS, StructureIndex
from medseg.data.words import CHANNELS, stem_of, take_apart, words_of

_RATERS = re.compile(
    r"(rater|reader|observer|expert|annotator|radiologist|grader|obs|manual|style|ann|1st|2nd|3rd|ho|man)?_?\d*(st|nd|rd|ho)?",
    re.IGNORECASE,
)
_MOST_WORDS = 128


@dataclass
class Structures:
    """Cases whose structures lie in files of their own.

    Attributes:
        cases: image files, patients and splits; no label map.
        files: case to structure to its label map.
        channels: names, where the files tell them.
        lost: label maps that fit no case, or a case twice.
    """

    cases: list[Case] = field(default_factory=list)
    files: dict[str, dict[str, str]] = field(default_factory=dict)
    channels: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """Every structure, by number and name."""
        found = {name for files in self.files.values() for name in files}
        return sorted(found, key=_order)


def structure_files(images: Sequence[str], like: LabelLike) -> Structures | None:
    """The structures of each case; None where the names don't tell several structures of most cases."""
    drawn, scans = _roles(images, like)
    if not drawn or not scans:
        return None
    made = pair(scans)
    found = Structures(made.cases, {c.case: {} for c in made.cases}, made.channels)
    index = StructureIndex(made)
    common = _common_folders(drawn)
    for path in drawn:
        number = index.find(path)
        name = index.structure(path, number, common) if number is not None else ""
        own = found.files[made.cases[number].case] if number is not None else {}
        if not name or name.lower() in {n.lower() for n in own}:
            found.lost.append(path)
        else:
            own[name] = path
    if not _is_sound(found):
        return None
    told = [files[0].split for files in made.files]
    found.cases = [
        replace(case, split=split or "training")
        for case, split in zip(found.cases, told, strict=True)
        if found.files[case.case] or split == "test"
    ]
    found.channels = [] if any(name.isdecimal() for name in found.channels) else found.channels
    return found


def are_raters(names: Sequence[str]) -> bool:
    """True where these "structures" are the same thing drawn by several people, or by number alone."""
    return len(names) > 1 and all(_RATERS.fullmatch(name) for name in names)


def _roles(images: Sequence[str], like: LabelLike) -> tuple[list[str], list[str]]:
    """The label maps by their names, or by what they hold, and the other files."""
    drawn = [p for p in images if says_label(take_apart(p, WORDS))]
    others = sorted(set(images) - set(drawn))
    words = _words_of_masks(others, like)
    more = {p for p in others if words & {w.lower() for w in _all_words(p)}}
    rest = set(others) - more
    return [p for p in [*drawn, *sorted(more)] if kind_rank(p) < GUESS], [p for p in images if p in rest]


def _words_of_masks(paths: Sequence[str], like: LabelLike) -> set[str]:
    """Words whose files all hold label maps, where the files without any of them hold none."""
    having: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        for word in {w.lower() for w in _all_words(path)} - MEANING - CHANNELS.keys():
            having[word].append(path)
    likely = [w for w, own in having.items() if 2 <= len(own) <= 0.8 * len(paths) and not w.isdecimal()]
    likely.sort(key=lambda w: -len(having[w]))
    found = {w for w in likely[:_MOST_WORDS] if all(like(p) for p in some_of(having[w], 3))}
    rest = [p for p in paths if not found & {w.lower() for w in _all_words(p)}]
    return found if rest and not any(like(p) for p in some_of(rest, 4)) else set()


def _all_words(path: str) -> list[str]:
    return [w for name in (*PurePosixPath(path).parts[:-1], stem_of(path)) for w in words_of(name)]


def _common_folders(drawn: Sequence[str]) -> set[str]:
    """Names of folders that every label map lies in."""
    folders = [set(PurePosixPath(p).parts[:-1]) for p in drawn]
    return set.intersection(*folders)


def _order(name: str) -> list[tuple[int, str]]:
    words = [w for w in re.split(r"(\d+)|_", name) if w]
    return [(int(w), "") if w.isdecimal() else (-1, w.lower()) for w in words]


def _is_sound(found: Structures) -> bool:
    """True where most cases have several structures, the same ones recur, and hardly a file is left over."""
    counts = Counter(name for files in found.files.values() for name in files)
    several = sum(len(files) > 1 for files in found.files.values())
    labelled = sum(len(files) > 0 for files in found.files.values())
    n_files = sum(counts.values())
    if not n_files or 2 * several < labelled or 4 * len(found.lost) > n_files:
        return False
    return labelled == 1 or 2 * len(counts) <= n_files


def of_most(files: Mapping[str, Mapping[str, str]]) -> str:
    """The first case with the most structures, as an example for a message."""
    case = max(files, key=lambda name: len(files[name]))
    return f"{len(files[case])} label maps for {case} ({', '.join(list(files[case].values())[:3])})"
