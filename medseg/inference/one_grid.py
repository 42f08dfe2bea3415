"""Channels of one scan that were stored on grids of their own, brought to the first one's."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np
from scipy import ndimage

from medseg.data.reading import Image
from medseg.errors import GeometryError

RULE = "channel-grid"
# Below that it is no second view of the same place.
LEAST_COVERED = 0.5


def is_alike(first: Image, other: Image) -> bool:
    """True where both have the same voxels in space."""
    same = first.shape == other.shape and first.has_grid == other.has_grid
    return same and np.allclose(first.affine, other.affine, atol=1e-3)


def on_grid_of(first: Image, other: Image, allow: Collection[str], name: str) -> Image:
    """The other image at the first one's voxels: linear between its own, its smallest value outside them.

    Args:
        allow: nothing is resampled unless it holds ``channel-grid``.
        name: what the other is called in an error.

    Raises:
        GeometryError: it is not allowed, one of them is a picture, or they share too little of the place.
    """
    if RULE not in allow or not (first.has_grid and other.has_grid):
        kinds = [f"{' x '.join(map(str, i.shape))} voxels of {_mm(i)}" for i in (other, first)]
        raise GeometryError(
            f"{name} has {kinds[0]}, the first channel {kinds[1]}, or another place or direction",
            "channels on one grid",
            f"resample them with your registration tool, or --allow {RULE} does it by their headers alone",
        )
    to_other = np.linalg.inv(other.affine) @ first.affine
    if (covered := _covered(to_other, first.shape, other.shape)) < LEAST_COVERED:
        raise GeometryError(
            f"{name} covers {covered:.0%} of the first channel's grid", "half of it", "check the files"
        )
    planes = np.moveaxis(other.array.reshape(*other.shape, -1), -1, 0).astype(np.float32)
    resampled = [
        ndimage.affine_transform(
            plane, to_other[:3, :3], to_other[:3, 3], first.shape, order=1, cval=float(np.nanmin(plane))
        )
        for plane in planes
    ]
    array = resampled[0] if other.channels == 1 else np.stack(resampled, axis=-1)
    return replace(other, array=array, affine=first.affine)


def _covered(to_other: np.ndarray, shape: tuple[int, ...], other_shape: tuple[int, ...]) -> float:
    """The share of a grid's voxels, of every fourth along each axis, that lie within the other grid."""
    index = np.stack(np.meshgrid(*(np.arange(0, n, 4) for n in shape), indexing="ij")).reshape(3, -1)
    at = to_other[:3, :3] @ index + to_other[:3, 3:]
    last = np.array(other_shape)[:, None] - 0.5
    return float(np.mean(np.all((at >= -0.5) & (at <= last), axis=0)))


def _mm(image: Image) -> str:
    return " x ".join(f"{s:.3g}" for s in image.spacing_mm) + (" mm" if image.has_grid else " pixels")
