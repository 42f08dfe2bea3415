"""What DICOM objects take from the series that they were made of: its frames' places and its date."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.uid import (
    UID,
    CTImageStorage,
    MRImageStorage,
    PositronEmissionTomographyImageStorage,
    generate_uid,
)
from pydicom.valuerep import DA, TM

from medseg.arrays import LPS_TO_RAS, Affine
from medseg.errors import GeometryError

# Parts of a slice's distance that a frame may lie beside the place the volume gives it.
TOLERANCE = 0.05


def source_sets(files: Sequence[Path], affine: Affine) -> list[pydicom.Dataset]:
    """The headers of a series, in the order of its file names, with all that an object must copy from them.

    What is missing or invalid is empty; identifiers that are missing are derived from the files' names, and
    the slices' thickness from their distance.

    Args:
        affine: voxel index to RAS+ mm.
    """
    sets: list[pydicom.Dataset] = [
        pydicom.dcmread(file, stop_before_pixels=True, force=True) for file in sorted(files)
    ]
    step = float(np.linalg.norm(np.asarray(affine)[:3, 2]))
    series = generate_uid(entropy_srcs=[file.name for file in sorted(files)])
    for data, file in zip(sets, sorted(files), strict=True):
        for name, kind in PATIENT_AND_STUDY.items():
            setattr(data, name, _valid(data.get(name), kind))
        if not data.get("SpecificCharacterSet", "?"):
            del data.SpecificCharacterSet
        data.SeriesInstanceUID = data.get("SeriesInstanceUID") or series
        data.StudyInstanceUID = data.get("StudyInstanceUID") or f"{series[:60]}.1"
        data.SOPClassUID = class_of(data)
        data.SOPInstanceUID = (
            data.get("SOPInstanceUID")
            or data.file_meta.get("MediaStorageSOPInstanceUID")
            or generate_uid(entropy_srcs=[series, file.name])
        )
        data.FrameOfReferenceUID = data.get("FrameOfReferenceUID") or generate_uid(
            entropy_srcs=[str(data.SeriesInstanceUID), "frame"]
        )
        data.SliceThickness = data.get("SliceThickness") or f"{step:.10g}"
    return sets


def class_of(data: pydicom.Dataset) -> UID:
    """What a file is: its SOPClassUID or, where that was emptied, that of the file's meta or modality."""
    meta = getattr(data, "file_meta", None)
    stated = data.get("SOPClassUID") or (meta.get("MediaStorageSOPClassUID") if meta else None)
    return UID(str(stated or CLASSES.get(str(data.get("Modality", "")), "")))


def _valid(value: Any, kind: Any) -> Any:
    if value is None:
        return ""
    try:
        return value if kind is None or str(value) == "" else kind(str(value))
    except ValueError:
        return ""


def _sex(value: str) -> str:
    return value if value in ("M", "F", "O") else ""


# The one class of single-frame images that each modality has.
CLASSES = {"CT": CTImageStorage, "MR": MRImageStorage, "PT": PositronEmissionTomographyImageStorage}
# Type 2 attributes (PS3.3 C.7.1.1, C.7.2.1): they may be empty and must be there; anonymizers remove them.
PATIENT_AND_STUDY: dict[str, Any] = {
    **dict.fromkeys(("PatientName", "PatientID", "StudyID", "AccessionNumber", "ReferringPhysicianName")),
    **dict.fromkeys(("PatientBirthDate", "StudyDate"), DA),
    "StudyTime": TM,
    "PatientSex": _sex,
}


@contextmanager
def saying_nothing() -> Iterator[None]:
    """A block in which pydicom and highdicom keep warnings to themselves: these quote patients' names."""
    loggers = [logging.getLogger(name) for name in ("pydicom", "highdicom")]
    before = [logger.disabled for logger in loggers]
    for logger in loggers:
        logger.disabled = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, was in zip(loggers, before, strict=True):
            logger.disabled = was


def why_no_reference(files: Sequence[Path], affine: Affine, n_slices: int) -> str:
    """Why no object can refer to the frames of this series; empty where one can.

    Args:
        affine: voxel index to RAS+ mm.
    """
    with saying_nothing():
        first = pydicom.dcmread(sorted(files)[0], stop_before_pixels=True, force=True)
        if not class_of(first):
            return "its files do not say what they are (SOPClassUID)"
        if int(first.get("NumberOfFrames") or 1) > 1 and "PerFrameFunctionalGroupsSequence" not in first:
            return f"{class_of(first).name} has frames that can't be referred to one by one"
        if "DoseGridScaling" in first:
            return "it is a dose grid"
        try:
            frames_of(source_sets(files, affine), affine, n_slices)
        except GeometryError as error:
            return error.found
    return ""


def frames_of(sets: Sequence[pydicom.Dataset], affine: Affine, n_slices: int) -> list[tuple[int, int]]:
    """For each frame of a series, in the order of its sets: number of the set, and the slice that lies there.

    Args:
        affine: voxel index to RAS+ mm.

    Raises:
        GeometryError: frames and slices are not the same places.
    """
    to_index = np.linalg.inv(np.asarray(affine, float)) @ LPS_TO_RAS
    placed = [(n, place) for n, data in enumerate(sets) for place in _positions(data)]
    if not placed or any(place is None for _, place in placed):
        raise GeometryError("a series without positions", "one for each frame", "choose --format nifti")
    positions = np.array([place for _, place in placed], float)
    index = np.c_[positions, np.ones(len(positions))] @ to_index.T
    slices = np.rint(index[:, 2])
    away = np.abs(index[:, 2] - slices).max()
    if away > TOLERANCE or sorted(slices.astype(int)) != list(range(n_slices)):
        raise GeometryError(
            f"{len(positions)} frames for {n_slices} slices, up to {away:.2g} slices apart",
            "one frame for each slice",
            "choose --format nifti, which needs no source frames",
        )
    return [(n, int(z)) for (n, _), z in zip(placed, slices, strict=True)]


def _positions(data: pydicom.Dataset) -> list[Any]:
    """ImagePositionPatient of every frame, None where there is none."""
    if "PerFrameFunctionalGroupsSequence" not in data:
        return [data.get("ImagePositionPatient")]
    groups = data.PerFrameFunctionalGroupsSequence
    return [
        group.PlanePositionSequence[0].ImagePositionPatient if "PlanePositionSequence" in group else None
        for group in groups
    ]


def dates_of(source: pydicom.Dataset) -> tuple[str, str]:
    """The series' own date and time, so that equal input gives an equal object."""
    dates = (_valid(source.get(name), DA) for name in ("ContentDate", "SeriesDate", "StudyDate"))
    return str(next((date for date in dates if date), "19700101")), "000000"
