"""What `medseg data check` finds of faults planted into real scans, and whom it accuses wrongly.

    python benchmarks/data_faults.py --data DIR --manifest M             # faults, one case at a time
    python benchmarks/data_faults.py --data DIR --manifest M --subsets   # random small sets, untouched

The first table: of 12 cases, in how many the fault was found, by which rule, and how often another case was
accused that was not before. The second: accusations in untouched random sets, all of them false alarms.
"""

from __future__ import annotations

import argparse
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import nibabel as nib
import numpy as np

from medseg.data import Case, Manifest, read_manifest
from medseg.data.checking import _request
from medseg.data.child import HERE
from medseg.data.cohort import cohort_findings
from medseg.data.profile import profile
from medseg.data.profiles import CaseProfile

Edit = Callable[[np.ndarray], np.ndarray]
RNG = np.random.default_rng(0)
N_VICTIMS = 12
# What is done to the image and to the label map; both keep their headers.
FAULTS: dict[str, tuple[Edit | None, Edit | None]] = {
    "label map mirrored": (None, lambda a: a[::-1]),
    "image mirrored": (lambda a: a[::-1], None),
    "both mirrored": (lambda a: a[::-1], lambda a: a[::-1]),
    "label map back to front": (None, lambda a: a[:, ::-1]),
    "label map upside down": (None, lambda a: a[:, :, ::-1]),
    "label map moved by 4 voxels sideways": (None, lambda a: np.roll(a, 4, 0)),
    "label map moved by 8 voxels forward": (None, lambda a: np.roll(a, 8, 1)),
    "structures 1 and 2 exchanged": (
        None,
        lambda a: np.where(a == 1, 2, np.where(a == 2, 1, a)).astype(a.dtype),
    ),
    "structure 2 taken away": (None, lambda a: np.where(a == 2, 0, a).astype(a.dtype)),
    "structure 2 thinned to 3%": (
        None,
        lambda a: np.where((a == 2) & (RNG.random(a.shape) > 0.03), 0, a).astype(a.dtype),
    ),
    "structure 1 cut to half": (
        None,
        lambda a: np.where(
            (a == 1) & (np.arange(a.shape[2]) < np.median(np.nonzero(a == 1)[2])), 0, a
        ).astype(a.dtype),
    ),
    "intensities inverted": (lambda a: a.max() - a, None),
    "noise": (lambda a: RNG.normal(100, 30, a.shape).astype(np.float32), None),
    "intensities times 100": (lambda a: (a * 100.0).astype(np.float32), None),
}


def spoilt(case: Case, root: Path, folder: Path, edits: tuple[Edit | None, Edit | None]) -> None:
    """The files of a case in another folder, changed."""
    for path, edit in zip((case.image[0], str(case.label)), edits, strict=True):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        if edit is None:
            shutil.copy(root / path, folder / path)
            continue
        old = nib.load(root / path)
        array = np.ascontiguousarray(edit(np.asarray(old.dataobj)))
        new = nib.Nifti1Image(array, old.affine, old.header)
        new.set_data_dtype(array.dtype)
        nib.save(new, folder / path)


def faults(known: Manifest, root: Path, profiles: Sequence[CaseProfile], scratch: Path) -> None:
    """Print the first table."""
    before = {(f.rule, f.case) for f in cohort_findings(known, profiles)}
    victims = range(0, len(profiles), max(1, len(profiles) // N_VICTIMS))[:N_VICTIMS]
    for name, edits in FAULTS.items():
        found, rules, others = 0, Counter(), 0
        for number in victims:
            case = known.items[number]
            spoilt(case, root, scratch, edits)
            bad = profile(_request(known, scratch, case, False, False), HERE)
            changed = [*profiles[:number], bad, *profiles[number + 1 :]]
            after = {(f.rule, f.case) for f in [*cohort_findings(known, changed), *bad.findings]} - before
            own = {rule for rule, accused in after if accused == case.case}
            found += bool(own)
            rules.update(own)
            others += sum(accused != case.case for _, accused in after)
        print(f"{name:38} found {found:2} of {len(victims)}  {dict(rules)}  others accused: {others}")


def subsets(known: Manifest, profiles: Sequence[CaseProfile]) -> None:
    """Print the second table."""
    for size in (5, 6, 8, 10, 12, 15, 20, 30, 60):
        if size > len(profiles):
            continue
        random.seed(size)
        runs, accused = 30 if size <= 20 else 10, Counter()
        for _ in range(runs):
            accused.update(f.rule for f in cohort_findings(known, random.sample(list(profiles), size)))
        print(
            f"{runs:3} sets of {size:2}: {sum(accused.values()):2} of {runs * size:4} cases  {dict(accused)}"
        )


def main() -> None:
    """Read the data once and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--manifest", type=Path, required=True)
    parser.add_argument("--cases", type=int, default=300, help="no more than so many")
    parser.add_argument("--subsets", action="store_true")
    options = parser.parse_args()
    known = read_manifest(options.manifest)
    known = known.with_cases(known.items[: options.cases])
    profiles = [profile(_request(known, options.data, c, False, False), HERE) for c in known.items]
    print(f"{known.name}: {len(profiles)} cases")
    if options.subsets:
        subsets(known, profiles)
        return
    with tempfile.TemporaryDirectory() as scratch:
        faults(known, options.data, profiles, Path(scratch))


if __name__ == "__main__":
    main()
