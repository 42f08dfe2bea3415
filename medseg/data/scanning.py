"""From a folder to a manifest: recognise the layout, look at some files, suggest names and numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np

from medseg.data.bids import bids_cases, looks_like_bids
from medseg.data.content import LabelLike, label_words_by_content, mistaken_labels, opener
from medseg.data.described import described
from medseg.data.dicom_layout import dicom_cases
from medseg.data.fetch import file_hash
from medseg.data.isolation import Reader
from medseg.data.layouts import Layout, images_of, list_files
from medseg.data.manifest import SPLITS, Case, Manifest
from medseg.data.merged import merged_layout
from medseg.data.pairing import Pairing, is_indexed, is_label, pair
from medseg.data.reading import Image, examine
from medseg.data.structure_files import are_raters, of_most, structure_files
from medseg.data.tables import enrich, table_layout
from medseg.data.words import stem_of
from medseg.errors import ManifestError

_BRATS = {"necrosis": 1, "oedema": 2, "enhancing": 3}
_BRATS_REGIONS = {"WT": (1, 2, 3), "TC": (1, 3), "ET": (3,)}
_ACDC = {"right ventricle": 1, "myocardium": 2, "left ventricle": 3}
_LOOK_AT = 300
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
    _look(folder, layout, reader)
    if not any(c.label for c in layout.cases):
        layout.notes.append("no label map was recognised; if there are some, name them in a CSV")
    if hashes:
        layout.cases = [_hashed(folder, c) for c in layout.cases]
    name = layout.header.get("name") or re.sub(r"\W+", "_", folder.resolve().name).strip("_") or "data"
    manifest = Manifest(
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
    return manifest, layout


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
        layout.labels, layout.header = told.labels, told.header
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


def _look(folder: Path, layout: Layout, reader: Reader) -> None:
    """Open some cases to learn label values and channels, and add what follows from them."""
    drawn = [c for c in layout.cases if c.label is not None]
    chosen = drawn[:: -(-len(drawn) // _LOOK_AT) or 1]
    values: set[int] = set()
    for c in chosen:
        image, _ = examine(folder / str(c.label), reader=reader)
        if image is not None and image.array.dtype.kind in "iubf" and np.all(np.isfinite(image.array)):
            values.update(int(v) for v in np.unique(np.rint(image.array))[:300])
    if len(chosen) < len(drawn):
        layout.notes.append(f"label values are those of {len(chosen)} of the {len(drawn)} label maps")
    opened = (examine(folder / p, reader=reader)[0] for c in layout.cases[:3] for p in c.image)
    samples = [i for i in opened if i is not None]
    _name_channels(layout, samples)
    _name_labels(layout, values - {0})


def _name_brats(layout: Layout, values: set[int]) -> None:
    """2014 to 2022 call the enhancing part 4, 2023 calls it 3; 2013 and 2024 have four structures."""
    layout.labels, layout.regions = dict(_BRATS), dict(_BRATS_REGIONS)
    if {3, 4} <= values and any("VSD.Brain" in c.image[0] for c in layout.cases):
        layout.labels = {"necrosis": 1, "oedema": 2, "non-enhancing": 3, "enhancing": 4}
        layout.regions = {"WT": (1, 2, 3, 4), "TC": (1, 3, 4), "ET": (4,)}
    elif {3, 4} <= values:
        layout.labels["resection cavity"] = 4
        layout.regions["RC"] = (4,)
        layout.notes.append(
            "labels 3 and 4 both occur: 4 is taken for the resection cavity, as in BraTS 2024"
        )
    elif 4 in values:
        layout.relabel = {4: 3}
        layout.notes.append("label 4 (enhancing) is read as 3; regions WT, TC, ET suggested")


def _name_channels(layout: Layout, samples: Sequence[Image]) -> None:
    per_case = len(layout.cases[0].image)
    if not samples:
        return
    count = per_case if per_case > 1 else samples[0].channels
    if len(layout.channels) == count:
        return
    if samples[0].is_rgb:
        layout.channels = (
            ["red", "green", "blue"][:count] if count <= 3 else [f"channel {n}" for n in range(count)]
        )
    elif count == 1:
        layout.channels = [_modality(samples[0], layout)]
    else:
        layout.channels = [f"channel {n}" for n in range(count)]
        layout.notes.append(f"{count} channels without names: name them in the manifest")


def _modality(image: Image, layout: Layout) -> str:
    if image.modality:
        return image.modality
    if not image.has_grid:
        return "grey"
    lowest = float(np.nanmin(image.array))
    guess = "CT" if lowest <= -200 else "MR"
    layout.notes.append(f"modality {guess} guessed from intensities (lowest {lowest:g}): correct it if wrong")
    return guess


def _are_jpeg(layout: Layout) -> bool:
    return any(str(c.label).lower().endswith((".jpg", ".jpeg")) for c in layout.cases)


def _name_labels(layout: Layout, values: set[int]) -> None:
    """Names and numbers for the values that were seen, and a suggestion where the numbers should change."""
    order = sorted(values)
    known = {n for v in layout.labels.values() for n in ([v] if isinstance(v, int) else v)}
    if layout.name == "BraTS" and values <= {1, 2, 3, 4}:
        _name_brats(layout, values)
        return
    if layout.name == "ACDC" and values <= {1, 2, 3}:
        layout.labels = dict(_ACDC)
        return
    if known and values <= known:
        return
    if order and len(order) > 8 and order[-1] >= 245 and _are_jpeg(layout):
        layout.relabel, layout.labels = {255: 1}, layout.labels or {"foreground": 1}
        layout.notes.append("label maps are JPEG, which smears 0 and 255: store them as PNG, cut at 128")
        return
    if order and order[-1] == 255 and len(order) <= 8 and (len(order) == 1 or order[0] >= 20):
        layout.relabel = {value: number for number, value in enumerate(order, 1)}
        words = ", ".join(f"{a} to {b}" for a, b in layout.relabel.items())
        layout.notes.append(f"label values are a picture's: {words} suggested, no file is changed")
        order = list(range(1, len(order) + 1))
    if known:
        layout.notes.append(f"label values {sorted(values - known)} are not in dataset.json")
        return
    single = "lesion" if layout.name == "ISIC" else "foreground"
    layout.labels = {single: order[0]} if len(order) == 1 else {f"structure {n}": n for n in order[:256]}
    if order and single != "lesion":
        layout.notes.append("names of structures are made up: name them in the manifest")
    if order and order != list(range(1, len(order) + 1)):
        layout.notes.append(
            f"label values {order[:12]} are not consecutive; `relabel` in the manifest can map them"
        )
