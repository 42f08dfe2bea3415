"""A contact sheet of a label map on its scan: the slices where the structures are, one PNG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from medseg.arrays import Affine, LabelMap
from medseg.labels import Structure
from medseg.writers.codes import colour_of
from medseg.writers.nifti import replacing
from medseg.writers.volumes import mask_of

N_COLUMNS, N_ROWS, TILE = 4, 3, 220  # tiles, tiles, pixels of a tile's longer side
OPACITY = 0.45


def write_preview(
    path: Path,
    image: npt.NDArray[np.generic],
    labels: LabelMap,
    structures: Sequence[Structure],
    affine: Affine,
    *,
    overwrite: bool = False,
) -> Path:
    """The path of a PNG with up to twelve slices across the last axis, structures coloured, feet first.

    Slices are spread over the extent of what was found, or of the scan where nothing was. Nothing about the
    patient is written into it.

    Args:
        image: shape (x, y, z) or (column, row); shown from its 1st to its 99th percentile.
        labels: of the same shape, or with a map for each structure as the last axis.
        affine: voxel index to RAS+ mm, for the slices' proportions.

    Raises:
        OutputError: ``path`` exists and ``overwrite`` is False, or it can't be written.
    """
    from PIL import Image

    volume = image.reshape((*image.shape, 1)[:3]) if image.ndim == 2 else image
    maps = labels.reshape((*volume.shape, *labels.shape[3:]))
    low, high = np.percentile(volume[:: _step(volume)], (1, 99))
    spacing = np.linalg.norm(np.asarray(affine)[:3, :3], axis=0)
    tiles = []
    for z in _slices(maps):
        grey = np.clip((volume[:, :, z].astype(float) - low) / max(high - low, 1e-6), 0, 1) * 255
        colours = np.repeat(grey[..., None], 3, -1)
        for i, structure in enumerate(structures):
            where = mask_of(maps[:, :, z : z + 1], i, structure)[:, :, 0]
            colours[where] = (1 - OPACITY) * colours[where] + OPACITY * np.array(colour_of(structure, i))
        tiles.append(_upright(colours, np.asarray(affine), spacing))
    sheet = _sheet(tiles)
    with replacing(path, overwrite=overwrite) as partial:
        Image.fromarray(sheet).save(partial, format="PNG")
    return path


def _step(volume: npt.NDArray[np.generic]) -> int:
    return max(len(volume) // 64, 1)


def _slices(maps: LabelMap) -> list[int]:
    """Up to twelve slices, first to last of those that hold something."""
    n_slices = maps.shape[2]
    found = [z for z in range(n_slices) if maps[:, :, z].any()] or [*range(n_slices)]
    picks = np.linspace(found[0], found[-1], min(N_COLUMNS * N_ROWS, found[-1] - found[0] + 1))
    return [int(z) for z in np.unique(picks.round())]


def _upright(
    colours: npt.NDArray[np.float64], affine: Affine, spacing: npt.NDArray[np.float64]
) -> npt.NDArray[np.uint8]:
    """A slice as a picture in its true proportions; where axial, the patient's right on the left."""
    from PIL import Image

    if affine[0, 0] > 0:
        colours = colours[::-1]
    if affine[1, 1] > 0:
        colours = colours[:, ::-1]
    size = np.array(colours.shape[:2]) * spacing[:2]
    width, height = (np.maximum(size * TILE / size.max(), 1)).round().astype(int)
    picture = Image.fromarray(np.ascontiguousarray(np.swapaxes(colours, 0, 1)).astype(np.uint8))
    return np.asarray(picture.resize((int(width), int(height)), Image.Resampling.BILINEAR))


def _sheet(tiles: Sequence[npt.NDArray[np.uint8]]) -> npt.NDArray[np.uint8]:
    height, width = (max(tile.shape[a] for tile in tiles) for a in (0, 1))
    n_columns = min(N_COLUMNS, len(tiles))
    sheet = np.zeros((math.ceil(len(tiles) / n_columns) * height, n_columns * width, 3), np.uint8)
    for i, tile in enumerate(tiles):
        row, column = divmod(i, n_columns)
        top, left = row * height, column * width
        sheet[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    return sheet
