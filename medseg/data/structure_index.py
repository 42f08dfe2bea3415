"""Whose a label map of one structure is, and which structure, by the words of its path."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import PurePosixPath

from medseg.data.pairing import Pairing
from medseg.data.words import IMAGE_WORDS, LABEL_WORDS, SPLIT_WORDS, Part, stem_of, take_apart, words_of

_MORE = {"structure", "structures", "oar", "oars", "organ", "organs"}
WORDS = LABEL_WORDS | _MORE
MEANING = WORDS | IMAGE_WORDS | SPLIT_WORDS.keys()
_LISTED = re.compile(r"^(\d+|[a-z])[.)]\s*", re.IGNORECASE)
Words = tuple[str, ...]


class StructureIndex:
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
        bare = tuple(w for w in stem if w not in MEANING)
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
        split = take_apart(path, WORDS).split
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
    return tuple(w.lower() for w in words_of(name) if w.lower() not in MEANING)


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
    return [w for w in words if w.lower() not in WORDS and w.lower() not in SPLIT_WORDS]
