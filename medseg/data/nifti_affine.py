"""From voxels to millimetres by a NIfTI header, and what is wrong where its own statements disagree."""

from __future__ import annotations

from typing import Any

import numpy as np
from nibabel.spatialimages import HeaderDataError

from medseg.arrays import Affine
from medseg.data.findings import BLOCKS, WARNING, Finding
from medseg.data.grid import affine_findings, corners, spacing_of

_UNITS_MM = {1: 1000.0, 3: 0.001}


def affine_of(header: Any, shape: tuple[int, ...]) -> tuple[Affine, list[Finding]]:
    """Voxel to RAS+ mm: the sform, else the qform, else the spacing alone, as nibabel chooses."""
    found: list[Finding] = []
    pixdim = np.array(header["pixdim"][1:4], float)
    real = np.array([n > 1 for n in shape[:3]])
    if not np.all(np.isfinite(pixdim)) or np.any(pixdim[real] <= 0):
        text = f"pixdim {pixdim.tolist()}"
        found.append(Finding("spacing", BLOCKS, text, "millimetres above zero", "correct the header"))
    has_sform, has_qform = header["sform_code"] > 0, header["qform_code"] > 0
    qform = _qform(header)
    if has_qform and qform is None:
        found.append(
            Finding(
                "affine", WARNING if has_sform else BLOCKS, "the qform is no rotation", "one", "correct it"
            )
        )
    affine = np.array(header.get_sform(), float) if has_sform else qform if has_qform else None
    if affine is None:
        size = np.where(np.isfinite(pixdim) & (pixdim != 0), np.abs(pixdim), 1.0)
        affine = np.diag([-size[0], size[1], size[2], 1.0])
        affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape[:3]) - 1) / 2)
        found.append(
            Finding("orientation", WARNING, "neither sform nor qform", "one of them", "state left and right")
        )
    found += affine_findings(affine, shape)
    if has_sform and not any(f.severity == BLOCKS for f in found):
        found += _forms(affine, qform if has_qform else None, pixdim[real], real, shape)
    unit = _UNITS_MM.get(int(header["xyzt_units"]) & 7)
    return _in_millimetres(affine, unit, shape, found)


def _qform(header: Any) -> Affine | None:
    if header["pixdim"][0] == 0:
        # nifti1.h: "if pixdim[0] is 0.0 (which should not occur), we take qfac = 1".
        header = header.copy()
        header["pixdim"][0] = 1
    try:
        affine = np.array(header.get_qform(), float)
    except (ValueError, HeaderDataError):
        return None
    return affine if np.all(np.isfinite(affine)) else None


def _forms(
    sform: Affine, qform: Affine | None, pixdim: np.ndarray, real: np.ndarray, shape: tuple[int, ...]
) -> list[Finding]:
    found = []
    spacing = np.array(spacing_of(sform))
    if not np.allclose(spacing[real], np.abs(pixdim), rtol=0.01):
        text = f"pixdim {np.round(pixdim, 4).tolist()}, sform {np.round(spacing[real], 4).tolist()}"
        found.append(Finding("forms", WARNING, text, "one spacing", "correct pixdim or the sform"))
    if qform is not None:
        away = float(np.linalg.norm(corners(sform, shape) - corners(qform, shape), axis=1).max())
        if away > 0.1 * spacing.min():
            text = f"sform and qform part by up to {away:.3g} mm"
            found.append(
                Finding("forms", WARNING, text, "one place", "set both alike: readers differ in choice")
            )
    return found


def _in_millimetres(
    affine: Affine, unit: float | None, shape: tuple[int, ...], found: list[Finding]
) -> tuple[Affine, list[Finding]]:
    """Convert metres or micrometres where the header says so and the result is plausible."""
    if unit is None:
        return affine, found
    name = "metres" if unit > 1 else "micrometres"
    converted = affine.copy()
    converted[:3] *= unit
    if affine_findings(converted, shape) and not affine_findings(affine, shape):
        text = f"the header says {name}, the numbers look like millimetres"
        return affine, [*found, Finding("units", WARNING, text, "millimetres", "correct xyzt_units")]
    text = f"the header's unit is {name}; read as {np.round(spacing_of(converted), 4).tolist()} mm"
    note = Finding(
        "units", WARNING, text, "millimetres", "write it in millimetres: most tools ignore the unit"
    )
    return converted, [note, *(f for f in found if f.rule != "units")]
