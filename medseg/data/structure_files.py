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

from medseg.data.cases import Case
from medseg.data.content import LabelLike, some_of
from medseg.data.pairing import GUESS, Pairing, kind_rank, pair
from medseg.data.words import (
    CHANNELS,
    IMAGE_WORDS,
    LABEL_WORDS,
    SPLIT_WORDS,
    Part,
    stem_of,
    take_apart,
    words_of,
)

_MORE = {"structure", "structures", "oar", "oars", "organ", "organs"}
_WORDS = LABEL_WORDS | _MORE
_MEANING = _WORDS | IMAGE_WORDS | SPLIT_WORDS.keys()
_RATERS = re.compile(
    r"(rater|reader|observer|expert|annotator|radiologist|grader|obs|manual|style|ann|1st|2nd|3rd|ho|man)?_?\d*(st|nd|rd|ho)?",
    re.IGNORECASE,
)
_LISTED = re.compile(r"^(\d+|[a-z])[.)]\s*", re.IGNORECASE)
_MOST_WORDS = 128
Words = tuple[str, ...]


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
    index = _Index(made)
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
    drawn = [p for p in images if _says_label(take_apart(p, _WORDS))]
    others = sorted(set(images) - set(drawn))
    words = _words_of_masks(others, like)
    more = {p for p in others if words & {w.lower() for w in _all_words(p)}}
    rest = set(others) - more
    return [p for p in [*drawn, *sorted(more)] if kind_rank(p) < GUESS], [p for p in images if p in rest]


def _words_of_masks(paths: Sequence[str], like: LabelLike) -> set[str]:
    """Words whose files all hold label maps, where the files without any of them hold none."""
    having: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        for word in {w.lower() for w in _all_words(path)} - _MEANING - CHANNELS.keys():
            having[word].append(path)
    likely = [w for w, own in having.items() if 2 <= len(own) <= 0.8 * len(paths) and not w.isdecimal()]
    likely.sort(key=lambda w: -len(having[w]))
    found = {w for w in likely[:_MOST_WORDS] if all(like(p) for p in some_of(having[w], 3))}
    rest = [p for p in paths if not found & {w.lower() for w in _all_words(p)}]
    return found if rest and not any(like(p) for p in some_of(rest, 4)) else set()


def _says_label(part: Part) -> bool:
    return part.by_name == "label" or (part.by_folder == "label" and part.by_name != "image")


def _all_words(path: str) -> list[str]:
    return [w for name in (*PurePosixPath(path).parts[:-1], stem_of(path)) for w in words_of(name)]


def _common_folders(drawn: Sequence[str]) -> set[str]:
    """Names of folders that every label map lies in."""
    folders = [set(PurePosixPath(p).parts[:-1]) for p in drawn]
    return set.intersection(*folders)


class _Index:
    """Finds the case of a label map by its folder, or by the words of its name."""

    def __init__(self, made: Pairing) -> None:
        self.parts = [files[0] for files in made.files]
        owners: dict[str, set[int]] = defaultdict(set)
        words: dict[Words, set[int]] = defaultdict(set)
        for number, part in enumerate(self.parts):
            for folder in PurePosixPath(part.path).parents:
                owners[folder.as_posix()].add(number)
            for key in {part.rest, part.place + part.rest, _stem_words(part)} - {()}:
                words[key].add(number)
        self.folders = {k: next(iter(v)) for k, v in owners.items() if len(v) == 1 and k != "."}
        self.words = {k: next(iter(v)) for k, v in words.items() if len(v) == 1}
        self.split_words = {k: v for k, v in words.items() if len(v) > 1}

    def find(self, path: str) -> int | None:
        """The number of the case, or None where no name or several tell one."""
        for folder in PurePosixPath(path).parents:
            if folder.as_posix() in self.folders:
                return self.folders[folder.as_posix()]
        stem = tuple(w.lower() for w in words_of(stem_of(path)))
        bare = tuple(w for w in stem if w not in _MEANING)
        for words in (stem, bare):
            runs = [words[:n] for n in range(len(words), 0, -1)] + list(_runs(words))
            for run in runs:
                if (number := self._named(run, path)) is not None:
                    return number
        for name in reversed(PurePosixPath(path).parts[:-1]):
            own = tuple(w.lower() for w in words_of(name))
            if (number := self._named(own, path)) is not None:
                return number
        return 0 if len(self.parts) == 1 else None

    def _named(self, run: Words, path: str) -> int | None:
        if run in self.words:
            return self.words[run]
        # The same name in the training and in the test folder: the split decides.
        split = take_apart(path, _WORDS).split
        same = [n for n in self.split_words.get(run, ()) if split and self.parts[n].split == split]
        return same[0] if len(same) == 1 else None

    def structure(self, path: str, number: int, common: set[str]) -> str:
        """What is left of the label map's path once its case and what all share are taken away."""
        part = self.parts[number]
        own = set(PurePosixPath(part.path).parts[:-1])
        keys = sorted({_stem_words(part), part.place + part.rest, part.rest, part.place} - {()}, key=len)
        left: list[str] = []
        for name in PurePosixPath(path).parts[:-1]:
            if name in own or name in common:
                continue
            words = words_of(_LISTED.sub("", name))
            left += [] if tuple(w.lower() for w in words) in keys else _without_meaning(words)
        words = words_of(stem_of(path))
        for key in reversed(keys):
            cut = _without_run(words, key)
            if cut != words:
                words = cut
                break
        return "_".join([*left, *_without_meaning(words)])


def _stem_words(part: Part) -> Words:
    """The words of an image's name that tell neither what it is nor its channel."""
    name = part.name or ""
    return tuple(w.lower() for w in words_of(name) if w.lower() not in _MEANING)


def _runs(words: Words) -> list[Words]:
    """Every run of words with a number in it, longest first."""
    n = len(words)
    found = [words[i:j] for i in range(1, n) for j in range(i + 1, n + 1)]
    return sorted((r for r in found if re.search(r"\d", " ".join(r))), key=len, reverse=True)


def _without_run(words: list[str], run: Words) -> list[str]:
    """The words without the first place where the run stands; a lone number only where it leads."""
    low = [w.lower() for w in words]
    last = len(low) - len(run) if len(run) > 1 or not run[0].isdecimal() else 0
    for i in range(last + 1):
        if tuple(low[i : i + len(run)]) == run:
            return words[:i] + words[i + len(run) :]
    return words


def _without_meaning(words: Sequence[str]) -> list[str]:
    return [w for w in words if w.lower() not in _WORDS and w.lower() not in SPLIT_WORDS]


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
