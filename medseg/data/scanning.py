"""From a folder to a manifest: recognise the layout, look at some files, suggest names and numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from medseg.data.bids import bids_cases, looks_like_bids
from medseg.data.case_keys import is_indexed, is_label
from medseg.data.content import LabelLike, label_words_by_content, mistaken_labels, opener
from medseg.data.described import described
from medseg.data.dicom_layout import dicom_cases
from medseg.data.isolation import Reader
from medseg.data.layouts import Layout, images_of, list_files
from medseg.data.manifest import SPLITS, Case, Manifest
from medseg.data.merged import merged_layout
from medseg.data.pairing import Pairing, pair
from medseg.data.structure_files import are_raters, of_most, structure_files
from medseg.data.suggested_names import suggest_names
from medseg.data.tables import enrich, table_layout
from medseg.data.words import stem_of
from medseg.errors import ManifestError
from medseg.hashes import file_hash

_BY_HAND = "make a CSV with the columns case, image, label (and patient, split) and scan again"


def scan(
    folder: Path, *, reader: Reader, hashes: bool = True, only: Sequence[str] | None = None
) -> tuple[Manifest, Layout]:
    """The manifest that a folder makes, and what it was taken for; no file is changed or renamed.

    Args:
        hashes: read every file once more for its sha256.
        only: look at these files of the folder alone.

    Raises:
        ManifestError: there is no folder, or nothing in it looks like a scan.
    """
    if not folder.is_dir():
        found = f"{folder} is a file" if folder.is_file() else f"no folder {folder}"
        raise ManifestError(found, "a folder of scans", "correct the path")
    paths = list_files(folder) if only is None else list(only)
    layout = recognise(folder, paths, reader)
    if layout.problem:
        raise ManifestError(
            layout.problem, "one image, or one per channel, and one label map per case", _BY_HAND
        )
    if not layout.cases:
        raise ManifestError(
            f"{len(paths)} files in {folder}, none that makes a case",
            "images, and label maps whose names match theirs",
            _BY_HAND,
        )
    if layout.name != "CSV":
        enrich(folder, paths, layout)
    suggest_names(folder, layout, reader)
    if not any(c.label for c in layout.cases):
        layout.notes.append("no label map was recognised; if there are some, name them in a CSV")
    if hashes:
        layout.cases = [_hashed(folder, c) for c in layout.cases]
    return _manifest(folder, layout), layout


def _manifest(folder: Path, layout: Layout) -> Manifest:
    name = layout.header.get("name") or re.sub(r"\W+", "_", folder.resolve().name).strip("_") or "data"
    return Manifest(
        name=name,
        version="1.0.0",
        description=layout.header.get("description", ""),
        source=layout.header.get("source", ""),
        licence=layout.header.get("licence", ""),
        citation=layout.header.get("citation", ""),
        channels=tuple(layout.channels),
        labels=layout.labels,
        regions=layout.regions,
        relabel=layout.relabel,
        items=tuple(sorted(layout.cases, key=lambda c: SPLITS.index(c.split))),
    )


def recognise(folder: Path, paths: Sequence[str], reader: Reader) -> Layout:
    """What the folder is, by the first rule that gives cases.

    Raises:
        ManifestError: there are several data sets in it, files that were taken for label maps hold images, or
            there is one for each structure.
    """
    merged = merged_layout(folder, paths)
    if merged is not None:
        return merged
    table = table_layout(folder, paths)
    if table is not None:
        return table
    told = described(folder, paths)
    if told is not None and told.cases:
        return told
    images = images_of(paths)
    layout, found = _by_names(folder, images, reader)
    if told is not None:
        layout.labels, layout.header, layout.ignored = told.labels, told.header, told.ignored
        layout.regions, layout.notes = told.regions, told.notes + layout.notes
        layout.channels = told.channels or layout.channels
    known = set(images)
    series = dicom_cases(folder, [p for p in paths if p not in known], images, reader)
    drawn = [sum(c.label is not None for c in cases) for cases in (series.cases, layout.cases)]
    if drawn[0] > drawn[1] or (not any(drawn) and len(series.cases) > len(layout.cases)):
        series.notes += [f"{len(layout.cases)} other images left out"] if layout.cases else []
        return series
    if series.cases:
        layout.notes.append(f"{len(series.cases)} DICOM series are there too and were left out")
    layout.problem = found.problem
    return layout


def _by_names(folder: Path, images: Sequence[str], reader: Reader) -> tuple[Layout, Pairing]:
    """The layout that the names make; where they tell no label map, what the files hold tells it."""
    layout = Layout(*_named(images))
    roots = sorted({p.lower().split("imagestr/")[0] for p in images if "imagestr/" in p.lower()})
    if len(roots) > 1:
        text = f"{len(roots)} folders named imagesTr in {folder}, in {', '.join(roots[:5])}"
        raise ManifestError(text, "one data set", "scan each of their folders by itself")
    found = bids_cases(images) if layout.name == "BIDS" else pair(images)
    like = opener(folder, reader)
    if images and not any(c.label for c in found.cases):
        words = label_words_by_content(images, like)
        again = pair(images, words) if words else found
        if any(c.label for c in again.cases):
            found = again
            found.notes.append(
                f"files with {' or '.join(words)} hold label maps, so they were taken for that"
            )
    _refuse_structures(folder, images, found, like)
    if wrong := mistaken_labels(found.cases, like):
        raise ManifestError(
            f"{wrong} and others were taken for label maps, yet they hold images", "label maps", _BY_HAND
        )
    if layout.name == "ACDC":
        found.cases = [c for c in found.cases if c.label or not c.image[0].split(".")[0].endswith("_4d")]
    layout.cases, layout.channels, layout.notes = found.cases, found.channels, found.notes
    return layout, found


def _refuse_structures(folder: Path, images: Sequence[str], found: Pairing, like: LabelLike) -> None:
    """Pass where each case has one label map.

    Raises:
        ManifestError: there is one for each structure, which `medseg data merge` puts together.
    """
    n_drawn = sum(c.label is not None for c in found.cases)
    n_used = sum(len(c.image) for c in found.cases) + n_drawn
    if not found.problem and 2 * (len(images) - n_used) <= n_drawn:
        return
    parts = structure_files(images, like)
    if parts is None or are_raters(parts.names):
        return
    raise ManifestError(
        f"a label map per structure: {of_most(parts.files)}",
        "one label map per case",
        f"`medseg data merge {folder} -o manifest.json` writes label maps of {len(parts.names)} structures "
        "beside the files, which stay as they are",
    )


def _named(images: Sequence[str]) -> tuple[str, str]:
    """The layout's name and the rule that tells it."""
    low = [p.lower() for p in images]
    stems = [stem_of(p) for p in low]

    def share(pattern: str) -> float:
        return sum(bool(re.search(pattern, p)) for p in low) / max(1, len(low))

    if looks_like_bids(images):
        return "BIDS", "sub-… folders, labels are …_dseg or …_mask, mostly below derivatives/"
    if share(r"[_\-.](flair|t1|t1ce|t1n|t1c|t1gd|t2|t2w|t2f|seg|ot)(\.\d+)?\.(nii|mha|nii\.gz)") > 0.8 and (
        any(re.search(r"flair|t2f", s) for s in stems)
    ):
        return "BraTS", "a folder per case with flair, t1, t1ce, t2 and seg (2013 to 2023 names)"
    if share(r"patient\d+_(frame\d+|4d)") > 0.8:
        return "ACDC", "patientNNN_frameNN with …_gt beside it"
    if any(s.endswith("_segmentation") for s in stems) and share(r"\.(jpe?g|png)$") > 0.9:
        return "ISIC", "pictures, and masks named …_segmentation"
    if any("imagestr/" in p for p in low):
        if is_indexed(images):
            return "nnU-Net", "imagesTr with …_0000 per channel and labelsTr without"
        return "MSD", "imagesTr and labelsTr with equal names"
    kinds = [(PurePosixPath(p).parent, is_label(p)) for p in images]
    whole = {parent for parent, drawn in kinds if drawn} & {parent for parent, drawn in kinds if not drawn}
    if len(whole) > 1 and len(whole) >= len(images) / 6:
        return "folder per case", "every folder holds the files of one case"
    return "images and labels", "names that match once the words for image and label are taken out"


def _hashed(folder: Path, case: Case) -> Case:
    def of(path: str) -> str:
        return file_hash(folder / path) if (folder / path).is_file() else ""

    images = tuple(of(p) for p in case.image)
    known = {"image": images if all(images) else (), "label": (of(case.label),) if case.label else ()}
    return replace(case, sha256={k: v for k, v in known.items() if v and all(v)})
