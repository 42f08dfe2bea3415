"""Channels on other grids: refused with a way out, or resampled to the first one's."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from medseg.errors import GeometryError
from medseg.inference.cases import Case
from medseg.inference.staging import Staged, stage

FINE = np.diag([1.0, 1.0, 2.0, 1.0])
# Every second voxel of another view, and half a voxel's shift.
COARSE = np.array([[-2.0, 0, 0, 22], [0, 2.0, 0, -1], [0, 0, 2.0, 0], [0, 0, 0, 1]])


def ramp(path: Path, affine: np.ndarray, shape: tuple[int, ...]) -> Path:
    """A scan whose values are a plane in space, which linear interpolation keeps."""
    index = np.indices(shape).reshape(3, -1)
    x, y, z = affine[:3, :3] @ index + affine[:3, 3:]
    nib.save(nib.Nifti1Image((100 + 2 * x + 3 * y + z).reshape(shape).astype(np.float32), affine), path)
    return path


def staged(tmp_path: Path, place: np.ndarray, allow: tuple[str, ...]) -> Staged:
    files = (ramp(tmp_path / "a.nii", FINE, (20, 18, 6)), ramp(tmp_path / "b.nii", place, (13, 11, 6)))
    (tmp_path / "scratch").mkdir()
    return stage(Case("a", files, files[0]), tmp_path / "scratch", allow=allow)


def test_channels_on_two_grids_are_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(GeometryError, match=r"channel 2 has 13 x 11 x 6 voxels .* --allow channel-grid"):
        staged(tmp_path, COARSE, ())


def test_an_allowed_channel_has_its_values_at_the_first_ones_voxels(tmp_path: Path) -> None:
    case = staged(tmp_path, COARSE, ("channel-grid",))
    first, second = (nib.load(file) for file in case.images)
    np.testing.assert_allclose(second.affine, first.affine)
    np.testing.assert_allclose(second.get_fdata(), first.get_fdata(), rtol=1e-5)
    assert case.notes == ("channel 2 was resampled to the first channel's grid",)


def test_channels_of_two_places_are_refused_all_the_same(tmp_path: Path) -> None:
    away = COARSE + np.array([[0, 0, 0, 500], [0] * 4, [0] * 4, [0] * 4])
    with pytest.raises(GeometryError, match="covers 0% of the first channel's grid"):
        staged(tmp_path, away, ("channel-grid",))
