"""Left and right, told by the structures' names and by where the other cases have them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

from medseg.data.findings import BLOCKS, WARNING, Finding
from medseg.data.outliers import FEWEST_CASES, MAD_TO_SD
from medseg.data.profiles import CaseProfile

_SIDES = {"left": -1, "l": -1, "lh": -1, "right": 1, "r": 1, "rh": 1}


def side_findings(names: dict[int, str], profiles: Sequence[CaseProfile]) -> list[Finding]:
    """Left structures that lie on the right: by name, and without names by the side where the others lie."""
    pairs = list(_pairs_of_sides(names))
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
    votes, usual = _votes(profiles)
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


def _votes(profiles: Sequence[CaseProfile]) -> tuple[dict[str, list[bool]], float]:
    """For each case whether each off-centre structure is mirrored in it; and where the last of these lies."""
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
        if len(entries) < FEWEST_CASES or abs(middle) < 0.05 or abs(middle) < 3 * spread:
            continue
        usual = middle
        reach = max(1.5 * spread, 0.3 * abs(middle))
        for case, value in entries:
            other_side = -value * np.sign(middle)
            votes[case].append(abs(middle) - reach <= other_side <= abs(middle) + 4 * spread)
    return votes, usual
