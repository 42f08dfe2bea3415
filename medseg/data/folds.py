"""Folds for cross-validation: by patient, stratified by structures, and each as a manifest to train on."""

from __future__ import annotations

import os
import sys
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from medseg.data.label_maps import read_label_map
from medseg.data.manifest import Case, Manifest
from medseg.data.splits import split, strata_of
from medseg.errors import ManifestError

DEFAULT = 5


def with_folds(
    manifest: Manifest, dataset_dir: str | os.PathLike[str], n_folds: int | None = None, seed: int = 0
) -> Manifest:
    """The manifest with every labelled case outside the test split in ``training``, and with a fold.

    The manifest's own folds are kept where it has them and `n_folds` doesn't ask for another number. Else
    patients are dealt anew, those with the same structures evenly over the folds; the same seed deals the
    same. Cases without a label are left out, since nobody can train on them or score them.

    Args:
        manifest: what to deal.
        dataset_dir: where its label maps lie, which tell the structures of each case.
        n_folds: how many; None for the manifest's own, or 5 where it has none.
        seed: of the order in which patients are dealt.

    Raises:
        ManifestError: a patient in two folds, a case without one, or fewer patients than folds.
        DataError: a label map can't be read.
    """
    if n_folds is not None and n_folds < 2:
        raise ManifestError(f"{n_folds} folds", "two at least", "ask for more with --folds")
    items = tuple(c for c in manifest.items if c.split == "test" or c.label is not None)
    known = {c.fold for c in items if c.split != "test"} - {None}
    if known and n_folds in (None, len(known)):
        dealt = manifest.with_cases(items)
        _whole(dealt)
    else:
        strata = strata_of(_structures_by_patient(items, Path(dataset_dir)))
        dealt = split(
            manifest.with_cases(items), validation=0, n_folds=n_folds or DEFAULT, seed=seed, strata=strata
        )
    return dealt.with_cases(
        tuple(c if c.split == "test" else replace(c, split="training") for c in dealt.items)
    )


def one_fold(manifest: Manifest, fold: int) -> Manifest:
    """The manifest of one fold's training: what the fold holds out is its ``validation`` split.

    Raises:
        ManifestError: no case has this fold.
    """
    out = {c.case for c in manifest.cases("training", fold, held_out=True)}
    items = (replace(c, split="validation") if c.case in out else c for c in manifest.items)
    return manifest.with_cases(tuple(items))


def folds_of(manifest: Manifest) -> list[int]:
    """The numbers of its folds, in order."""
    return sorted({c.fold for c in manifest.items if c.fold is not None})


def _whole(manifest: Manifest) -> None:
    """Return where every case has a fold and no patient has two."""
    folds: dict[str, set[int | None]] = defaultdict(set)
    for c in manifest.items:
        folds[c.patient].add(None if c.split == "test" else c.fold)
        if c.split != "test" and c.fold is None:
            raise ManifestError(
                f"case {c.case} of {manifest.name} has no fold, others have one",
                "a fold for each",
                "deal them anew with `medseg data split --folds N` or another --folds",
            )
    for patient, seen in folds.items():
        if len(seen) > 1:
            raise ManifestError(
                f"patient {patient} of {manifest.name} is in more than one fold, or in the test split too",
                "each patient in one",
                "deal them anew with `medseg data split --folds N` or another --folds",
            )


def _structures_by_patient(items: tuple[Case, ...], root: Path) -> dict[str, Mapping[int, float]]:
    """Case to the voxels of each number, as the mean over its patient's cases: they share a stratum."""
    sums: dict[str, dict[int, float]] = defaultdict(lambda: defaultdict(float))
    n_cases: dict[str, int] = defaultdict(int)
    for c in items:
        if c.split == "test" or c.label is None:  # files of the test split may be kept elsewhere
            continue
        numbers, counts = np.unique(read_label_map(root / c.label).array, return_counts=True)
        n_cases[c.patient] += 1
        for number, count in zip(numbers.tolist(), counts.tolist(), strict=True):
            if number:
                sums[c.patient][int(number)] += count
    return {
        c.case: {number: total / n_cases[c.patient] for number, total in sums[c.patient].items()}
        for c in items
        if c.patient in n_cases
    }


def tell(manifest: Manifest) -> None:
    """Say on stderr how many cases and patients each fold holds out."""
    for fold in folds_of(manifest):
        cases = manifest.cases("training", fold, held_out=True)
        patients = len({c.patient for c in cases})
        sys.stderr.write(f"fold {fold}  {len(cases)} cases of {patients} patients held out\n")
