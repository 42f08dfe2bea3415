"""Reading DICOM: a series is what shares a UID and a geometry, and its slices must be a grid.

Runs in a child process (`medseg.data.child`): decoders of compressed pixels crash on damaged files.
Clauses are of DICOM PS3.3 (2024): C.7.6.2 Image Plane, C.7.6.16 Multi-frame Functional Groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom

from medseg.arrays import Affine
from medseg.data.findings import BLOCKS, NOTE, WARNING, Finding, UnreadableError, unreadable

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
NO_IMAGES = {"SR", "RTSTRUCT", "RTPLAN", "RTRECORD", "PR", "KO", "ECG", "REG", "DOC", "PLAN"}
# Under a tenth of a degree a slanted stack is the rounding of decimal strings.
_TILT_DEGREES = 0.1
_SAME_PLACE_MM = 1e-3


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


def is_dicom(start: bytes) -> bool:
    """True where these first bytes open a DICOM file, with or without the preamble of PS3.10 clause 7.1."""
    bare = start[:4] in (b"\x02\x00\x00\x00", b"\x08\x00\x00\x00", b"\x08\x00\x05\x00", b"\x08\x00\x08\x00")
    return start[128:132] == b"DICM" or bare


def header(path: str) -> pydicom.Dataset:
    """The data set without its pixels.

    Raises:
        UnreadableError: it is no DICOM file, or a damaged one.
    """
    return _read(path, stop_before_pixels=True)


def _read(path: str, **options: Any) -> pydicom.Dataset:
    try:
        return pydicom.dcmread(path, force=True, **options)
    # A damaged element can raise nearly anything inside the parser; all of it means the same here.
    except Exception as error:
        raise UnreadableError(
            unreadable(f"{Path(path).name} is damaged: {type(error).__name__}: {error}")
        ) from error


def summary(paths: Sequence[str]) -> list[dict[str, Any]]:
    """One entry per series for `medseg data scan`: files, modality, description, slices, size."""
    series: dict[tuple[str, str], dict[str, Any]] = {}
    for path in paths:
        try:
            data = header(path)
            uid = str(data.get("SeriesInstanceUID", "")) or str(Path(path).parent)
        except UnreadableError:
            continue
        entry = series.setdefault(
            (uid, str(Path(path).parent)),
            {
                "uid": uid,
                "folder": str(Path(path).parent),
                "modality": str(data.get("Modality", "?")),
                "description": str(data.get("SeriesDescription", "")),
                "patient": str(data.get("PatientID", "")),
                "name": str(data.get("PatientName", "")),
                "birth": str(data.get("PatientBirthDate", "")),
                "is_localizer": "LOCALIZER" in str(data.get("ImageType", "")).upper(),
                "study": str(data.get("StudyInstanceUID", "")),
                "size": [int(data.get("Columns", 0) or 0), int(data.get("Rows", 0) or 0)],
                "files": [],
                "slices": 0,
            },
        )
        entry["files"].append(path)
        entry["slices"] += _count(data)
    return list(series.values())


def _count(data: pydicom.Dataset) -> int:
    try:
        return max(1, int(data.get("NumberOfFrames", 1) or 1))
    except (TypeError, ValueError):
        return 1


def load_dicom(paths: Sequence[str]) -> tuple[npt.NDArray[Any], Affine, dict[str, Any], list[Finding]]:
    """The volume of one series, shape (column, row, slice), its affine to RAS+ mm, and the findings.

    Raises:
        UnreadableError: there is no series with pixels, or there are several.
    """
    slices, first, found = [], None, []
    wanted = paths[-1][1:] if paths[-1].startswith("#") else ""
    for path in paths[:-1] if wanted else paths:
        try:
            data = header(path)
            if wanted and str(data.get("SeriesInstanceUID", "")) != wanted:
                continue
            slices += _slices(data, path)
            first = first or data
        except UnreadableError as error:
            if len(paths) == 1:
                raise
            found.append(error.finding)
    if first is None:
        raise UnreadableError(found[0] if found else unreadable("no DICOM image"))
    slices, more = _one_volume(slices)
    ordered, affine, geometry = _stack(slices, first)
    frames, is_rgb, problems = _pixels(ordered)
    about = {"modality": str(first.get("Modality", "")), "is_rgb": is_rgb, "has_grid": affine is not None}
    about["description"] = str(first.get("SeriesDescription", ""))
    everything = found + more + geometry + problems + _mixed_rescale(ordered, str(about["modality"]))
    return frames, np.eye(4) if affine is None else affine, about, everything


def _slices(data: pydicom.Dataset, path: str) -> list[Slice]:
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
        _rescale(data, frame),
    )


def _groups(data: pydicom.Dataset, frame: int) -> list[Any]:
    """The functional groups that speak for a frame, its own before the shared ones (PS3.3 C.7.6.16.1)."""
    own, shared = data.get("PerFrameFunctionalGroupsSequence"), data.get("SharedFunctionalGroupsSequence")
    return ([own[frame]] if own and frame < len(own) else []) + ([shared[0]] if shared else [])


def _floats(value: Any, n: int) -> tuple[float, ...] | None:
    try:
        numbers = tuple(float(v) for v in value)
    except (TypeError, ValueError):
        return None
    return numbers if len(numbers) == n and all(np.isfinite(numbers)) else None


def _one_volume(slices: list[Slice]) -> tuple[list[Slice], list[Finding]]:
    """The slices of the only volume there is; several series are an error, several geometries a finding."""
    series = sorted({s.series for s in slices})
    if len(series) > 1:
        what = f"{len(series)} series in one folder, first {series[0]}"
        raise UnreadableError(
            unreadable(what, "put each series in a folder of its own, or run `medseg data scan`")
        )
    groups: dict[object, list[Slice]] = {}
    for s in slices:
        groups.setdefault(s.geometry, []).append(s)
    if len(groups) == 1:
        return slices, []
    largest = max(groups.values(), key=len)
    text = f"{len(groups)} orientations, sizes or spacings in one series"
    bad = Finding(
        "dicom-orientation", BLOCKS, text, "one grid", "part the series; only its largest part was read"
    )
    return largest, [bad]


def _stack(slices: list[Slice], first: pydicom.Dataset) -> tuple[list[Slice], Affine | None, list[Finding]]:
    """The slices in the order of their places, and the affine that this order gives."""
    s = slices[0]
    if s.directions is None or any(x.position is None for x in slices) or s.pixel_mm is None:
        found = Finding(
            "dicom-geometry",
            NOTE if s.directions is None and len(slices) == 1 else WARNING,
            "no position, orientation or pixel spacing",
            "all three, for a place in the patient",
            "treat it as a picture without millimetres",
        )
        return sorted(slices, key=lambda x: (x.number, x.frame)), None, [found]
    row, column = np.array(s.directions[:3]), np.array(s.directions[3:])
    normal = np.cross(row, column)
    if min(np.linalg.norm(row), np.linalg.norm(column), np.linalg.norm(normal)) < 0.5 or min(s.pixel_mm) <= 0:
        bad = Finding(
            "affine", BLOCKS, f"directions {s.directions}, pixel {s.pixel_mm} mm", "a grid", "export it anew"
        )
        return slices, None, [bad]
    ordered = sorted(slices, key=lambda x: float(np.dot(np.array(x.position), normal)))
    places = np.array([x.position for x in ordered])
    step, found_steps = _step(places, normal, first)
    # Of copies the first is kept, so that who allows them gets a grid all the same.
    heights = places @ normal
    is_new = np.r_[True, np.diff(heights) >= _SAME_PLACE_MM]
    if not is_new.all():
        ordered = [x for x, new in zip(ordered, is_new, strict=True) if new]
        places = places[is_new]
        step = (places[-1] - places[0]) / (len(places) - 1) if len(places) > 1 else step
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1], affine[:3, 2] = row * s.pixel_mm[1], column * s.pixel_mm[0], step
    affine[:3, 3] = places[0]
    return ordered, _LPS_TO_RAS @ affine, found_steps


def _step(places: np.ndarray, normal: np.ndarray, first: pydicom.Dataset) -> tuple[np.ndarray, list[Finding]]:
    """From one slice to the next in LPS mm, and what is wrong with the way."""
    found = []
    tilt = _number(first.get("GantryDetectorTilt"))
    if len(places) == 1:
        thickness = _number(first.get("SpacingBetweenSlices")) or _number(first.get("SliceThickness")) or 1.0
        text = "one slice alone; its third spacing is the slice's thickness"
        note = Finding("dicom-slices", NOTE, text, "a series", "name the series' folder")
        return normal * abs(thickness), [note]
    steps = np.diff(places, axis=0)
    heights = steps @ normal
    median = float(np.median(heights))
    if heights.min() < _SAME_PLACE_MM:
        n = int((heights < _SAME_PLACE_MM).sum())
        text = f"{n} slices lie on the place of another one"
        found.append(
            Finding("dicom-slices", BLOCKS, text, "one slice per place", "part the time points or copies")
        )
        heights = heights[heights >= _SAME_PLACE_MM]
        median = float(np.median(heights)) if len(heights) else 1.0
    elif heights.max() - heights.min() > max(0.02 * median, 0.01):
        found.append(_gaps(heights, median))
    mean = (places[-1] - places[0]) / (len(places) - 1)
    if np.linalg.norm(mean) < 1e-6:
        return normal * median, found
    angle = float(np.degrees(np.arccos(np.clip(mean @ normal / np.linalg.norm(mean), -1, 1))))
    if angle > _TILT_DEGREES:
        text = f"slices lie {angle:.2f} degrees aslant (gantry tilt {tilt or 0:g})"
        do = "resample it to a straight grid: most tools drop the slant in silence"
        found.append(Finding("dicom-tilt", BLOCKS, text, "a stack at right angles", do))
    elif tilt and abs(tilt) > _TILT_DEGREES:
        text = f"GantryDetectorTilt {tilt:g} with a straight stack"
        found.append(Finding("dicom-tilt", WARNING, text, "0", "make sure that the tilt was corrected"))
    stated = _number(first.get("ImagesInAcquisition"))
    if stated and len(places) < stated and not found:
        text = f"{len(places)} of the {stated:g} slices that the header tells of"
        found.append(Finding("dicom-slices", WARNING, text, "all of them", "fetch the series anew"))
    return mean, found


def _gaps(heights: np.ndarray, median: float) -> Finding:
    ratio = heights / heights.min()
    missing = int(np.round(ratio - 1).sum())
    whole = np.abs(ratio - np.round(ratio)).max() < 0.05 and missing > 0
    text = f"{missing} slices are missing" if whole else "unequal distances between slices"
    text += f" ({heights.min():.3g} to {heights.max():.3g} mm, median {median:.3g})"
    return Finding("dicom-slices", BLOCKS, text, "one distance", "fetch the whole series, or resample it")


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if np.isfinite(number) else None


def _mixed_rescale(slices: Sequence[Slice], modality: str) -> list[Finding]:
    """A finding where slices are scaled differently; in PET each slice has its own by custom."""
    pairs = sorted({s.rescale for s in slices})
    if len(pairs) < 2:
        return []
    text = f"{len(pairs)} different rescale slopes and intercepts, first {pairs[0]} and {pairs[1]}"
    severity = NOTE if modality == "PT" else BLOCKS
    do = "make sure that the slices belong together; each was read by its own"
    return [Finding("dicom-rescale", severity, text, "one for the series", do)]


def _pixels(ordered: list[Slice]) -> tuple[npt.NDArray[Any], bool, list[Finding]]:
    """Every frame in this order: shape (column, row, slice), or (column, row, slice, 3) in colour."""
    decoded: dict[str, npt.NDArray[Any]] = {}
    frames, is_rgb = [], False
    for s in ordered:
        if s.path not in decoded:
            decoded = {s.path: _decode(s.path)}
        stack = decoded[s.path]
        is_rgb = stack.ndim == 4
        if s.frame >= len(stack):
            bad = unreadable(f"{Path(s.path).name} has {len(stack)} of its frames")
            raise UnreadableError(bad)
        frames.append(stack[s.frame])
    volume = np.stack(frames)
    return np.moveaxis(volume, (0, 1, 2), (2, 1, 0)), is_rgb, []


def _decode(path: str) -> npt.NDArray[Any]:
    """The frames of a file, shape (frame, row, column) or with colours last, in the units of the modality."""
    data = _read(path)
    if not any(name in data for name in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        raise UnreadableError(unreadable(f"{Path(path).name} has no pixels"))
    if "TransferSyntaxUID" not in data.file_meta:
        syntax = pydicom.uid.ExplicitVRLittleEndian if data.original_encoding[0] is False else None
        data.file_meta.TransferSyntaxUID = syntax or pydicom.uid.ImplicitVRLittleEndian
    try:
        array = data.pixel_array
    # Missing codec, damaged stream or wrong length: GDCM, inside SimpleITK, may know the codec.
    except Exception as error:
        if not data.file_meta.TransferSyntaxUID.is_compressed:
            raise UnreadableError(unreadable(f"{Path(path).name}: pixels damaged: {error}")) from error
        return _decode_by_itk(path, data)
    colour = int(data.get("SamplesPerPixel", 1) or 1) > 1
    frames = array if array.ndim == (4 if colour else 3) else array[None]
    return frames if colour else _rescaled(frames, data)


def _rescaled(frames: npt.NDArray[Any], data: pydicom.Dataset) -> npt.NDArray[Any]:
    """Rescale slope and intercept applied, those of each frame where it has its own (PS3.3 C.7.6.16.2.9)."""
    out = frames.astype(np.float32 if frames.dtype.itemsize <= 2 else np.float64)
    changed = False
    for n in range(len(frames)):
        slope, intercept = _rescale(data, n)
        if (slope, intercept) != (1.0, 0.0):
            changed = True
            out[n] = out[n] * slope + intercept
    whole = changed and np.all(np.abs(out) < 2**31) and np.all(out == np.rint(out))
    return out.astype(np.int32) if whole else out if changed else frames


def _rescale(data: pydicom.Dataset, frame: int) -> tuple[float, float]:
    for holder in _groups(data, frame):
        if holder.get("PixelValueTransformationSequence"):
            inner = holder.PixelValueTransformationSequence[0]
            return _number(inner.get("RescaleSlope")) or 1.0, _number(inner.get("RescaleIntercept")) or 0.0
    scaling = _number(data.get("DoseGridScaling"))
    return scaling or _number(data.get("RescaleSlope")) or 1.0, _number(data.get("RescaleIntercept")) or 0.0


def _decode_by_itk(path: str, data: pydicom.Dataset) -> npt.NDArray[Any]:
    """The frames as GDCM decodes and rescales them."""
    import SimpleITK

    try:
        image = SimpleITK.ReadImage(path)
    except RuntimeError as error:
        syntax = data.file_meta.TransferSyntaxUID.name
        raise UnreadableError(
            unreadable(f"{Path(path).name}: cannot decode {syntax}: {str(error)[-200:]}")
        ) from error
    array = SimpleITK.GetArrayFromImage(image)
    colour = image.GetNumberOfComponentsPerPixel() > 1
    return np.asarray(array if array.ndim == (4 if colour else 3) else array[None])
