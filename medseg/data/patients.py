"""What to call a case and whose scan it is, as far as the names of its files tell."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath

from medseg.data.words import IMAGE_WORDS, LABEL_WORDS, Part, stem_of, without_visit, words_of

_SIGNS = r"_\-.,+\s"
_KNOWN = (
    r"(sub-[A-Za-z0-9]+)",  # BIDS: subject, then session and run
    r"(patient\d+)_",  # ACDC, CAMUS: phases and views of one heart
    r"(BraTS-[A-Za-z]+-\d+)-\d+",  # BraTS 2023: the last number is the time point
)


def patient_of(case: str) -> str:
    """Whose scan it is, where the naming of a known collection tells; else the case's own name."""
    found = (re.match(pattern, case) for pattern in _KNOWN)
    return next((m[1] for m in found if m), case)


def names_of(cases: Sequence[Sequence[Part]]) -> list[str]:
    """A unique name for each case: what its files' names share, behind their folders where needed."""
    ways = [[way(files) for files in cases] for way in (_shared, _left, _bare)]
    ways.append(_with_folders(cases))
    best = next((names for names in ways if all(names) and len(set(names)) == len(names)), ways[-1])
    taken: set[str] = set()
    return [_unique(name or stem_of(files[0].path), taken) for name, files in zip(best, cases, strict=True)]


def patients_of(cases: Sequence[Sequence[Part]], names: Sequence[str]) -> list[str]:
    """A patient for each case: by a known collection's names, without words for a visit, or by folder.

    A folder is a patient's where the files of several cases in it begin with its name, a number in it.
    """
    known = [patient_of(name) for name in names]
    words = [f[0].place + f[0].rest for f in cases]
    visits = [without_visit(w) for w in words]
    folders = Counter(_leaf(f) for f in cases)
    found = []
    for name, who, files, every, fewer in zip(names, known, cases, words, visits, strict=True):
        leaf = _leaf(files)
        owner = PurePosixPath(leaf).name.lower()
        if who != name:
            found.append(who)
        elif fewer and fewer != every and len(set(visits)) > 1:
            found.append("_".join(fewer))
        elif (
            folders[leaf] > 1 and re.search(r"\d", owner) and stem_of(files[0].path).lower().startswith(owner)
        ):
            found.append(PurePosixPath(leaf).name)
        else:
            found.append(name)
    return found


def _leaf(files: Sequence[Part]) -> str:
    parent = PurePosixPath(files[0].path).parent
    return "" if not files[0].place or str(parent) == "." else parent.as_posix()


def _stem(part: Part) -> str:
    stem = stem_of(part.path)
    return stem[:-5] if part.channel.isdecimal() and stem.endswith(f"_{part.channel}") else stem


def _shared(files: Sequence[Part]) -> str:
    """The words with which the names of all files of a case begin."""
    stems = [_stem(f) for f in files]
    if len(stems) == 1 or stems[0].startswith("VSD.Brain"):
        return "" if stems[0].startswith("VSD.Brain") else stems[0] if files[0].rest else ""
    tokens = [re.findall(rf"[{_SIGNS}]+|[^{_SIGNS}]+", s) for s in stems]
    n = 0
    while all(len(t) > n and t[n] == tokens[0][n] for t in tokens):
        n += 1
    shared = "".join(tokens[0][:n]).rstrip("_-.,+ ")
    place = files[0].place
    is_folder = bool(place) and [w.lower() for w in words_of(shared)][-1:] == [place[-1]]
    return shared if re.search(r"\w", shared) and (files[0].rest or not place or is_folder) else ""


def _left(files: Sequence[Part]) -> str:
    return min((f.name for f in files if f.name and f.rest), key=len, default="")


def _bare(files: Sequence[Part]) -> str:
    """The name without words for image and label, also where the folder says the same number (LiTS)."""
    return "_".join(w for w in words_of(_stem(files[0])) if w.lower() not in LABEL_WORDS | IMAGE_WORDS)


def _with_folders(cases: Sequence[Sequence[Part]]) -> list[str]:
    """The folders that say something, and what the file's name adds, without what is the same for all."""
    owns = [_shared(files) or _left(files) for files in cases]
    places = [_folders(files) for files in cases]
    if len(cases) > 1:
        owns = ["" if len(set(owns)) == 1 else own for own in owns]
        while all(len(p) > 1 and p[0] == places[0][0] for p in places):
            places = [p[1:] for p in places]
    names = []
    for own, folders in zip(owns, places, strict=True):
        repeats = bool(folders) and own.lower().startswith(folders[-1].lower())
        names.append("_".join([*(folders[:-1] if repeats else folders), *([own] if own else [])]))
    return names


def _folders(files: Sequence[Part]) -> list[str]:
    place = set(files[0].place)
    above = PurePosixPath(files[0].path).parts[:-1]
    return [f for f in above if any(w.lower() in place for w in words_of(f))]


def _unique(name: str, taken: set[str]) -> str:
    wish, number = name, 2
    while wish in taken:
        wish, number = f"{name}_{number}", number + 1
    taken.add(wish)
    return wish
