"""The frames of DICOM files: where each lies in the patient, and how its pixels are scaled.

Clauses are of DICOM PS3.3 (2024): C.7.6.2 Image Plane, C.7.6.16 Multi-frame Functional Groups.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.uid import DeflatedExplicitVRLittleEndian

from medseg.data.findings import UnreadableError, unreadable

NO_IMAGES = {"SR", "RTSTRUCT", "RTPLAN", "RTRECORD", "PR", "KO", "ECG", "REG", "DOC", "PLAN"}


@dataclass(frozen=True)
class Slice:
    """One frame: its place and its directions in LPS mm, and where its pixels are."""

    path: str
    frame: int
    series: str
    size: tuple[int, int]
    position: tuple[float, ...] | None
    directions: tuple[float, ...] | None
    pixel_mm: tuple[float, float] | None
    number: int
    rescale: tuple[float, float] = (1.0, 0.0)

    @property
    def geometry(self) -> tuple[object, ...]:
        """What the slices of one volume share."""
        turn = None if self.directions is None else tuple(round(d, 3) for d in self.directions)
        step = None if self.pixel_mm is None else tuple(round(s, 4) for s in self.pixel_mm)
        return self.series, self.size, turn, step


def header(path: str) -> pydicom.Dataset:
    """The data set without its pixels.

    Raises:
        UnreadableError: it is no DICOM file, or a damaged one.
    """
    return read(path, stop_before_pixels=True)


def read(path: str, **options: Any) -> pydicom.Dataset:
    """The data set as pydicom reads it; whatever a damaged file raises becomes an UnreadableError."""
    if Path(path).stat().st_size == 0:
        raise UnreadableError(unreadable(f"{Path(path).name} has no bytes"))
    try:
        data = pydicom.dcmread(path, force=True, **options)
    # A damaged element can raise nearly anything inside the parser; all of it means the same here.
    except Exception as error:
        raise UnreadableError(
            unreadable(f"{Path(path).name} is damaged: {type(error).__name__}: {error}")
        ) from error
    if not any(name in data for name in ("SOPClassUID", "Modality", "Rows", "DirectoryRecordSequence")):
        raise UnreadableError(unreadable(f"{Path(path).name} says nothing of what it holds"))
    if getattr(data, "file_meta", {}).get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        _verify_deflated(Path(path))
    return data


def _verify_deflated(path: Path) -> None:
    """Pass a deflated data set that ends where its file does (PS3.5 A.5), with gzip's checksum or a pad byte.

    Raises:
        UnreadableError: the checksum is wrong, or something else follows.
    """
    content = path.read_bytes()
    # Where the file meta group does not tell its length, nobody knows where the stream begins.
    if content[132:136] != b"\2\0\0\0":
        return
    (length,) = struct.unpack("<I", content[140:144])
    inflate = zlib.decompressobj(-15)
    found = inflate.decompress(content[144 + length :]) + inflate.flush()
    left = inflate.unused_data
    stated = struct.pack("<II", zlib.crc32(found), len(found))
    if len(left) > 1 and left not in (stated, stated + b"\0"):
        raise UnreadableError(unreadable(f"{path.name} is damaged: the checksum of its stream is wrong"))


def is_localizer(data: pydicom.Dataset) -> bool:
    """True for a scout view, which lies across the slices that it shows (PS3.3 C.7.6.1.1.2)."""
    return "LOCALIZER" in str(data.get("ImageType", "")).upper()


def slices_of(data: pydicom.Dataset, path: str) -> list[Slice]:
    """The frames of one file."""
    modality = str(data.get("Modality", ""))
    if modality in NO_IMAGES or not data.get("Rows") or not data.get("Columns"):
        what = f"{Path(path).name} is DICOM {modality or 'without modality'} and holds no image"
        raise UnreadableError(unreadable(what, "name the series that holds the images"))
    if modality == "SEG":
        what = f"{Path(path).name} is a DICOM segmentation object, with frames per segment"
        raise UnreadableError(unreadable(what, "convert it to a label map on its source series' grid"))
    try:
        count = int(data.get("NumberOfFrames", 1) or 1)
        return [_slice(data, path, n) for n in range(max(1, min(count, 100_000)))]
    except (ValueError, TypeError, IndexError, AttributeError) as error:
        raise UnreadableError(unreadable(f"{Path(path).name} has a damaged geometry: {error}")) from error


def _slice(data: pydicom.Dataset, path: str, frame: int) -> Slice:
    def value(group: str, name: str) -> Any:
        for holder in _groups(data, frame):
            if group in holder and len(holder[group].value):
                inner = holder[group].value[0].get(name)
                if inner is not None:
                    return inner
        return data.get(name)

    position = _floats(value("PlanePositionSequence", "ImagePositionPatient"), 3)
    directions = _floats(value("PlaneOrientationSequence", "ImageOrientationPatient"), 6)
    step = _floats(value("PixelMeasuresSequence", "PixelSpacing"), 2) or _floats(
        data.get("ImagerPixelSpacing"), 2
    )
    offsets = data.get("GridFrameOffsetVector")
    if offsets is not None and position and directions and frame < len(offsets):
        normal = np.cross(directions[:3], directions[3:])
        position = tuple(np.array(position) + (float(offsets[frame]) - float(offsets[0])) * normal)
    return Slice(
        path,
        frame,
        str(data.get("SeriesInstanceUID", "")),
        (int(data.Columns), int(data.Rows)),
        position,
        directions,
        (step[0], step[1]) if step else None,
        int(data.get("InstanceNumber", 0) or 0),
        rescale(data, frame),
    )


def _groups(data: pydicom.Dataset, frame: int) -> list[Any]:
    """The functional groups that speak for a frame, its own before the shared ones (PS3.3 C.7.6.16.1)."""
    own, shared = data.get("PerFrameFunctionalGroupsSequence"), data.get("SharedFunctionalGroupsSequence")
    return ([own[frame]] if own and frame < len(own) else []) + ([shared[0]] if shared else [])


def rescale(data: pydicom.Dataset, frame: int) -> tuple[float, float]:
    """Slope and intercept of a frame, its own before the file's (PS3.3 C.7.6.16.2.9), or (1, 0)."""
    for holder in _groups(data, frame):
        if holder.get("PixelValueTransformationSequence"):
            inner = holder.PixelValueTransformationSequence[0]
            return number(inner.get("RescaleSlope")) or 1.0, number(inner.get("RescaleIntercept")) or 0.0
    scaling = number(data.get("DoseGridScaling"))
    return scaling or number(data.get("RescaleSlope")) or 1.0, number(data.get("RescaleIntercept")) or 0.0


def _floats(value: Any, n: int) -> tuple[float, ...] | None:
    try:
        numbers = tuple(float(v) for v in value)
    except (TypeError, ValueError):
        return None
    return numbers if len(numbers) == n and all(np.isfinite(numbers)) else None


def number(value: Any) -> float | None:
    """The value as a finite float, or None."""
    try:
        found = float(value)
    except (TypeError, ValueError):
        return None
    return found if np.isfinite(found) else None
