"""What SimpleITK reads, in our order of axes and in RAS+ millimetres."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from medseg.arrays import LPS_TO_RAS, Affine


def array_of(image: Any) -> npt.NDArray[Any]:
    """A copy of the image's voxels, shape (x, y[, z[, time]]), and last the components of a vector image."""
    import SimpleITK

    array = SimpleITK.GetArrayFromImage(image)
    n_axes = image.GetDimension()
    return np.transpose(array, (*range(n_axes - 1, -1, -1), *range(n_axes, array.ndim)))


def affine_of(image: Any) -> Affine:
    """Voxel index to RAS+ millimetres; of more than three axes the first three count."""
    n_axes = image.GetDimension()
    n = min(n_axes, 3)
    direction = np.asarray(image.GetDirection()).reshape(n_axes, n_axes)[:n, :n]
    lps = np.eye(4)
    lps[:n, :n] = direction * np.asarray(image.GetSpacing())[:n]
    lps[:n, 3] = image.GetOrigin()[:n]
    return LPS_TO_RAS @ lps
