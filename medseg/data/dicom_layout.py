"""Folders of DICOM studies: series grouped, modality and description shown, labels beside them matched."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medseg.data.case_keys import is_label
from medseg.data.findings import UnreadableError
from medseg.data.isolation import Reader
from medseg.data.layouts import Layout
from medseg.data.manifest import Case
from medseg.data.pairing import pair
from medseg.data.reading import examine, looks_dicom

_NO_SCANS = {"SEG", "RTSTRUCT", "RTPLAN", "RTDOSE", "SR", "PR", "KO", "DOC", "REG", "ECG"}
_MOST_LABELS = 500
Series = dict[str, Any]


def dicom_cases(folder: Path, paths: Sequence[str], images: Sequence[str], reader: Reader) -> Layout:
    """One case per image series; a series among others in its folder is named ``folder#UID``."""
    layout = Layout("DICOM", "files with DICOM's mark, grouped by series")
    try:
        series = summary_of(folder, paths, reader)
    except UnreadableError as error:
        layout.notes.append(f"DICOM headers could not be read: {error.finding.found}")
        return layout
    scans = scans_of(series)
    for s in series:
        size = " x ".join(map(str, s["size"]))
        text = (
            f"{s['modality']} {s['description'] or 'without description'}: {len(s['files'])} files of {size}"
        )
        layout.notes.append(f"series {text}" + ("" if s in scans else " (no scan, left out)"))
    layout.channels = [Counter(s["modality"] for s in scans).most_common(1)[0][0]] if scans else []
    name_series(folder.absolute(), scans, Counter(s["folder"] for s in series))
    labels = [p for p in images if is_label(p)]
    drawn = _labels_of(folder, scans, labels, reader) if scans and labels else {}
    if labels and not drawn and scans:
        layout.notes.append(f"{len(labels)} label maps fit no series by name and size, first {labels[0]}")
    objects = sum(len(s["objects"]) for s in series)
    if objects and not drawn:
        layout.notes.append(
            f"{objects} DICOM SEG or RTSTRUCT hold structures: `medseg data merge {folder} -o manifest.json` "
            "makes label maps of them beside the files"
        )
    left = [s for s in scans if drawn and s["name"] not in drawn]
    if left:
        layout.notes.append(f"{len(left)} series without a label map left out, first {left[0]['path']}")
    layout.cases = [_case(s, drawn.get(s["name"])) for s in scans if s not in left]
    return layout


def summary_of(folder: Path, paths: Sequence[str], reader: Reader) -> list[Series]:
    """Every series among these files, as `medseg.data.dicom.summary` tells it.

    Raises:
        UnreadableError: the child that reads the headers failed.
    """
    files = [str((folder / p).absolute()) for p in paths if looks_dicom(folder / p)]
    return list(reader.request({"do": "summary", "paths": files})[0]["series"]) if files else []


def scans_of(series: Sequence[Series]) -> list[Series]:
    """Those that hold images, localizers left out."""
    images = [s for s in series if s["modality"] not in _NO_SCANS and min(s["size"]) > 0]
    return [s for s in images if not s["is_localizer"]]


def name_series(root: Path, scans: Sequence[Series], per_folder: Counter[str]) -> None:
    """Give each series the path by which it is read and a name of its own."""
    taken: set[str] = set()
    for s in scans:
        s["inside"] = inside = Path(s["folder"]).relative_to(root).as_posix()
        mixed = per_folder[s["folder"]] > 1
        s["path"] = f"{inside}#{s['uid']}" if mixed else inside
        words = s["description"] if mixed and s["description"] else inside
        wish = name = re.sub(r"\W+", "_", words).strip("_") or "series"
        number = 2
        while wish in taken:
            wish, number = f"{name}_{number}", number + 1
        taken.add(wish)
        s["name"] = wish


def _case(s: Series, label: str | None) -> Case:
    # A hospital's number stays out of manifests and of the reports made of them; equal is all it must be.
    who = hashlib.sha256((s["patient"] or s["study"]).encode()).hexdigest()[:8]
    patient = f"patient_{who}" if s["patient"] or s["study"] else s["name"]
    return Case(s["name"], patient, (s["path"],), label, split="training" if label else "test")


def _labels_of(
    folder: Path, scans: Sequence[Series], labels: Sequence[str], reader: Reader
) -> dict[str, str]:
    """Series' name to label map: of the series of the label map's size, by folder, by name or by patient."""
    shapes = {p: _shape(folder, p, reader) for p in labels[:_MOST_LABELS]}
    known = {shape for shape in shapes.values() if shape}
    fitting = [s for s in scans if (*s["size"], s["slices"]) in known] or list(scans)
    if len(fitting) == len(labels) == 1:
        return {fitting[0]["name"]: labels[0]}
    best: dict[str, str] = {}
    for key in ("inside", "patient"):
        # A series stands in the pairing as a file of the name by which it may be known.
        standing = {f"{s[key]}.nii": s["name"] for s in fitting if s[key]}
        if len(standing) < len(fitting):
            continue
        cases = pair(sorted([*standing, *labels])).cases
        found = {standing[c.image[0]]: c.label for c in cases if c.label and c.image[0] in standing}
        best = found if len(found) > len(best) else best
    return best


def _shape(folder: Path, path: str, reader: Reader) -> tuple[int, ...]:
    image, _ = examine(folder / path, reader=reader)
    return () if image is None else tuple(image.shape)
