"""The scan behind a label map, one channel, for looking at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medseg.data.geometry import SAME_GRID_VOXELS
from medseg.data.itk_images import affine_of, array_of
from medseg.data.label_maps import LabelMapFile
from medseg.data.nifti_bytes import NIFTI_SUFFIXES
from medseg.errors import DataError
from medseg.itk_locale import locale_kept

_PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")


def read_image(paths: Sequence[Path], reference: LabelMapFile) -> npt.NDArray[Any] | None:
    """The first channel of the first file, or a picture's colours; None where it lies on another grid.

    Args:
        paths: the scan's files, one or one per channel.
        reference: the label map whose grid the scan should share.

    Raises:
        DataError: the file is missing or damaged.
    """
    path = paths[0]
    try:
        array, affine = _read(path)
    except (OSError, ValueError, RuntimeError, EOFError) as error:
        reason = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
        raise DataError(f"{path}: {reason}", "the scan that the manifest names", "check the path") from error
    shape = reference.array.shape[: min(3, reference.array.ndim)]
    array = array if affine is None else array.reshape(*array.shape[:3], -1)[..., 0]
    if affine is not None and len(shape) == 2:
        array = array.reshape(array.shape[:2]) if array.shape[2:] in ((), (1,)) else array
    if array.shape[: len(shape)] != shape or not _same_grid(affine, reference, shape):
        return None
    return array


def _read(path: Path) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64] | None]:
    name = path.name.lower()
    if name.endswith(NIFTI_SUFFIXES):
        import nibabel as nib

        volume = nib.load(path)
        return np.asanyarray(volume.dataobj), volume.affine
    if name.endswith(_PICTURES):
        from PIL import Image

        with Image.open(path) as picture:
            return np.asarray(picture.convert("RGB")), None
    return _read_sitk(path)


@locale_kept()
def _read_sitk(path: Path) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64]]:
    import SimpleITK

    image = SimpleITK.ReadImage(str(path))
    return array_of(image), affine_of(image)


def _same_grid(
    affine: npt.NDArray[np.float64] | None, reference: LabelMapFile, shape: tuple[int, ...]
) -> bool:
    """Whether both files put the far corner in one place, within a thousandth of a voxel."""
    if affine is None or reference.affine is None:
        return True
    corners = np.array([[0, 0, 0, 1], [*(np.array([*shape, 1][:3]) - 1), 1]], dtype=float).T
    voxels = np.linalg.inv(reference.affine) @ affine @ corners
    return bool(np.abs(voxels - corners).max() < SAME_GRID_VOXELS)
