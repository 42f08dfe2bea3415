"""Which prediction belongs to which reference: by case id, with the rule in words for the report."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from medseg.data.label_maps import LABEL_MAP_SUFFIXES, label_map_suffix
from medseg.data.words import LABEL_WORDS, words_of
from medseg.errors import DataError, MedsegError
from medseg.evaluation.affixes import (
    PREFIXES,
    SUFFIXES,
    folded,
    loosely,
    says_nothing,
    without_affixes,
    without_channel,
)

UNREAD_SUFFIXES = (
    *(".jpg", ".jpeg", ".gif", ".npy", ".npz", ".dcm", ".img", ".img.gz", ".mgz", ".mgh", ".mnc", ".h5"),
    *(".hdf5", ".pt", ".nii.bz2", ".nii.zip", ".vtk", ".gipl"),
)
"""What other tools write and `medseg evaluate` does not read: told where nothing else is there for a case."""
RULE = (
    "A file's case id is its name without its ending; where no file has the same id, the usual affixes "
    f"({', '.join(PREFIXES)}… and …{', '.join(SUFFIXES)}, with _ or - or .) are taken off, then capitals, "
    "signs between words and all words for images and label maps count for nothing, then a prediction's "
    "words for its channel (_t1, _0000); files of one name in folders of different names take the folder's "
    "name."
)


@dataclass(frozen=True)
class Reference:
    """A case that should have been predicted.

    Attributes:
        case: its id.
        path: its reference label map.
        patient: who it is, or empty where nobody said.
        names: further ids that a prediction of it may bear.
        image: the scans, for a report's pictures.
        duplicates: further reference files with the same id, which make the case an error.
    """

    case: str
    path: Path
    patient: str = ""
    names: tuple[str, ...] = ()
    image: tuple[Path, ...] = ()
    duplicates: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Matches:
    """Who belongs to whom.

    Attributes:
        pairs: for each reference, in order, its predictions: one, none (missing) or several (an error).
        unmatched_predictions: predictions without a reference.
        rule: how ids were made, in words.
    """

    pairs: tuple[tuple[Reference, tuple[Path, ...]], ...]
    unmatched_predictions: tuple[Path, ...]
    rule: str


def label_map_files(folder: Path, suffixes: tuple[str, ...] = LABEL_MAP_SUFFIXES) -> list[Path]:
    """Every label map (or file of other endings) under a folder, sorted; what is hidden is passed over.

    Raises:
        DataError: there is no such folder.
    """
    if not folder.is_dir():
        raise DataError(f"no folder {folder}", "a folder of label maps", "correct the path")
    found = []
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        paths = (Path(parent, n) for n in names if not n.startswith("."))
        found += [p for p in paths if p.name.lower().endswith(suffixes)]
    return sorted(found)


def case_ids(files: Sequence[Path], template: str | None = None, root: Path | None = None) -> dict[Path, str]:
    """The case id of each file: by a template (``{case}_pred.nii.gz``), else the name without ending.

    Files that do not fit the template are left out. Where names repeat, or say no more than that it is a
    label map, and the names of folders below `root` do not, the folder's name is the id
    (``case_7/seg.nii.gz``).

    Raises:
        MedsegError: the template has no ``{case}``.
    """
    if template is not None:
        pattern = _compiled(template)
        fits = {path: pattern.fullmatch(path.name) for path in files}
        return {path: found["case"] for path, found in fits.items() if found}
    ids = {path: _stem(path) for path in files}
    if len(set(ids.values())) == len(ids) and not all(says_nothing(name) for name in ids.values()):
        return ids
    return _by_folders(files, root) or ids


def match(references: Sequence[Reference], predictions: Mapping[Path, str], rule: str) -> Matches:
    """Each reference with its predictions: by the same id, else by the id without what is not the case's."""
    found: list[list[Path]] = [[] for _ in references]
    left = list(predictions)
    for of_reference, of_prediction in (
        (str, str),
        (without_affixes, without_affixes),
        (loosely, loosely),
        (loosely, without_channel),
    ):
        owners = _owners(references, found, of_reference)
        still: list[Path] = []
        for path in left:
            who = owners.get(of_prediction(predictions[path]), set())
            (found[next(iter(who))] if len(who) == 1 else still).append(path)
        left = still
    pairs = tuple((r, tuple(sorted(f))) for r, f in zip(references, found, strict=True))
    return Matches(pairs, tuple(sorted(left)), rule)


def images_among(pairs: Sequence[tuple[Reference, Sequence[Path]]]) -> list[Reference]:
    """References without a prediction that their name calls an image or channel of a case that has one."""
    of_label_maps = {loosely(r.path.parent.name + "/" + _stem(r.path)) for r, found in pairs if found}
    return [
        r
        for r, found in pairs
        if not found
        and not any(w.lower() in LABEL_WORDS for w in words_of(_stem(r.path)))
        and (bare := without_channel(_stem(r.path))) != folded(_stem(r.path))
        and loosely(r.path.parent.name + "/" + bare) in of_label_maps
    ]


def _owners(
    references: Sequence[Reference], found: Sequence[Sequence[Path]], bare: Callable[[str], str]
) -> dict[str, set[int]]:
    """Which references without a prediction an id may mean."""
    owners: dict[str, set[int]] = defaultdict(set)
    for number, reference in enumerate(references):
        for name in (reference.case, *reference.names):
            if not found[number]:
                owners[bare(name)].add(number)
    return owners


def _by_folders(files: Sequence[Path], root: Path | None) -> dict[Path, str]:
    """The nearest folder above each file where all files have one and no two the same; else nothing."""
    above = {
        path: path.parent.parts if root is None else path.parent.relative_to(root).parts for path in files
    }
    for level in range(1, min((len(parts) for parts in above.values()), default=0) + 1):
        if len({parts[-level] for parts in above.values()}) == len(files):
            return {path: parts[-level] for path, parts in above.items()}
    return {}


def paths_as_ids(files: Sequence[Path], root: Path) -> dict[Path, str]:
    """The way to each file below the root as its id: ``p1_t2`` of ``p1/t2/pred.nii.gz``."""
    names = {path: (*path.parent.relative_to(root).parts, _stem(path)) for path in files}
    kept = {path: parts[:-1] if says_nothing(parts[-1]) else parts for path, parts in names.items()}
    return {path: "_".join(parts) for path, parts in kept.items()}


def rule_in_words(prediction_name: str | None, reference_name: str | None) -> str:
    """The matching rule as a report shows it."""
    given = [
        f"{what} named {template}"
        for what, template in (("predictions are", prediction_name), ("references are", reference_name))
        if template
    ]
    return "; ".join([*given, RULE]) if given else RULE


def _stem(path: Path) -> str:
    suffix = next((s for s in UNREAD_SUFFIXES if path.name.lower().endswith(s)), "") or label_map_suffix(path)
    return path.name[: -len(suffix)] if suffix else path.name


def _compiled(template: str) -> re.Pattern[str]:
    if template.count("{case}") != 1:
        raise MedsegError(
            f"the name {template!r}",
            "one {case} where the case id stands",
            "say for example {case}_pred.nii.gz",
        )
    before, after = template.split("{case}")
    return re.compile(f"{_glob(before)}(?P<case>.+?){_glob(after)}")


def _glob(text: str) -> str:
    return re.escape(text).replace(r"\*", ".*")
