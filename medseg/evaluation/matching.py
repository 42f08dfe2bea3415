"""Which prediction belongs to which reference: by case id, with the rule in words for the report."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from medseg.data.label_maps import LABEL_MAP_SUFFIXES, label_map_suffix
from medseg.errors import DataError, MedsegError

SUFFIXES = (
    *(
        "_pred",
        "_prediction",
        "_predicted",
        "_seg",
        "_segmentation",
        "_mask",
        "_label",
        "_labels",
        "_labelmap",
    ),
    *("_gt", "_ref", "_reference", "_groundtruth", "_ground_truth", "_trans", "_out", "_output", "_result"),
)
PREFIXES = ("pred_", "prediction_", "seg_", "segmentation_", "mask_", "label_", "labels_", "gt_", "ref_")
RULE = (
    "A file's case id is its name without its ending; where no file has the same id, the usual affixes "
    f"({', '.join(PREFIXES)}… and …{', '.join(SUFFIXES)}, with _ or - or .) are taken off; files of one "
    "name in folders of different names take the folder's name."
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


def label_map_files(folder: Path) -> list[Path]:
    """Every label map under a folder, sorted; hidden files and folders are passed over.

    Raises:
        DataError: there is no such folder.
    """
    if not folder.is_dir():
        raise DataError(f"no folder {folder}", "a folder of label maps", "correct the path")
    found = []
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        paths = (Path(parent, n) for n in names if not n.startswith("."))
        found += [p for p in paths if label_map_suffix(p) in LABEL_MAP_SUFFIXES]
    return sorted(found)


def case_ids(files: Sequence[Path], template: str | None = None) -> dict[Path, str]:
    """The case id of each file: by a template (``{case}_pred.nii.gz``), else the name without ending.

    Files that do not fit the template are left out. Where names repeat and the folders' names do not, the
    folder's name is the id (``case_7/seg.nii.gz``).

    Raises:
        MedsegError: the template has no ``{case}``.
    """
    if template is not None:
        pattern = _compiled(template)
        fits = {path: pattern.fullmatch(path.name) for path in files}
        return {path: found["case"] for path, found in fits.items() if found}
    ids = {path: _stem(path) for path in files}
    folders = {path: path.parent.name for path in files}
    if len(set(ids.values())) < len(ids) and len(set(folders.values())) == len(folders):
        return folders
    return ids


def match(references: Sequence[Reference], predictions: Mapping[Path, str], rule: str) -> Matches:
    """Each reference with its predictions: by the same id, else by the id without usual affixes."""
    by_name: dict[str, set[int]] = defaultdict(set)
    for number, reference in enumerate(references):
        for name in (reference.case, *reference.names):
            by_name[name].add(number)
    found: list[list[Path]] = [[] for _ in references]
    left: list[Path] = []
    for path, name in predictions.items():
        owners = by_name.get(name, set())
        (found[next(iter(owners))] if len(owners) == 1 else left).append(path)
    bare: dict[str, set[int]] = defaultdict(set)
    for name, owners in list(by_name.items()):
        bare[without_affixes(name)] |= {o for o in owners if not found[o]}
    unmatched: list[Path] = []
    for path in left:
        owners = bare.get(without_affixes(predictions[path]), set())
        (found[next(iter(owners))] if len(owners) == 1 else unmatched).append(path)
    pairs = tuple((r, tuple(sorted(f))) for r, f in zip(references, found, strict=True))
    return Matches(pairs, tuple(sorted(unmatched)), rule)


def without_affixes(name: str) -> str:
    """The id without the usual affixes, for example ``case_7`` of ``pred_case_7_seg``; never empty."""
    bare = name
    changed = True
    while changed:
        changed = False
        lower = bare.lower().replace("-", "_").replace(".", "_")
        for suffix in SUFFIXES:
            if lower.endswith(suffix) and len(lower) > len(suffix):
                bare, changed = bare[: -len(suffix)], True
                break
        else:
            for prefix in PREFIXES:
                if lower.startswith(prefix) and len(lower) > len(prefix):
                    bare, changed = bare[len(prefix) :], True
                    break
    return bare


def rule_in_words(prediction_name: str | None, reference_name: str | None) -> str:
    """The matching rule as a report shows it."""
    given = [
        f"{what} named {template}"
        for what, template in (("predictions are", prediction_name), ("references are", reference_name))
        if template
    ]
    return "; ".join([*given, RULE]) if given else RULE


def _stem(path: Path) -> str:
    suffix = label_map_suffix(path)
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
