"""Names for array shapes, so that a signature says which axis is which, and the turn between two frames.

Axis order is batch, channel, then space in the file's own order (first axis fastest in NIfTI).
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

LabelMap: TypeAlias = npt.NDArray[np.integer[Any]]
"""One integer per voxel, shape (x, y) or (x, y, z)."""

Mask: TypeAlias = npt.NDArray[np.bool_]
"""One truth value per voxel, shape (x, y) or (x, y, z)."""

Volume: TypeAlias = npt.NDArray[np.floating[Any]]
"""Intensities, shape (x, y) or (x, y, z)."""

Affine: TypeAlias = npt.NDArray[np.float64]
"""Voxel index to RAS+ millimetres, shape (4, 4)."""

Spacing: TypeAlias = tuple[float, ...]
"""Millimetres per voxel along each axis of the array."""

LPS_TO_RAS: Affine = np.diag([-1.0, -1.0, 1.0, 1.0])
"""From the millimetres of DICOM and ITK to those of NIfTI; the way back is the same."""
