"""What a voxel grid must be to mean a place in a patient: findings on affines."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from medseg.arrays import Affine
from medseg.data.findings import BLOCKS, WARNING, Finding

# A patient and a scanner's bore bound what a field of view can be, in millimetres.
_LARGEST_MM, _SMALLEST_MM = 3000.0, 2.0
_AXES = {(0, 1): "R", (0, -1): "L", (1, 1): "A", (1, -1): "P", (2, 1): "S", (2, -1): "I"}


def spacing_of(affine: Affine, dimensions: int = 3) -> tuple[float, ...]:
    """Millimetres between neighbours along each axis: the lengths of the affine's columns."""
    return tuple(float(s) for s in np.sqrt((affine[:3, :dimensions] ** 2).sum(0)))


def codes_of(affine: Affine) -> str:
    """Where each axis of the array points, as ``RAS``; an axis that points nowhere is ``?``."""
    import nibabel as nib

    return "".join(c or "?" for c in nib.aff2axcodes(affine))


def corners(affine: Affine, shape: tuple[int, ...]) -> Affine:
    """The eight outermost voxel centres in RAS+ mm, shape (8, 3)."""
    size = [*(n - 1 for n in shape[:3]), 0, 0, 0][:3]
    index = np.array(np.meshgrid(*([0, n] for n in size), indexing="ij")).reshape(3, -1)
    return np.asarray((affine[:3, :3] @ index).T + affine[:3, 3])


def affine_findings(affine: Affine, shape: tuple[int, ...]) -> list[Finding]:
    """What is amiss with the affine of a volume of this shape; a blocking one where it is no grid at all."""
    if not np.all(np.isfinite(affine)):
        return [_finding("affine", BLOCKS, f"affine {_rows(affine)} is not finite", "finite numbers")]
    spacing = np.array(spacing_of(affine))
    if np.any(spacing < 1e-9) or abs(np.linalg.det(affine[:3, :3] / spacing)) < 1e-4:
        return [_finding("affine", BLOCKS, f"affine {_rows(affine)} is singular", "three independent axes")]
    return _skewed(affine[:3, :3] / spacing) + _out_of_scale(spacing, shape)


def _skewed(unit: npt.NDArray[np.float64]) -> list[Finding]:
    """A finding where axes of length one are not at right angles."""
    skew = float(np.abs(unit.T @ unit - np.eye(3)).max())
    if skew <= 1e-3:
        return []
    angle = np.degrees(np.arcsin(min(1.0, skew)))
    return [
        _finding(
            "affine",
            BLOCKS if skew > 0.02 else WARNING,
            f"axes {angle:.2f} degrees away from right angles (affine not orthonormal)",
            "axes at right angles",
            "resample it to a straight grid; most tools read it wrongly in silence",
        )
    ]


def _out_of_scale(spacing: npt.NDArray[np.float64], shape: tuple[int, ...]) -> list[Finding]:
    """A finding where the field of view is no body's in millimetres."""
    extent = spacing * np.array([*shape[:3], 1, 1, 1][:3])
    if _SMALLEST_MM <= extent.max() <= _LARGEST_MM:
        return []
    guess = "micrometres" if extent.max() > _LARGEST_MM else "metres or centimetres"
    return [
        _finding(
            "units",
            WARNING,
            f"field of view {extent.max():.4g} mm (spacing {_mm(spacing)}); is it in {guess}?",
            f"{_SMALLEST_MM:g} to {_LARGEST_MM:g} mm",
            "write the spacing in millimetres",
        )
    ]


def same_grid(a: Affine, b: Affine, shape_a: tuple[int, ...], shape_b: tuple[int, ...]) -> list[Finding]:
    """Where the grid of a label map (`b`) is not the image's (`a`): shape, spacing, orientation, origin."""
    why, do = "the image's own grid", "export the label map on the image's grid, or resample it to nearest"
    if shape_a != shape_b:
        return [_finding("grid", BLOCKS, f"shape {_by(shape_b)} against the image's {_by(shape_a)}", why, do)]
    spacing_a, spacing_b = np.array(spacing_of(a)), np.array(spacing_of(b))
    tolerance = 0.01 * float(spacing_a.min())
    found = []
    if not np.allclose(spacing_a, spacing_b, rtol=1e-3, atol=0):
        found.append(f"spacing {_mm(spacing_b)} against {_mm(spacing_a)}")
    unit_a, unit_b = a[:3, :3] / spacing_a, b[:3, :3] / spacing_b
    if codes_of(a) != codes_of(b):
        found.append(f"orientation {codes_of(b)} against {codes_of(a)}")
    elif not np.allclose(unit_a, unit_b, atol=1e-3):
        cosine = np.clip((unit_a * unit_b).sum(0), -1, 1)
        found.append(f"direction turned by {np.degrees(np.arccos(cosine)).max():.3g} degrees")
    shift = np.linalg.norm(b[:3, 3] - a[:3, 3])
    if shift > tolerance:
        found.append(f"origin {shift:.4g} mm away")
    away = float(np.linalg.norm(corners(a, shape_a) - corners(b, shape_b), axis=1).max())
    if not found or away <= tolerance:
        return []
    if _same_corners(a, b, shape_a, tolerance):
        text = f"stored {codes_of(b)} against the image's {codes_of(a)}, on the same place"
        return [_finding("orientation", WARNING, text, why, "reorient both when they are read")]
    rule = "shift" if len(found) == 1 and shift > tolerance else "grid"
    return [_finding(rule, BLOCKS, "; ".join(found), why, do)]


def _same_corners(a: Affine, b: Affine, shape: tuple[int, ...], tolerance: float) -> bool:
    """True where both grids fill the same box: only the order or direction of the axes differs."""
    first, second = corners(a, shape), corners(b, shape)
    between = np.linalg.norm(first[:, None] - second[None], axis=2)
    return bool(between.min(0).max() <= tolerance and between.min(1).max() <= tolerance)


def _finding(rule: str, severity: str, found: str, expected: str, do: str = "correct the header") -> Finding:
    return Finding(rule, severity, found, expected, do)


def _rows(affine: Affine) -> str:
    return str([[float(f"{v:.4g}") for v in row] for row in affine[:3]])


def _mm(spacing: np.ndarray) -> str:
    return " x ".join(f"{s:.4g}" for s in spacing) + " mm"


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
