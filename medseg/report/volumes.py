"""Small 8-bit volumes for the viewer: cropped, thinned where they are large, as NIfTI in base64."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from medseg.report.slices import Mask, bounds, eight_bit

MOST_VOXELS = 1_500_000
"""A crop with more voxels is thinned to every second, third … one along each axis."""
_MARGIN_MM = 20.0


@dataclass(frozen=True)
class Volume:
    """A case in the viewer: base64 of gzipped NIfTI files on one grid.

    Attributes:
        case: its name.
        image: grey values, 8 bit; zeros where no image is known.
        reference: structure number to its mask, 0 or 1; ``prediction`` likewise.
    """

    case: str
    image: str
    reference: dict[int, str]
    prediction: dict[int, str]


def volume(
    case: str, image: NDArray[Any] | None, masks: dict[int, tuple[Mask, Mask]], affine: NDArray[np.float64]
) -> Volume:
    """The case cropped round all its masks.

    Args:
        case: its name.
        image: shape (x, y, z), or None.
        masks: structure number to reference and prediction, of the image's shape.
        affine: voxel to RAS+ mm.
    """
    spacing = tuple(float(s) for s in np.linalg.norm(affine[:3, :3], axis=0))
    box = bounds([mask for pair in masks.values() for mask in pair], spacing, _MARGIN_MM)
    step = 1
    while np.prod([-(-(part.stop - part.start) // step) for part in box]) > MOST_VOXELS:
        step += 1
    thinned = tuple(slice(part.start, part.stop, step) for part in box)
    moved = np.array(affine, dtype=float)
    moved[:3, 3] = affine[:3, :3] @ [part.start for part in box] + affine[:3, 3]
    moved[:3, :3] *= step
    first = next(iter(masks.values()))[0]
    grey = np.zeros(first.shape, np.uint8)[thinned] if image is None else eight_bit(image[thinned])
    pairs = {
        number: [_packed(mask[thinned].astype(np.uint8), moved) for mask in pair]
        for number, pair in masks.items()
    }
    return Volume(
        case=case,
        image=_packed(grey, moved),
        reference={number: pair[0] for number, pair in pairs.items()},
        prediction={number: pair[1] for number, pair in pairs.items()},
    )


def viewer_data(volumes: Sequence[Volume], structures: Sequence[str]) -> dict[str, object]:
    """The volumes as JSON-like data for ``viewer.js``."""
    return {
        "structures": list(structures),
        "volumes": [
            {"case": v.case, "image": v.image, "reference": v.reference, "prediction": v.prediction}
            for v in volumes
        ],
    }


def _packed(array: NDArray[np.uint8], affine: NDArray[np.float64]) -> str:
    image = nib.Nifti1Image(np.ascontiguousarray(array), affine)
    return base64.b64encode(gzip.compress(image.to_bytes(), mtime=0)).decode()
