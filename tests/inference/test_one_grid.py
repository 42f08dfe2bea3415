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


def staged(tmp_path: Path, place: np.ndarray, allow: tuple[str, ...], *, in_memory: bool = True) -> Staged:
    files = (ramp(tmp_path / "a.nii", FINE, (20, 18, 6)), ramp(tmp_path / "b.nii", place, (13, 11, 6)))
    scratch = tmp_path / f"scratch_{in_memory}"
    scratch.mkdir()
    return stage(Case("a", files, files[0]), scratch, allow=allow, in_memory=in_memory)


@pytest.mark.parametrize("in_memory", [True, False])
def test_channels_on_two_grids_are_refused_with_what_to_do(tmp_path: Path, in_memory: bool) -> None:
    with pytest.raises(GeometryError, match=r"channel 2 has 13 x 11 x 6 voxels .* --allow channel-grid"):
        staged(tmp_path, COARSE, (), in_memory=in_memory)


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


def test_a_channel_that_stays_on_disk_gets_the_values_of_one_in_memory(tmp_path: Path) -> None:
    shifted = COARSE + np.array([[0, 0, 0, 3.3], [0, 0.2, 0, 1.7], [0] * 4, [0] * 4])
    cases = [staged(tmp_path, shifted, ("channel-grid",), in_memory=kept) for kept in (True, False)]
    expected, got = (nib.load(case.images[1]) for case in cases)
    np.testing.assert_allclose(got.get_fdata(), expected.get_fdata(), rtol=1e-6)
    np.testing.assert_allclose(got.affine, expected.affine)
    assert cases[1].notes == cases[0].notes


def test_a_last_plane_that_rounding_puts_outside_keeps_its_values(tmp_path: Path) -> None:
    files = (
        ramp(tmp_path / "a.nii", np.diag([0.1, 1, 1, 1]), (16, 6, 5)),
        ramp(tmp_path / "b.nii", np.diag([0.5, 1, 1, 1]), (4, 6, 5)),
    )
    case = stage(Case("a", files, files[0]), tmp_path, allow=("channel-grid",))
    first, second = (nib.load(file).get_fdata() for file in case.images)
    np.testing.assert_allclose(second, first, rtol=1e-5)
