"""Splits and folds that keep each patient whole, spread structures evenly, and come out of a seed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from medseg.data.manifest import SPLITS, Case, Manifest
from medseg.errors import ManifestError


def split(
    manifest: Manifest,
    *,
    validation: float = 0.2,
    test: float = 0.0,
    n_folds: int = 0,
    seed: int = 0,
    strata: Mapping[str, str] | None = None,
    keep_test: bool = True,
) -> Manifest:
    """The manifest with its cases dealt anew; the same seed deals the same.

    Cases of one patient stay together. Patients are dealt so that each stratum is spread in proportion, and
    splits get their share of cases, not of patients. A test split that is there already stays as it is.

    Args:
        manifest: what to deal.
        validation, test: share of the cases.
        n_folds: also give every case outside the test split a fold, in 0 to n_folds - 1; 0 for none.
        seed: of the order in which patients are dealt.
        strata: case to the name of its stratum (which structures it has, how large they are).
        keep_test: False deals the test cases too.

    Raises:
        ManifestError: the shares leave nothing to train on, or there are fewer patients than parts.
    """
    if not (0 <= validation < 1 and 0 <= test < 1 and validation + test < 1):
        raise ManifestError(
            f"validation {validation} and test {test}", "shares that leave some to train on", "lower them"
        )
    fixed = [c for c in manifest.items if keep_test and c.split == "test"]
    kept = {c.case for c in fixed}
    free = [c for c in manifest.items if c.case not in kept]
    shares = {"training": 1 - validation - test, "validation": validation, "test": test}
    shares = {name: share for name, share in shares.items() if share > 0}
    patients = _patients(free, {c.patient for c in fixed})
    _enough(patients, max(len(shares), n_folds))
    kinds = strata or {}
    dealt = _deal(patients, list(shares.values()), kinds, seed)
    names = list(shares)
    where = {c.case: names[part] for part, group in enumerate(dealt) for c in group}
    where |= {c.case: "test" for c in manifest.items if c.case not in where}
    folds = _folds([c for c in free if where[c.case] != "test"], n_folds, kinds, seed)
    items = [replace(c, split=where[c.case], fold=folds.get(c.case)) for c in manifest.items]
    return manifest.with_cases(tuple(sorted(items, key=lambda c: SPLITS.index(c.split))))


def _patients(cases: Sequence[Case], elsewhere: set[str]) -> dict[str, list[Case]]:
    """Cases by patient; whoever has a scan in the fixed test split stays there with all of them."""
    groups: dict[str, list[Case]] = defaultdict(list)
    for c in cases:
        if c.patient not in elsewhere:
            groups[c.patient].append(c)
    return dict(groups)


def _enough(patients: Mapping[str, object], parts: int) -> None:
    if len(patients) < parts:
        raise ManifestError(
            f"{len(patients)} patients for {parts} parts",
            "a patient per part at least",
            "ask for fewer parts",
        )


def _folds(cases: Sequence[Case], n_folds: int, strata: Mapping[str, str], seed: int) -> dict[str, int]:
    if n_folds == 0:
        return {}
    patients = _patients(cases, set())
    _enough(patients, max(2, n_folds))
    dealt = _deal(patients, [1 / n_folds] * n_folds, strata, seed + 1)
    return {c.case: part for part, group in enumerate(dealt) for c in group}


def _deal(
    patients: Mapping[str, Sequence[Case]], shares: Sequence[float], strata: Mapping[str, str], seed: int
) -> list[list[Case]]:
    """Patients in random order within their stratum, each to the part that is least full for its share.

    As the parts fill in proportion at every moment (Sainte-Lague), each stratum is spread in proportion.
    """
    rng = np.random.default_rng(seed)
    order = [str(p) for p in rng.permutation(sorted(patients))]
    order.sort(key=lambda p: strata.get(patients[p][0].case, ""))
    parts: list[list[Case]] = [[] for _ in shares]
    for number, p in enumerate(order):
        group = patients[p]
        full = [(len(part) + len(group) / 2) / share for part, share in zip(parts, shares, strict=True)]
        empty = [n for n, part in enumerate(parts) if not part]
        # No part stays empty: the last patients go where nobody is.
        best = empty[0] if empty and len(order) - number <= len(empty) else int(np.argmin(full))
        parts[best] += group
    return parts


def strata_of(volumes: Mapping[str, Mapping[int, float]], n_levels: int = 3) -> dict[str, str]:
    """Case to stratum: which structures it has and, by terciles, how much of them in all."""
    totals = {case: sum(v.values()) for case, v in volumes.items()}
    levels = np.linspace(0, 1, n_levels + 1)[1:-1]
    bounds = np.quantile(list(totals.values()) or [0.0], levels)
    found = {}
    for case, known in volumes.items():
        present = ",".join(str(n) for n, v in sorted(known.items()) if v > 0)
        found[case] = f"{present}|{int(np.searchsorted(bounds, totals[case]))}"
    return found
