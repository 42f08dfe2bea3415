"""The label map of a DICOM series from segmentation objects (PS3.3 A.51) and structure sets (A.19).

Runs in a child process, as all that decodes DICOM does. What comes back lies on the grid of the series.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom

from medseg.arrays import LPS_TO_RAS, Affine
from medseg.data.dicom import load_dicom
from medseg.data.dicom_frames import header
from medseg.data.findings import Finding, UnreadableError, unreadable
from medseg.data.painting import Painting

# Places are decimal strings of 16 characters; a twentieth of a voxel is far above their rounding.
_OFF_GRID, _OFF_SLICE = 0.05, 0.3
Mask = npt.NDArray[np.bool_]


def load_labels(paths: Sequence[str]) -> tuple[npt.NDArray[Any], Affine, dict[str, Any], list[Finding]]:
    """The label map, its affine, the names of its numbers 1, 2, 3 … with their overlaps, and the findings.

    Args:
        paths: SEG and RTSTRUCT files, then ``#``, then the files of the series.

    Raises:
        UnreadableError: a file is damaged, or a structure lies on no grid of the series.
    """
    cut = list(paths).index("#")
    frames, affine, _, found = load_dicom(list(paths)[cut + 1 :])
    drawn: dict[str, Mask] = {}
    shape: tuple[int, int, int] = tuple(frames.shape[:3])
    for path in paths[:cut]:
        masks = _segments if header(path).get("Modality") == "SEG" else _regions
        for name, mask in masks(path, shape, affine):
            if name not in drawn:
                drawn[name] = mask
    painting = Painting(shape, len(drawn))
    for number, mask in enumerate(drawn.values(), 1):
        painting.add(number, mask)
    overlaps = [[a, b, n] for (a, b), n in painting.overlaps.items()]
    return painting.labels, affine, {"names": list(drawn), "overlaps": overlaps}, found


def _segments(path: str, shape: tuple[int, int, int], affine: Affine) -> Iterator[tuple[str, Mask]]:
    import highdicom as hd

    seg = hd.seg.segread(path)
    for number in seg.segment_numbers:
        volume = seg.get_volume(segment_numbers=[number], combine_segments=False)
        array = volume.array[..., 0] if volume.array.ndim == 4 else volume.array
        places = np.argwhere(array >= 0.5)
        yield (
            str(seg.get_segment_description(number).segment_label),
            _placed(places, LPS_TO_RAS @ volume.affine, shape, affine, Path(path).name),
        )


def _placed(
    places: npt.NDArray[Any], own: Affine, shape: tuple[int, int, int], affine: Affine, name: str
) -> Mask:
    """Voxels of one grid on another whose voxels lie at the same places."""
    mask = np.zeros(shape, bool)
    if not len(places):
        return mask
    at = np.c_[places, np.ones(len(places))] @ (np.linalg.inv(affine) @ own).T
    index = np.rint(at[:, :3]).astype(int)
    if np.abs(at[:, :3] - index).max() > _OFF_GRID or (index < 0).any() or (index >= shape).any():
        what = f"{name} has voxels that are none of the series it refers to"
        raise UnreadableError(unreadable(what, "export it on the grid of its series"))
    mask[tuple(index.T)] = True
    return mask


def _regions(path: str, shape: tuple[int, int, int], affine: Affine) -> Iterator[tuple[str, Mask]]:
    data = pydicom.dcmread(path)
    names = {int(s.ROINumber): str(s.get("ROIName", s.ROINumber)) for s in data.StructureSetROISequence}
    to_index = np.linalg.inv(affine) @ LPS_TO_RAS
    for roi in data.get("ROIContourSequence", []):
        mask = np.zeros(shape, bool)
        contours = [
            c for c in roi.get("ContourSequence", []) if "CLOSED" in str(c.get("ContourGeometricType"))
        ]
        for contour in contours:
            points = np.array([float(v) for v in contour.ContourData]).reshape(-1, 3)
            at = np.c_[points, np.ones(len(points))] @ to_index.T
            k = round(float(at[:, 2].mean()))
            if np.abs(at[:, 2] - k).max() > _OFF_SLICE or not 0 <= k < shape[2]:
                what = f"{Path(path).name} has contours that lie on no slice of the series it refers to"
                raise UnreadableError(unreadable(what, "export it on the slices of its series"))
            # A loop inside another is a hole.
            mask[:, :, k] ^= filled(at[:, :2], shape[:2])
        if contours:
            yield names.get(int(roi.ReferencedROINumber), str(roi.ReferencedROINumber)), mask


def filled(corners: npt.NDArray[Any], shape: tuple[int, int]) -> Mask:
    """The pixels whose centres lie inside a closed polygon of (column, row) places, by the even-odd rule.

    >>> filled(np.array([(-0.5, -0.5), (1.5, -0.5), (1.5, 0.5), (-0.5, 0.5)]), (3, 2)).sum()
    2
    """
    mask = np.zeros(shape, bool)
    start, end = corners, np.roll(corners, -1, axis=0)
    low, high = int(np.ceil(corners[:, 1].min())), int(np.floor(corners[:, 1].max()))
    for row in range(max(low, 0), min(high, shape[1] - 1) + 1):
        crosses = (start[:, 1] <= row) != (end[:, 1] <= row)
        a, b = start[crosses], end[crosses]
        columns = np.sort(a[:, 0] + (row - a[:, 1]) / (b[:, 1] - a[:, 1]) * (b[:, 0] - a[:, 0]))
        for first, last in zip(columns[::2], columns[1::2], strict=True):
            mask[max(0, int(np.ceil(first))) : max(0, int(np.ceil(last))), row] = True
    return mask
