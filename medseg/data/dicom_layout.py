"""Folders of DICOM studies: series grouped, modality and description shown, labels beside them matched."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from medseg.data.findings import UnreadableError
from medseg.data.isolation import Reader
from medseg.data.layouts import Layout
from medseg.data.manifest import Case
from medseg.data.pairing import is_label
from medseg.data.reading import looks_dicom
from medseg.data.words import stem_of, take_apart

_NO_SCANS = {"SEG", "RTSTRUCT", "RTPLAN", "RTDOSE", "SR", "PR", "KO", "DOC", "REG", "ECG"}


def dicom_cases(folder: Path, paths: Sequence[str], images: Sequence[str], reader: Reader) -> Layout:
    """One case per image series; a series among others in its folder is named ``folder#UID``."""
    layout = Layout("DICOM", "files with DICOM's mark, grouped by series")
    files = [p for p in paths if looks_dicom(folder / p)]
    if not files:
        return layout
    try:
        reply, _ = reader.request({"do": "summary", "paths": [str((folder / p).absolute()) for p in files]})
    except UnreadableError as error:
        layout.notes.append(f"DICOM headers could not be read: {error.finding.found}")
        return layout
    per_folder = Counter(s["folder"] for s in reply["series"])
    scans = []
    for s in reply["series"]:
        size = " x ".join(map(str, s["size"]))
        text = (
            f"{s['modality']} {s['description'] or 'without description'}: {len(s['files'])} files of {size}"
        )
        used = s["modality"] not in _NO_SCANS and min(s["size"]) > 0
        layout.notes.append(f"series {text}" + ("" if used else " (no scan, left out)"))
        if used:
            scans.append(s)
    layout.cases = _cases(folder.absolute(), scans, per_folder, [p for p in images if is_label(p)])
    layout.channels = [Counter(s["modality"] for s in scans).most_common(1)[0][0]] if scans else []
    return layout


def _cases(
    root: Path, scans: Sequence[dict[str, Any]], per_folder: Counter[str], labels: list[str]
) -> list[Case]:
    cases: list[Case] = []
    taken: set[str] = set()
    for s in scans:
        inside = Path(s["folder"]).relative_to(root).as_posix()
        mixed = per_folder[s["folder"]] > 1
        path = f"{inside}#{s['uid']}" if mixed else inside
        name = (
            re.sub(r"\W+", "_", s["description"] if mixed and s["description"] else inside).strip("_")
            or "series"
        )
        number = 2
        wish = name
        while wish in taken:
            wish, number = f"{name}_{number}", number + 1
        taken.add(wish)
        label = _label_of(inside, wish, labels, len(scans))
        split = "training" if label else "test"
        cases.append(Case(wish, s["patient"] or s["study"] or wish, (path,), label, split=split))
    return cases


def _label_of(inside: str, name: str, labels: Sequence[str], n_series: int) -> str | None:
    """The label map of a series: the only one there is, or the one in its folder or with its name."""
    if n_series == 1 and len(labels) == 1:
        return labels[0]
    for path in labels:
        parent = PurePosixPath(path).parent.as_posix()
        own = take_apart(path).place + take_apart(path).rest
        if (parent != "." and inside.startswith(parent)) or PurePosixPath(inside).name.lower() in "_".join(
            own
        ):
            return path
        if stem_of(path).lower().startswith(name.lower()):
            return path
    return None
