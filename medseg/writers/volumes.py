"""How much there is of each structure in a label map, as rows of ``volumes.csv``."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import ndimage

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
    for i, structure in enumerate(structures):
        mask = mask_of(labels, i, structure)
        n = int(mask.sum())
        parts = int(ndimage.label(_cut(mask), np.ones((3,) * mask.ndim))[1]) if n else 0
        sure = (confidence or {}).get(structure.name, float("nan"))
        number = min(structure.numbers, default=i + 1)
        rows.append(VolumeRow(case, structure.name, number, n * voxel_mm3 / 1000, n, parts, sure))
    return rows


def _cut(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The smallest box that holds a mask."""
    return mask[ndimage.find_objects(mask.astype(np.uint8))[0]]


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
