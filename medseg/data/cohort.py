"""Each case against its kind: what no file shows when it is looked at alone.

Outliers are judged by the median and the median absolute deviation (Hampel), so that the outlier itself does
not widen the bound. Limits are wide on purpose: a check that cries wolf is switched off.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from medseg.data.channels import channel_findings
from medseg.data.duplicates import duplicate_findings
from medseg.data.findings import BLOCKS, WARNING, Finding
from medseg.data.looks import look_findings
from medseg.data.manifest import Manifest
from medseg.data.outliers import FEWEST_CASES, is_outlier, robust_z
from medseg.data.profiles import CaseProfile, StructureProfile
from medseg.data.sides import side_findings

# A structure counts as lost where at least so many cases are labelled and only this share is without it.
_MANY, _RARE = 15, 0.01


def cohort_findings(manifest: Manifest, profiles: Sequence[CaseProfile]) -> list[Finding]:
    """Everything that shows only between cases."""
    found = _patients(manifest)
    found += duplicate_findings(profiles)
    found += _dimensions(profiles)
    found += _never(manifest, profiles) + _lost(manifest, profiles)
    found += _outliers(manifest, profiles)
    found += side_findings(_names(manifest), profiles)
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
        if len(pairs) < FEWEST_CASES:
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
    if not longest or len(whole) < FEWEST_CASES:
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
