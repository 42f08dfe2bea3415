"""Each case against its kind: what no file shows when it is looked at alone.

Outliers are judged by the median and the median absolute deviation (Hampel), so that the outlier itself does
not widen the bound. Limits are wide on purpose: a check that cries wolf is switched off.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from medseg.data.channels import channel_findings
from medseg.data.duplicates import duplicate_findings
from medseg.data.findings import BLOCKS, WARNING, Finding
from medseg.data.looks import look_findings
from medseg.data.manifest import Manifest
from medseg.data.outliers import MAD_TO_SD, is_outlier, robust_z
from medseg.data.profiles import CaseProfile, StructureProfile

_FEWEST = 6
# A structure counts as lost where at least so many cases are labelled and only this share is without it.
_MANY, _RARE = 15, 0.01
_SIDES = {"left": -1, "l": -1, "lh": -1, "right": 1, "r": 1, "rh": 1}


def cohort_findings(manifest: Manifest, profiles: Sequence[CaseProfile]) -> list[Finding]:
    """Everything that shows only between cases."""
    found = _patients(manifest)
    found += duplicate_findings(profiles)
    found += _dimensions(profiles)
    found += _never(manifest, profiles) + _lost(manifest, profiles)
    found += _outliers(manifest, profiles)
    found += _sides(manifest, profiles)
    found += channel_findings(manifest, profiles)
    found += look_findings(profiles)
    return found


def _patients(manifest: Manifest) -> list[Finding]:
    splits = defaultdict(set)
    folds = defaultdict(set)
    for c in manifest.items:
        splits[c.patient].add(c.split)
        if c.fold is not None:
            folds[c.patient].add(c.fold)
    found = []
    for c in manifest.items:
        if len(splits[c.patient]) > 1:
            text = f"patient {c.patient} is in {', '.join(sorted(splits[c.patient]))}"
            bad = Finding("patient-splits", BLOCKS, text, "one split per patient", "run `medseg data split`")
            found.append(bad.at(c.case))
        elif len(folds[c.patient]) > 1:
            text = f"patient {c.patient} is in folds {sorted(folds[c.patient])}"
            bad = Finding("patient-splits", BLOCKS, text, "one fold per patient", "run `medseg data split`")
            found.append(bad.at(c.case))
    return found


def _dimensions(profiles: Sequence[CaseProfile]) -> list[Finding]:
    """Pictures among volumes, or volumes among pictures."""
    counts = Counter(len(p.shape) for p in profiles if p.shape)
    if len(counts) < 2:
        return []
    usual = counts.most_common(1)[0][0]
    names = {2: "a picture", 3: "a volume"}
    return [
        Finding(
            "dimensions",
            BLOCKS,
            f"{names.get(len(p.shape), 'an image')} of {' x '.join(map(str, p.shape))}",
            f"{names.get(usual, 'an image')}, as {counts[usual]} others",
            "part them into two data sets",
            p.case,
            p.channels[0].file if p.channels else "",
        )
        for p in profiles
        if p.shape and len(p.shape) != usual
    ]


def _never(manifest: Manifest, profiles: Sequence[CaseProfile]) -> list[Finding]:
    if not any(p.has_label for p in profiles):
        return []
    seen = {s.number for p in profiles for s in p.structures}
    found = []
    for name, value in manifest.labels.items():
        numbers = {value} if isinstance(value, int) else set(value)
        if numbers - {0} and not numbers & seen:
            text = f"{name} ({', '.join(map(str, sorted(numbers)))}) is in no label map"
            found.append(Finding("label-missing", WARNING, text, "at least one case", "correct `labels`"))
    return found


def _lost(manifest: Manifest, profiles: Sequence[CaseProfile]) -> list[Finding]:
    """Structures that nearly every case has, and this one has not."""
    labelled = [p for p in profiles if p.has_label and p.structures]
    found = []
    for number, name in _names(manifest).items() if len(labelled) >= _MANY else []:
        without = [p for p in labelled if all(s.number != number or not s.voxels for s in p.structures)]
        if 0 < len(without) <= max(1, _RARE * len(labelled)):
            text, expected = (
                f"no voxel of {name} ({number})",
                f"some, as in {len(labelled) - len(without)} cases",
            )
            bad = Finding("structure-missing", WARNING, text, expected, "is it so, or lost?")
            found += [bad.at(p.case) for p in without]
    return found


def _names(manifest: Manifest) -> dict[int, str]:
    return {value: name for name, value in manifest.labels.items() if isinstance(value, int) and value}


def _outliers(manifest: Manifest, profiles: Sequence[CaseProfile]) -> list[Finding]:
    found = []
    usual = Counter(len(p.shape) for p in profiles if p.shape).most_common(1)
    alike = [p for p in profiles if p.shape and len(p.shape) == usual[0][0]]
    alike = [replace(p, structures=[s for s in p.structures if len(s.centre) == usual[0][0]]) for p in alike]
    for number, name in _names(manifest).items():
        pairs = [(p, s) for p in alike for s in p.structures if s.number == number and s.voxels]
        if len(pairs) < _FEWEST:
            continue
        found += _volumes(name, pairs) + _positions(name, pairs) + _intensities(name, pairs)
    return found


Pairs = Sequence[tuple[CaseProfile, StructureProfile]]


def _volumes(name: str, pairs: Pairs) -> list[Finding]:
    volumes = np.array([s.volume_mm3 for _, s in pairs])
    # A tenth of the logarithm's unit: structures that hardly differ must not make each other outliers.
    logs = np.log(np.maximum(volumes, 1e-9))
    z = robust_z(logs, 0.1)
    far = is_outlier(logs, floor=0.1, least=float(np.log(3)), limit=5)
    median = float(np.median(volumes))
    unit = "mm3" if pairs[0][0].has_grid else "pixels"
    return [
        _outlier(
            "volume", p, f"{name} has {s.volume_mm3:.4g} {unit} (robust z {zi:+.1f})", f"about {median:.4g}"
        )
        for (p, s), zi, wide in zip(pairs, z, far, strict=True)
        if wide
    ]


def _positions(name: str, pairs: Pairs) -> list[Finding]:
    centres = np.array([s.centre for _, s in pairs])
    z = robust_z(centres, 0.02)
    far = is_outlier(centres, floor=0.02, least=0.12)
    middle = np.round(np.median(centres, axis=0), 2).tolist()
    return [
        _outlier(
            "position",
            p,
            f"{name} lies at {np.round(s.centre, 2).tolist()} of the view (robust z {abs(zi).max():.1f})",
            f"about {middle}",
        )
        for (p, s), zi, wide in zip(pairs, z, far, strict=True)
        if wide
    ]


def _intensities(name: str, pairs: Pairs) -> list[Finding]:
    longest = max(len(s.intensity) for _, s in pairs)
    whole = [(p, s) for p, s in pairs if len(s.intensity) == longest]
    if not longest or len(whole) < _FEWEST:
        return []
    means = np.array([s.intensity for _, s in whole])
    far = is_outlier(means, floor=0.05, least=0.5)
    return [
        _outlier(
            "intensity",
            p,
            f"{name} has intensity {np.round(s.intensity, 2).tolist()} of the image's spread from its median",
            f"about {np.round(np.median(means, axis=0), 2).tolist()}",
        )
        for (p, s), wide in zip(whole, far, strict=True)
        if wide
    ]


def _outlier(what: str, p: CaseProfile, found: str, expected: str) -> Finding:
    do = "look at this case: is the label map its own, complete and on the right structure?"
    return Finding(f"outlier-{what}", WARNING, found, expected, do, p.case)


def _sides(manifest: Manifest, profiles: Sequence[CaseProfile]) -> list[Finding]:
    """Left structures that lie on the right: by name, and without names by the side where the others lie."""
    pairs = list(_pairs_of_sides(_names(manifest)))
    found = []
    for p in profiles:
        at = {s.number: s.centre[0] for s in p.structures if s.voxels and p.has_grid}
        wrong = [stem for left, right, stem in pairs if left in at and right in at and at[left] > at[right]]
        if wrong:
            text = f"left {wrong[0]} lies to the patient's right of right {wrong[0]}"
            bad = Finding("sides", BLOCKS, text, "left on the left", "correct the header or swap the labels")
            found.append(bad.at(p.case))
    accused = {f.case for f in found}
    return found + [f for f in _mirrored(profiles) if f.case not in accused]


def _pairs_of_sides(names: dict[int, str]) -> Iterable[tuple[int, int, str]]:
    """(left number, right number, common name) of structures whose names differ in their side alone."""
    sides: dict[str, dict[int, int]] = defaultdict(dict)
    for number, name in names.items():
        words = [w for w in re.split(r"[^a-z0-9]+", name.lower()) if w]
        side = [_SIDES[w] for w in words if w in _SIDES]
        if len(side) == 1:
            sides[" ".join(w for w in words if w not in _SIDES)][side[0]] = number
    for stem, known in sides.items():
        if len(known) == 2:
            yield known[-1], known[1], stem


def _mirrored(profiles: Sequence[CaseProfile]) -> list[Finding]:
    """Cases whose off-centre structures all lie at the mirror image of where the others have them."""
    by_number: dict[int, list[tuple[str, float]]] = defaultdict(list)
    for p in profiles:
        for s in p.structures:
            if p.has_grid and s.voxels:
                by_number[s.number].append((p.case, s.centre[0]))
    votes: dict[str, list[bool]] = defaultdict(list)
    usual = 0.0
    for entries in by_number.values():
        x = np.array([v for _, v in entries])
        middle, spread = float(np.median(x)), float(MAD_TO_SD * np.median(np.abs(x - np.median(x))))
        if len(entries) < _FEWEST or abs(middle) < 0.05 or abs(middle) < 3 * spread:
            continue
        usual = middle
        reach = max(1.5 * spread, 0.3 * abs(middle))
        for case, value in entries:
            other_side = -value * np.sign(middle)
            votes[case].append(abs(middle) - reach <= other_side <= abs(middle) + 4 * spread)
    accused = [case for case, mirrored in votes.items() if all(mirrored)]
    # Lesions lie on either side: where many are mirrored, none is wrong.
    if len(accused) > max(1, len(votes) // 10):
        return []
    return [
        Finding(
            "sides",
            WARNING,
            "the structures lie at the mirror image of where the other cases have them",
            f"the {'left' if usual < 0 else 'right'} side",
            "left and right may be exchanged: look at the header and at the picture",
            case,
        )
        for case in accused
    ]
