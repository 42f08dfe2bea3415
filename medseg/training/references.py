"""Reference label maps as their files have them: what a validation scores against."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from monai.data import MetaTensor

from medseg.data.geometry import on_reference_grid
from medseg.data.label_maps import IMAGE_SUFFIXES, LabelMapFile, label_map_suffix, read_label_map
from medseg.data.relabelling import as_declared
from medseg.errors import DataError

Labels = Mapping[str, int | Iterable[int]]
UNTOUCHED = "is_untouched"
"""In the meta of a label map that lies on its scan's own grid."""


def untouched(row: Mapping[str, Any], image: Any, labels: Labels | None) -> MetaTensor:
    """The reference of a case on the voxels of its scan's file, shape (1, x, y[, z]), never interpolated.

    Where structures overlap in a file of their own channels the shape is (structures, x, y, z). Axes in
    another order or direction than the scan's are brought to its order; `relabel` of the row is applied.

    Args:
        row: of a datalist, ``label`` being a path.
        image: the prepared scan, which knows the grid of its file.
        labels: name to number or numbers.

    Raises:
        DataError: the file can't be read, or isn't on the scan's grid; with the case's name.
    """
    try:
        label_map = read_label_map(row["label"])
        if labels is not None:
            label_map = as_declared(label_map, row.get("relabel", {}), declared_numbers(labels))
        array, affine = _on_scans_grid(label_map, image)
    except DataError as error:
        raise error.within(f"case {row.get('case', row['label'])}") from None
    meta = {
        "filename_or_obj": str(row["label"]),
        "original_affine": affine,
        "spatial_shape": np.asarray(array.shape[1:]),
        UNTOUCHED: True,
    }
    return MetaTensor(torch.from_numpy(array), affine=torch.from_numpy(affine), meta=meta)


def declared_numbers(labels: Labels) -> set[int]:
    """Every number that a label map may hold, the background's 0 among them."""
    numbers = {0}
    for value in labels.values():
        numbers.update([value] if isinstance(value, int) else value)
    return numbers


def _on_scans_grid(label_map: LabelMapFile, image: Any) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64]]:
    """The array, channels first and of a type that torch has, and the affine of the scan's file."""
    array, affine = label_map.array, np.eye(4) if label_map.affine is None else label_map.affine
    if label_map_suffix(label_map.path) in IMAGE_SUFFIXES:
        array = array.T  # MONAI's readers of pictures put columns first
    elif isinstance(image, MetaTensor) and "original_affine" in image.meta:
        scan = _grid_of(image)
        array, affine = on_reference_grid(label_map, scan)[0], np.asarray(scan.affine)
    array = np.moveaxis(array, 3, 0) if array.ndim == 4 else array[None]
    small = np.uint8 if array.dtype.kind == "u" and array.dtype.itemsize == 1 else np.int32
    return np.ascontiguousarray(array, dtype=small), affine


def _grid_of(image: MetaTensor) -> LabelMapFile:
    """The scan's file as far as its grid is concerned: no voxel is stored."""
    shape = tuple(int(n) for n in image.meta["spatial_shape"])
    path = image.meta.get("filename_or_obj", "the scan")
    path = path[0] if isinstance(path, (list, tuple)) else path
    affine = np.eye(4)
    known = np.asarray(image.meta["original_affine"], dtype=float)
    n = len(known) - 1
    affine[:n, :n], affine[:n, 3] = known[:n, :n], known[:n, n]
    return LabelMapFile(
        Path(str(path)), np.broadcast_to(np.uint8(0), shape), affine, (1.0,) * len(shape), "", (), ""
    )
