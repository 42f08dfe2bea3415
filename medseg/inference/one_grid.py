"""Channels of one scan that were stored on grids of their own, brought to the first one's."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from medseg.arrays import Affine
from medseg.data.reading import Image
from medseg.errors import GeometryError
from medseg.inference.scan import ScanOnDisk
from medseg.writers import LabelMapFile, label_header, read_header

RULE = "channel-grid"
# Below that it is no second view of the same place.
LEAST_COVERED = 0.5


def is_alike(first: Image, other: Image) -> bool:
    """True where both have the same voxels in space."""
    same = first.shape == other.shape and first.has_grid == other.has_grid
    return same and np.allclose(first.affine, other.affine, atol=1e-3)


def on_grid_of(first: Image, other: Image, allow: Collection[str], name: str) -> Image:
    """The other image at the first one's voxels: linear between its own, to its smallest value outside them.

    Args:
        allow: nothing is resampled unless it holds ``channel-grid``.
        name: what the other is called in an error.

    Raises:
        GeometryError: it is not allowed, one of them is a picture, or they share too little of the place.
    """
    to_other = _to_other(first, other, allow, name)
    planes = np.moveaxis(other.array.reshape(*other.shape, -1), -1, 0).astype(np.float32)
    resampled = [_resampled(volume, to_other, first.shape, float(np.nanmin(volume))) for volume in planes]
    array = resampled[0] if other.channels == 1 else np.stack(resampled, axis=-1)
    return replace(other, array=array, affine=first.affine)


def on_one_grid(
    images: Sequence[Path], scratch: Path, allow: Collection[str]
) -> tuple[tuple[Path, ...], list[str]]:
    """NIfTI files as they are, or what `on_grid_of` makes of them, plane by plane; and what was resampled.

    Raises:
        GeometryError: as of `on_grid_of`; DataError: a file is damaged.
    """
    first, *others = [_grid_of(image) for image in images]
    files, notes = list(images), []
    for number, other in enumerate(others, 1):
        if not is_alike(first, other):
            to_other = _to_other(first, other, allow, f"channel {number + 1}")
            files[number] = _on_disk(images[number], images[0], to_other, scratch / f"channel_{number}.nii")
            notes.append(f"channel {number + 1} was resampled to the first channel's grid")
    return tuple(files), notes


def _grid_of(image: Path) -> Image:
    header = read_header(image)
    voxels = np.broadcast_to(np.uint8(0), header.get_data_shape())
    return Image(voxels, np.asarray(header.get_best_affine(), np.float64), "NIfTI")


def _on_disk(image: Path, like: Path, to_other: Affine, target: Path) -> Path:
    """A NIfTI file of an image on another one's grid, plane by plane; its own voxels are mapped from disk."""
    scan, pattern = ScanOnDisk(image, target.parent), read_header(like)
    n_x, n_y, n_z = scan.shape
    header = label_header(pattern, np.float32, scan.n_channels if scan.n_channels > 1 else 0)
    shape = (*pattern.get_data_shape()[:2], 1)
    with LabelMapFile(target, header, compressed=False) as file:
        for channel in range(scan.n_channels):
            with tempfile.TemporaryFile(dir=target.parent) as raw:
                least = np.inf
                for z in range(n_z):
                    plane = scan.plane(channel, z)
                    least = min(least, float(np.fmin.reduce(plane, axis=None)))
                    raw.write(plane.tobytes())
                raw.flush()
                volume = np.memmap(raw, np.float32, "r", shape=(n_z, n_y, n_x)).T
                for z in range(pattern.get_data_shape()[2]):
                    at = to_other.copy()
                    at[:3, 3] += z * to_other[:3, 2]
                    file.write(_resampled(volume, at, shape, least))
    return target


def _to_other(first: Image, other: Image, allow: Collection[str], name: str) -> Affine:
    """From an index of the first image to one of the other, where that is allowed."""
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
    return to_other


def _resampled(
    volume: npt.NDArray[np.float32], to_other: Affine, shape: Sequence[int], outside: float
) -> np.ndarray:
    # Linear to the outside, too, so that a last plane which rounding puts 1e-15 out of the grid is not lost.
    return np.asarray(
        ndimage.affine_transform(
            volume,
            to_other[:3, :3],
            to_other[:3, 3],
            tuple(shape),
            order=1,
            mode="grid-constant",
            cval=outside,
        )
    )


def _covered(to_other: np.ndarray, shape: tuple[int, ...], other_shape: tuple[int, ...]) -> float:
    """The share of a grid's voxels, of every fourth along each axis, that lie within the other grid."""
    index = np.stack(np.meshgrid(*(np.arange(0, n, 4) for n in shape), indexing="ij")).reshape(3, -1)
    at = to_other[:3, :3] @ index + to_other[:3, 3:]
    last = np.array(other_shape)[:, None] - 0.5
    return float(np.mean(np.all((at >= -0.5) & (at <= last), axis=0)))


def _mm(image: Image) -> str:
    return " x ".join(f"{s:.3g}" for s in image.spacing_mm) + (" mm" if image.has_grid else " pixels")
