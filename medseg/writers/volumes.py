"""How much there is of each structure in a label map, as rows of ``volumes.csv``."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import ndimage, sparse

from medseg.arrays import LabelMap
from medseg.labels import Structure
from medseg.writers.nifti import replacing


@dataclass(frozen=True)
class VolumeRow:
    """One structure of one case.

    Attributes:
        ml: millilitres; pixels where the scan is a picture without millimetres are not turned into any: NaN.
        voxels: number of voxels.
        components: connected parts, by faces, edges and corners.
        confidence: mean probability of the structure over its voxels on the network's grid, or NaN.
    """

    case: str
    structure: str
    number: int
    ml: float
    voxels: int
    components: int
    confidence: float = float("nan")


# Components are labelled in 32 bits, so this many voxels take 64 MB.
SLAB_VOXELS = 1 << 24
COLUMNS = tuple(field.name for field in fields(VolumeRow))


def mask_of(labels: LabelMap, index: int, structure: Structure) -> npt.NDArray[np.bool_]:
    """Where a structure is: its numbers in a label map, or the ``index``-th of several maps."""
    if labels.ndim == 4:
        return np.asarray(labels[..., index] != 0)
    return np.isin(labels, list(structure.numbers))


def volume_rows(
    case: str,
    labels: LabelMap,
    structures: Sequence[Structure],
    *,
    voxel_mm3: float,
    confidence: Mapping[str, float] | None = None,
) -> list[VolumeRow]:
    """One row for each structure, in their order, also for those with no voxel.

    Args:
        labels: shape (x, y, z), or (x, y, z, n) with a map for each structure.
        voxel_mm3: volume of a voxel; NaN for a picture.
    """
    rows = []
    for i, (structure, box) in enumerate(zip(structures, _boxes(labels, structures), strict=True)):
        mask = mask_of(labels[box], i, structure) if box is not None else np.zeros(0, bool)
        n = int(np.count_nonzero(mask))
        sure = (confidence or {}).get(structure.name, float("nan"))
        number = min(structure.numbers, default=i + 1)
        parts = n_components(mask) if n else 0
        rows.append(VolumeRow(case, structure.name, number, n * voxel_mm3 / 1000, n, parts, sure))
    return rows


def _boxes(labels: LabelMap, structures: Sequence[Structure]) -> list[tuple[slice, ...] | None]:
    """The smallest box around each structure, by one pass over a label map; None where there is none."""
    if labels.ndim == 4:
        return [
            (ndimage.find_objects(np.asarray(labels[..., i] != 0, np.uint8)) or [None])[0]
            for i in range(len(structures))
        ]
    of_number = [None, *ndimage.find_objects(labels)]
    found = []
    for structure in structures:
        boxes = [of_number[n] for n in structure.numbers if n < len(of_number) and of_number[n] is not None]
        sides = zip(*boxes, strict=True)
        union = tuple(slice(min(s.start for s in side), max(s.stop for s in side)) for side in sides)
        found.append(union or None)
    return found


def n_components(mask: npt.NDArray[np.bool_]) -> int:
    """Connected parts of a mask, by faces, edges and corners; large masks are labelled slab by slab."""
    whole = mask.reshape((*mask.shape, 1, 1)[:3]) if mask.ndim < 3 else mask
    thick = max(SLAB_VOXELS // max(whole[:, :, 0].size, 1), 1)
    total, pairs = 0, [np.zeros((0, 2), np.int64)]
    below = np.zeros(whole.shape[:2], np.int64)
    for first in range(0, whole.shape[2], thick):
        slab, n = ndimage.label(whole[:, :, first : first + thick], np.ones((3, 3, 3)))
        numbered = np.where(slab[:, :, [0, -1]] > 0, slab[:, :, [0, -1]].astype(np.int64) + total, 0)
        pairs.append(_touching(below, numbered[:, :, 0]))
        below, total = numbered[:, :, 1], total + n
    joined = np.concatenate(pairs) - 1
    graph = sparse.coo_matrix((np.ones(len(joined)), (joined[:, 0], joined[:, 1])), shape=(total, total))
    return int(sparse.csgraph.connected_components(graph, directed=False)[0])


def _touching(below: npt.NDArray[np.int64], above: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Pairs of labels of two neighbouring slices that touch by a face, an edge or a corner."""
    padded = np.pad(below, 1)
    rows, columns = above.shape
    found = []
    for i in range(3):
        for j in range(3):
            shifted = padded[i : i + rows, j : j + columns]
            both = (shifted > 0) & (above > 0)
            found.append(np.unique(np.stack([shifted[both], above[both]], 1), axis=0))
    return np.concatenate(found)


def write_volumes(path: Path, rows: Iterable[VolumeRow], *, overwrite: bool = False) -> Path:
    """The path of a CSV with one line per row, undefined numbers left empty."""
    with replacing(path, overwrite=overwrite) as partial, partial.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        for row in rows:
            table.writerow([_told(value) for value in asdict(row).values()])
    return path


def read_volumes(path: Path) -> list[VolumeRow]:
    """The rows of a file that `write_volumes` wrote."""
    with path.open(newline="") as file:
        return [
            VolumeRow(
                line["case"],
                line["structure"],
                int(line["number"]),
                float(line["ml"] or "nan"),
                int(line["voxels"]),
                int(line["components"]),
                float(line["confidence"] or "nan"),
            )
            for line in csv.DictReader(file)
        ]


def _told(value: object) -> object:
    if isinstance(value, float):
        return "" if np.isnan(value) else f"{value:.6g}"
    return value
