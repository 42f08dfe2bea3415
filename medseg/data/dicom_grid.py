"""From the frames of a DICOM series to one grid: their order, the affine, and what is wrong with the way."""

from __future__ import annotations

import numpy as np
import pydicom

from medseg.arrays import LPS_TO_RAS, Affine
from medseg.data.dicom_frames import Slice, number
from medseg.data.findings import BLOCKS, NOTE, WARNING, Finding, UnreadableError, unreadable

# Under a tenth of a degree a slanted stack is the rounding of decimal strings.
_TILT_DEGREES = 0.1
_SAME_PLACE_MM = 1e-3


def one_volume(slices: list[Slice]) -> tuple[list[Slice], list[Finding]]:
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


def stack(slices: list[Slice], first: pydicom.Dataset) -> tuple[list[Slice], Affine | None, list[Finding]]:
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
    return ordered, LPS_TO_RAS @ affine, found_steps


def _step(places: np.ndarray, normal: np.ndarray, first: pydicom.Dataset) -> tuple[np.ndarray, list[Finding]]:
    """From one slice to the next in LPS mm, and what is wrong with the way."""
    found = []
    tilt = number(first.get("GantryDetectorTilt"))
    if len(places) == 1:
        thickness = number(first.get("SpacingBetweenSlices")) or number(first.get("SliceThickness")) or 1.0
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
    stated = number(first.get("ImagesInAcquisition"))
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
