"""BIDS: images and label maps are matched by their entities (``sub-01_ses-1_run-2_T1w``), not by their words.

Source: the Brain Imaging Data Structure 1.10, "Imaging derivatives": discrete segmentations (``dseg``) and
masks (``mask``) lie below ``derivatives``; ISLES 2022 and VerSe write ``msk`` and ``seg-…``.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

from medseg.data.manifest import Case
from medseg.data.pairing import Pairing
from medseg.data.words import CHANNEL_ORDER, CHANNELS, LABEL_WORDS, stem_of, words_of

_WHO = ("sub", "ses", "run")
_NO_SCAN = {"probseg", "bold", "sbref", "snp", "ctd", "events", "phase", "phasediff", "magnitude1", "boldref"}


class Entry(NamedTuple):
    """A file of a BIDS tree by its entities."""

    path: str
    suffix: str
    entities: Mapping[str, str]
    is_derived: bool
    is_label: bool

    @property
    def who(self) -> tuple[str, ...]:
        """Subject, session and run; empty where the name has none."""
        return tuple(self.entities.get(k, "") for k in _WHO)


def looks_like_bids(images: Sequence[str]) -> bool:
    """True where most names begin with ``sub-`` and have a suffix."""
    named = sum(bool(re.fullmatch(r"sub-[A-Za-z0-9]+_.*", stem_of(p))) for p in images)
    return bool(images) and named > 0.6 * len(images)


def bids_cases(images: Sequence[str]) -> Pairing:
    """One case per subject, session and run that has a label map, or per image where nobody drew one."""
    entries = [e for p in images if (e := _entry(p)) is not None and e.suffix not in _NO_SCAN]
    made = Pairing()
    labels = [e for e in entries if e.is_label]
    raw = [e for e in entries if not e.is_label and not e.is_derived]
    scans: dict[tuple[str, ...], list[Entry]] = defaultdict(list)
    for e in raw or [e for e in entries if not e.is_label]:
        scans[e.who].append(e)
    drawn, several, lonely = _matched(labels, scans)
    scans = {who: _same_kind(group, drawn.get(who)) for who, group in scans.items()}
    groups = {who: _same_contrast(group, drawn.get(who)) for who, group in scans.items()}
    others = [e.path for who, group in scans.items() for e in group if _is_other(e, groups[who])]
    twice = [e.path for who, group in scans.items() for e in group if _is_second(e, groups[who])]
    usual = _usual([g for who, g in groups.items() if who in drawn or not drawn])
    odd, unlabelled = [], []
    for who, group in groups.items():
        own = [e for e in group if e.suffix in usual]
        if drawn and who not in drawn:
            unlabelled.append(group[0].path)
        elif tuple(e.suffix for e in own) != usual:
            odd.append(group[0].path)
        else:
            made.cases.append(_case(who, own, drawn.get(who)))
    made.channels = [CHANNELS.get(s.lower(), s) for s in usual]
    for files, text in (
        (unlabelled, "images without a label map left out"),
        (others, "images of another contrast than the label map's left out"),
        (twice, "images left out beside one of the same contrast"),
        (odd, f"cases without the usual images ({', '.join(usual)}) left out"),
        (several, "cases have several label maps; the first of the best kind by name was taken"),
        (lonely, "label maps without an image left out"),
    ):
        made.notes += [f"{len(files)} {text}, first {files[0]}"] if files else []
    if labels and not drawn:
        made.problem = f"{len(labels)} label maps and no image of their subjects, first {labels[0].path}"
    return made


def _entry(path: str) -> Entry | None:
    *pairs, suffix = stem_of(path).split("_")
    entities = {k: v for k, sign, v in (p.partition("-") for p in pairs) if sign}
    if "-" in suffix:
        # VerSe and others end in an entity, as in ``sub-1_T1w_seg-manual``.
        key, _, value = suffix.partition("-")
        entities[key], suffix = value, pairs[-1] if pairs and "-" not in pairs[-1] else key
    if "sub" not in entities:
        return None
    derived = "derivatives/" in path or "desc" in entities
    words = [w.lower() for w in words_of(stem_of(path).split("_", 1)[-1])]
    is_label = any(w in LABEL_WORDS for w in words) or suffix.lower() in LABEL_WORDS
    return Entry(path, suffix, entities, derived, is_label)


def _matched(
    labels: Sequence[Entry], scans: Mapping[tuple[str, ...], Sequence[Entry]]
) -> tuple[dict[tuple[str, ...], Entry], list[str], list[str]]:
    """The label map of each scan; one without session or run belongs to the only scan that fits it."""
    found: dict[tuple[str, ...], list[Entry]] = defaultdict(list)
    lonely = []
    for e in labels:
        fit = [who for who in scans if all(a in ("", b) for a, b in zip(e.who, who, strict=True))]
        exact = [who for who in fit if who == e.who]
        if len(exact or fit) == 1:
            found[(exact or fit)[0]].append(e)
        else:
            lonely.append(e.path)
    best = {who: sorted(group, key=lambda e: (_rank(e), e.path)) for who, group in found.items()}
    several = [g[0].path for g in best.values() if len(g) > 1 and _rank(g[0]) == _rank(g[1])]
    return {who: group[0] for who, group in best.items()}, several, lonely


def _rank(e: Entry) -> int:
    """Structures before lesions before the mask of the whole brain, and a map before a probability."""
    if "brain" in e.entities.get("desc", "").lower() or "brainmask" in e.path.lower():
        return 3
    return 0 if e.suffix.lower() in ("dseg", "seg") else 1


def _same_contrast(group: Sequence[Entry], label: Entry | None) -> list[Entry]:
    """The images of a scan, only that of the label map's contrast where that is told; each contrast once."""
    once = list({e.suffix: e for e in sorted(group, key=lambda e: (-len(e.path), e.path))}.values())
    once.sort(key=lambda e: (CHANNEL_ORDER.get(CHANNELS.get(e.suffix.lower(), ""), 99), e.suffix))
    told = {label.suffix, label.entities.get("space", "")} if label else set()
    return [e for e in once if e.suffix in told] or once


def _same_kind(group: list[Entry], label: Entry | None) -> list[Entry]:
    """The images in a folder called as the label map's (``anat``), where there are some; else all."""
    if label is None:
        return group
    return [e for e in group if _folder(e) == _folder(label)] or group


def _folder(e: Entry) -> str:
    return PurePosixPath(e.path).parent.name


def _is_other(e: Entry, kept: Sequence[Entry]) -> bool:
    return e.suffix not in {k.suffix for k in kept}


def _is_second(e: Entry, kept: Sequence[Entry]) -> bool:
    return e not in kept and e.suffix in {k.suffix for k in kept}


def _usual(groups: Sequence[Sequence[Entry]]) -> tuple[str, ...]:
    """The contrasts that most cases share."""
    kinds = Counter(tuple(e.suffix for e in g) for g in groups)
    return kinds.most_common(1)[0][0] if kinds else ()


def _case(who: tuple[str, ...], images: Sequence[Entry], label: Entry | None) -> Case:
    name = "_".join(f"{k}-{v}" for k, v in zip(_WHO, who, strict=True) if v)
    split = "training" if label else "test"
    files = tuple(e.path for e in images)
    return Case(name, f"sub-{who[0]}", files, label.path if label else None, split=split)
