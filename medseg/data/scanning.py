"""From a folder to a manifest: recognise the layout, look at some files, suggest names and numbers."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from medseg.data.dicom_layout import dicom_cases
from medseg.data.fetch import file_hash
from medseg.data.isolation import Reader
from medseg.data.layouts import (
    Layout,
    images_of,
    is_indexed,
    list_files,
    pair,
    patient_of,
    stem_of,
    take_apart,
)
from medseg.data.manifest import SPLITS, Case, Manifest
from medseg.data.reading import Image, examine
from medseg.data.tables import enrich, table_cases
from medseg.errors import ManifestError

_BRATS = {"necrosis": 1, "oedema": 2, "enhancing": 3}
_BRATS_REGIONS = {"WT": (1, 2, 3), "TC": (1, 3), "ET": (3,)}
_ACDC = {"right ventricle": 1, "myocardium": 2, "left ventricle": 3}
_LOOK_AT = 24


def scan(folder: Path, *, reader: Reader, hashes: bool = True) -> tuple[Manifest, Layout]:
    """The manifest that a folder makes, and what it was taken for; no file is changed or renamed.

    Raises:
        ManifestError: there is no folder, or nothing in it looks like a scan.
    """
    if not folder.is_dir():
        raise ManifestError(f"no folder {folder}", "a folder of scans", "correct the path")
    paths = list_files(folder)
    layout = recognise(folder, paths, reader)
    if not layout.cases:
        raise ManifestError(
            f"{len(paths)} files in {folder}, none that makes a case",
            "images, and label maps whose names match theirs",
            "make a CSV with the columns case, image, label and scan again",
        )
    if layout.name != "CSV":
        enrich(folder, paths, layout)
    _look(folder, layout, reader)
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
        items=tuple(layout.cases),
    )
    return manifest, layout


def recognise(folder: Path, paths: Sequence[str], reader: Reader) -> Layout:
    """What the folder is, by the first rule that gives cases."""
    for table in (p for p in paths if p.lower().endswith((".csv", ".tsv")) and "/" not in p):
        if cases := table_cases(folder, table):
            channels = [f"channel {n}" for n in range(len(cases[0].image))] if len(cases[0].image) > 1 else []
            return Layout("CSV", f"{table} has columns with paths of images", cases, channels)
    described = _described(folder, paths)
    if described is not None and described.cases:
        return described
    images = images_of(paths)
    layout = Layout(*_named(images))
    layout.cases, layout.channels, layout.notes = pair(images)
    if described is not None:
        layout.labels, layout.header = described.labels, described.header
        layout.channels = described.channels or layout.channels
    no_image_ending = [p for p in paths if p not in set(images)]
    series = dicom_cases(folder, no_image_ending, images, reader)
    return series if len(series.cases) > sum(c.label is not None for c in layout.cases) else layout


def _named(images: Sequence[str]) -> tuple[str, str]:
    """The layout's name and the rule that tells it."""
    low = [p.lower() for p in images]
    stems = [stem_of(p) for p in low]

    def share(pattern: str) -> float:
        return sum(bool(re.search(pattern, p)) for p in low) / max(1, len(low))

    if share(r"(^|/)sub-[a-z0-9]+(/|_)") > 0.6:
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
    parts = [take_apart(p) for p in images]
    whole = {PurePosixPath(p.path).parent for p in parts if p.is_label}
    whole &= {PurePosixPath(p.path).parent for p in parts if not p.is_label}
    if len(whole) > 1 and len(whole) >= len({PurePosixPath(p) for p in images}) / 6:
        return "folder per case", "every folder holds the files of one case"
    return "images and labels", "names that match once the words for image and label are taken out"


def _described(folder: Path, paths: Sequence[str]) -> Layout | None:
    """What a dataset.json tells (MSD, nnU-Net v1 and v2), or None where there is none."""
    where = next((p for p in paths if PurePosixPath(p).name == "dataset.json"), None)
    if where is None:
        return None
    try:
        told = json.loads((folder / where).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError):
        return None
    if not isinstance(told, dict):
        return None
    modern = "channel_names" in told
    layout = Layout("nnU-Net" if modern or "file_ending" in told else "MSD", f"{where} describes it")
    names = told.get("channel_names") or told.get("modality") or {}
    layout.channels = (
        [str(v) for _, v in sorted(names.items(), key=lambda kv: str(kv[0]).zfill(4))]
        if isinstance(names, dict)
        else []
    )
    layout.labels, layout.regions = _told_labels(told.get("labels", {}))
    for key, ours in (("name", "name"), ("description", "description"), ("reference", "source")):
        layout.header[ours] = str(told.get(key, "") or "")
    layout.header["licence"] = str(told.get("licence") or told.get("license") or "")
    layout.header["name"] = re.sub(r"\W+", "_", layout.header["name"]).strip("_")
    base = PurePosixPath(where).parent
    layout.cases = _told_cases(told, base, set(paths))
    return layout


def _told_labels(labels: Any) -> tuple[dict[str, int | tuple[int, ...]], dict[str, tuple[int, ...]]]:
    """nnU-Net v2 maps names to numbers or regions, MSD numbers to names; ``ignore`` is no structure."""
    found: dict[str, int | tuple[int, ...]] = {}
    regions: dict[str, tuple[int, ...]] = {}
    for key, value in labels.items() if isinstance(labels, dict) else []:
        if isinstance(value, list):
            regions[str(key)] = tuple(int(v) for v in value)
            continue
        turned = str(key).isdigit() and not str(value).isdigit()
        name, number = (str(value), int(key)) if turned else (str(key), int(value))
        if number and name.lower() != "ignore":
            found[name] = number
    for region, numbers in regions.items():
        if not any(isinstance(v, int) and v in numbers for v in found.values()) and len(numbers) == 1:
            found[region] = numbers[0]
    if regions and not found:
        found = {f"structure {n}": n for n in sorted({n for v in regions.values() for n in v})}
    return found, regions


def _told_cases(told: dict[str, Any], base: PurePosixPath, paths: set[str]) -> list[Case]:
    """The cases that dataset.json lists with paths that are there."""
    entries: list[tuple[str, str, list[str], str | None]] = []
    for split in SPLITS:
        for entry in told.get(split, []) if isinstance(told.get(split), list) else []:
            known = entry if isinstance(entry, dict) else {"image": entry}
            image = known.get("image", "")
            entries.append((split, "", image if isinstance(image, list) else [image], known.get("label")))
    for name, entry in told.get("dataset", {}).items() if isinstance(told.get("dataset"), dict) else []:
        entries.append(("training", name, list(entry.get("images", [])), entry.get("label")))
    cases, taken = [], set()
    for split, given, image, label in entries:
        files = [(base / str(p)).as_posix() for p in image]
        drawn = (base / str(label)).as_posix() if label else None
        if not files or not all(p in paths for p in files) or (drawn and drawn not in paths):
            continue
        name = given or stem_of(drawn or files[0])
        if name not in taken:
            taken.add(name)
            cases.append(Case(name, patient_of(name), tuple(files), drawn, split=split))
    return cases


def _hashed(folder: Path, case: Case) -> Case:
    def of(path: str) -> str:
        return file_hash(folder / path) if (folder / path).is_file() else ""

    images = tuple(of(p) for p in case.image)
    known = {"image": images if all(images) else (), "label": (of(case.label),) if case.label else ()}
    return replace(case, sha256={k: v for k, v in known.items() if v and all(v)})


def _look(folder: Path, layout: Layout, reader: Reader) -> None:
    """Open some cases to learn label values and channels, and add what follows from them."""
    step = max(1, len(layout.cases) // _LOOK_AT)
    chosen = layout.cases[::step]
    values: set[int] = set()
    for c in (c for c in chosen if c.label is not None):
        image, _ = examine(folder / str(c.label), reader=reader)
        if image is not None and image.array.dtype.kind in "iubf" and np.all(np.isfinite(image.array)):
            values.update(int(v) for v in np.unique(np.rint(image.array))[:300])
    opened = (examine(folder / p, reader=reader)[0] for c in chosen[:3] for p in c.image)
    samples = [i for i in opened if i is not None]
    _name_channels(layout, samples)
    _name_labels(layout, values - {0})


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


def _name_labels(layout: Layout, values: set[int]) -> None:
    """Names and numbers for the values that were seen, and a suggestion where the numbers should change."""
    order = sorted(values)
    known = {n for v in layout.labels.values() for n in ([v] if isinstance(v, int) else v)}
    if layout.name == "BraTS" and values <= {1, 2, 3, 4}:
        layout.labels, layout.regions = dict(_BRATS), dict(_BRATS_REGIONS)
        if 4 in values:
            layout.relabel = {4: 3}
            layout.notes.append("label 4 (enhancing) is read as 3; regions WT, TC, ET suggested")
        return
    if layout.name == "ACDC" and values <= {1, 2, 3}:
        layout.labels = dict(_ACDC)
        return
    if known and values <= known:
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
