"""What the headers of DICOM files say of the series they belong to, and of the objects drawn on them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pydicom
from pydicom.multival import MultiValue

from medseg.data.dicom_frames import header, is_localizer
from medseg.data.findings import UnreadableError


def summary(paths: Sequence[str]) -> list[dict[str, Any]]:
    """One entry per series for `medseg data scan`: files, modality, description, slices, size."""
    series: dict[tuple[str, str, bool], dict[str, Any]] = {}
    for path in paths:
        try:
            data = header(path)
            uid = str(data.get("SeriesInstanceUID", "")) or str(Path(path).parent)
        except UnreadableError:
            continue
        entry = series.setdefault(
            (uid, str(Path(path).parent), is_localizer(data)),
            {
                "uid": uid,
                "folder": str(Path(path).parent),
                "modality": str(data.get("Modality", "?")),
                "description": str(data.get("SeriesDescription", "")),
                "patient": str(data.get("PatientID", "")),
                "name": str(data.get("PatientName", "")),
                "birth": str(data.get("PatientBirthDate", "")),
                "others": _other_names(data),
                "is_localizer": is_localizer(data),
                "study": str(data.get("StudyInstanceUID", "")),
                "size": [int(data.get("Columns", 0) or 0), int(data.get("Rows", 0) or 0)],
                "files": [],
                "slices": 0,
                "objects": {},
            },
        )
        if entry["modality"] in ("SEG", "RTSTRUCT"):
            about = {"series": series_referred_to(data), "structures": structures_in(data)}
            entry["objects"][path] = about
        entry["files"].append(path)
        entry["slices"] += _count(data)
    return list(series.values())


def _other_names(data: pydicom.Dataset) -> list[str]:
    """What else the patient is called (PS3.3 C.7.1.1 and C.2.3)."""
    ids = [str(item.get("PatientID", "")) for item in data.get("OtherPatientIDsSequence", [])]
    for name in ("OtherPatientNames", "OtherPatientIDs", "PatientBirthName", "PatientMotherBirthName"):
        value = data.get(name)
        ids += [str(v) for v in value] if isinstance(value, MultiValue) else [str(value or "")]
    return [text for text in ids if text]


def _count(data: pydicom.Dataset) -> int:
    try:
        return max(1, int(data.get("NumberOfFrames", 1) or 1))
    except (TypeError, ValueError):
        return 1


def structures_in(data: pydicom.Dataset) -> list[str]:
    """Names of the structures of a SEG or RTSTRUCT, in the order of their numbers; none of others."""
    if data.get("Modality") == "SEG":
        return [str(s.get("SegmentLabel", s.SegmentNumber)) for s in data.get("SegmentSequence", [])]
    return [str(s.get("ROIName", s.ROINumber)) for s in data.get("StructureSetROISequence", [])]


def series_referred_to(data: pydicom.Dataset) -> str:
    """The UID of the series that a SEG or RTSTRUCT was drawn on; empty where it says none."""
    for item in data.get("ReferencedSeriesSequence", []):
        return str(item.get("SeriesInstanceUID", ""))
    for frame in data.get("ReferencedFrameOfReferenceSequence", []):
        for study in frame.get("RTReferencedStudySequence", []):
            for series in study.get("RTReferencedSeriesSequence", []):
                return str(series.get("SeriesInstanceUID", ""))
    return ""
