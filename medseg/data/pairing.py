"""Which image belongs to which label map: several ways to read the names, and the best of them.

Each way says what a file is (role) and whose it is (key). A way that gives a case two files of one channel,
or two label maps, loses; of equals, the way that leaves fewer images over wins, and then the plainer one.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from medseg.data.case_keys import Key, Marked, all_ways, is_indexed, says_label
from medseg.data.format_copies import without_copies
from medseg.data.manifest import Case
from medseg.data.patients import names_of, patients_of
from medseg.data.words import CHANNEL_ORDER, LABEL_WORDS, Part, stem_of, take_apart, words_of


@dataclass
class Pairing:
    """Cases from names, what had to be said of them, and the problem where they cannot be trusted."""

    cases: list[Case] = field(default_factory=list)
    channels: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    files: list[list[Part]] = field(default_factory=list)
    problem: str = ""


def pair(paths: Sequence[str], more_label_words: Collection[str] = ()) -> Pairing:
    """Cases, channel names and notes for these files, by whichever way of reading pairs the most of them."""
    words = LABEL_WORDS | set(more_label_words)
    single, notes = without_copies(paths)
    indexed = is_indexed(single)
    parts = _taken_apart(single, words, indexed)
    ways = all_ways(parts)
    labels = [p.path for p in parts if says_label(p)]
    if labels:
        ways = [way for way in ways if any(m.is_label for m in way)]
    best = max(ways, key=_score)
    made = _cases(best)
    made.notes = notes + made.notes
    if labels and not any(c.label for c in made.cases):
        made.problem = _why_none(ways, labels)
    return made


def _taken_apart(paths: Sequence[str], words: Collection[str], indexed: bool) -> list[Part]:
    """The files in their parts; a folder above all of them (``Dataset_with_GT/``) makes no label maps."""
    parts = [take_apart(p, words, indexed) for p in paths]
    above = os.path.commonpath([PurePosixPath(p).parent for p in paths]) if paths else ""
    if not above or not all(says_label(p) for p in parts):
        return parts
    below = [take_apart(p[len(above) + 1 :], words, indexed) for p in paths]
    if len({says_label(p) for p in below}) < 2:
        return parts
    return [replace(p, path=path) for p, path in zip(below, paths, strict=True)]


_GUESSES = {"pred", "preds", "prediction", "predictions", "prob", "probseg", "superpixels", "fov"}
_GUESSES |= {"instance", "instances"}
_DRAWN = LABEL_WORDS - {"mask", "masks", "msk", "msks", "roi", "rois"}
GUESS = 2
Place = tuple[str, Key]
Groups = tuple[dict[Place, list[Marked]], dict[Place, list[Marked]]]


def _grouped(marked: Sequence[Marked]) -> Groups:
    """Images and label maps by split and key; the split counts where both of them tell it."""
    images: dict[Place, list[Marked]] = defaultdict(list)
    labels: dict[Place, list[Marked]] = defaultdict(list)
    told = [{m.split for m in marked if m.is_label is kind} - {""} for kind in (False, True)]
    for m in marked:
        split = m.split if all(told) or not any(m.is_label for m in marked) else ""
        (labels if m.is_label else images)[split, m.key].append(m)
    return dict(images), dict(labels)


def _score(marked: Sequence[Marked]) -> tuple[int, int]:
    """How many cases a way makes, and how many images it leaves over; a double file costs two cases."""
    images, labels = _grouped(marked)
    clash = sum(len(_best(group)) - 1 for key, group in labels.items() if key in images)
    for group in images.values():
        channels = Counter(m.channel for m in group)
        clash += sum(n - 1 for n in channels.values()) + (len(channels) > 1 and "" in channels)
    over = sum(1 for place in images if place not in labels and place[0] != "test") if labels else 0
    return len(images.keys() & labels.keys()) - 2 * clash, -over


def _best(labels: Sequence[Marked]) -> list[Marked]:
    """The label maps of the best kind among these of one case, by name."""
    rank = min(kind_rank(m.part.path) for m in labels)
    return sorted((m for m in labels if kind_rank(m.part.path) == rank), key=lambda m: m.part.path)


def kind_rank(path: str) -> int:
    """A segmentation with structures before a mask, which may be a field of view, and both before a guess."""
    words = {w.lower() for w in words_of(stem_of(path))}
    if words & _GUESSES or {"brain", "mask"} <= words:
        return GUESS
    return 0 if words & _DRAWN else 1


def _other_kind(images: Mapping[Place, object], labels: dict[Place, list[Marked]]) -> list[str]:
    """Take away label maps of a worse kind than a fifth of the cases have (a test set's field of view)."""
    ranks = {
        place: kind_rank(_best(group)[0].part.path) for place, group in labels.items() if place in images
    }
    common = [rank for rank, n in Counter(ranks.values()).items() if 5 * n >= len(ranks)]
    worse = [place for place, rank in ranks.items() if rank > min(common, default=9)]
    return [m.part.path for place in worse for m in labels.pop(place)]


def _cases(marked: Sequence[Marked]) -> Pairing:
    images, labels = _grouped(marked)
    made = Pairing()
    left: dict[str, list[str]] = defaultdict(list)
    left["lesser"] += _other_kind(images, labels)
    _strays(images, labels, made.notes)
    usual = _usual(images, labels)
    made.channels = [c for c in usual if c and not (c.isdecimal() and len(usual) == 1)]
    found: list[tuple[str, list[Part], str | None]] = []
    for place, group in images.items():
        drawn = _best(labels[place]) if place in labels else []
        split = next((m.split for m in [*group, *drawn] if m.split), "")
        parts = [m.part for m in _ordered(group)]
        if not drawn and labels and split != "test":
            left["unlabelled"].append(parts[0].path)
        elif not _fits(group, usual):
            own = ", ".join(m.channel or "no name" for m in _ordered(group))
            left["odd"].append(f"{parts[0].path} ({own})")
        else:
            left["lesser"] += [m.part.path for m in labels.get(place, []) if m not in drawn]
            left["several"] += [drawn[0].part.path] if len(drawn) > 1 else []
            found.append((split, parts, drawn[0].part.path if drawn else None))
            made.files.append(parts + [m.part for m in drawn[:1]])
    made.cases = _named(found, made.files)
    left["lonely"] += [m.part.path for k, group in labels.items() if k not in images for m in group]
    _say(made, usual, left)
    return made


def _named(
    found: Sequence[tuple[str, list[Part], str | None]], files: Sequence[Sequence[Part]]
) -> list[Case]:
    names = names_of(files)
    patients = patients_of(files, names)
    return [
        Case(name, who, tuple(p.path for p in parts), label, split=split or ("training" if label else "test"))
        for name, who, (split, parts, label) in zip(names, patients, found, strict=True)
    ]


def _ordered(group: Sequence[Marked]) -> list[Marked]:
    return sorted(group, key=lambda m: (CHANNEL_ORDER.get(m.channel, 99), m.channel, m.part.path))


def _usual(images: Mapping[Place, list[Marked]], labels: Mapping[Place, list[Marked]]) -> tuple[str, ...]:
    """The channels that most cases have; no names where each has one file and they are named differently."""
    groups = [g for place, g in images.items() if place in labels or not labels]
    kinds = Counter(tuple(m.channel for m in _ordered(g)) for g in groups)
    if not kinds:
        return ("",)
    singles = [kind for kind in kinds if len(kind) == 1]
    if len(singles) > 1 and sum(kinds[k] for k in singles) * 2 > sum(kinds.values()):
        return ("",)
    return kinds.most_common(1)[0][0]


def _fits(group: Sequence[Marked], usual: tuple[str, ...]) -> bool:
    own = tuple(m.channel for m in _ordered(group))
    return own == usual or len(own) == len(usual) == 1


def _strays(
    images: Mapping[Place, list[Marked]], labels: dict[Place, list[Marked]], notes: list[str]
) -> None:
    """A label map that is alone with one image in a folder is that image's, whatever it is called."""
    alone: dict[PurePosixPath, tuple[list[Place], list[Place]]] = defaultdict(lambda: ([], []))
    for number, groups in enumerate((images, labels)):
        for place, group in groups.items():
            alone[PurePosixPath(group[0].part.path).parent][number].append(place)
    for ours, drawn in alone.values():
        if len(ours) == len(drawn) == 1 and ours[0] not in labels and drawn[0] not in images:
            labels[ours[0]] = labels.pop(drawn[0])
            path = labels[ours[0]][0].part.path
            notes.append(f"{path} taken as the label map of the only image in its folder")


def _say(made: Pairing, usual: tuple[str, ...], left: Mapping[str, list[str]]) -> None:
    """Tell all that is left out, and the problem where cases have more label maps than one."""
    names = ", ".join(c or "no name" for c in usual)
    texts = {
        "unlabelled": "images without a label map left out",
        "odd": f"cases without the usual channels ({names}) left out",
        "several": "cases have several label maps; the first by name was taken",
        "lesser": "label maps of another kind left out",
        "lonely": "label maps without an image left out",
    }
    made.notes += [f"{len(left[k])} {text}, first {left[k][0]}" for k, text in texts.items() if left[k]]
    odd = left["odd"]
    if len(odd) > len(made.cases):
        made.problem = f"cases with different channels: {odd[0]} and {', '.join(usual) or 'one image'}"


def _why_none(ways: Sequence[Sequence[Marked]], paths: Sequence[str]) -> str:
    """Why label maps are there and none has an image: most often there is one for each structure."""
    for marked in ways:
        images, labels = _grouped(marked)
        groups = [_best(labels[place]) for place in images if place in labels]
        if groups and max(map(len, groups)) > 1:
            group = max(groups, key=len)
            names = ", ".join(m.part.path for m in group[:3])
            return f"{len(group)} label maps for one image ({names})"
    return f"{len(paths)} label maps and no image with a name like theirs, first {paths[0]}"
