"""A scan that would fill the machine on the network's grid, refused before anything is allocated.

Micrometres taken for millimetres make a grid of 10^12 voxels, and the system then kills the whole run.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

from nibabel.affines import voxel_sizes

from medseg.errors import GeometryError
from medseg.writers import read_header

# Of a grid that is filled slab by slab a few planes are held: less than this share.
STREAMED = 1 / 16
_GB = 1 << 30


def refuse_oversize(path: Path, shape: Sequence[float], n_channels: int, *, is_streamed: bool) -> None:
    """Pass where the scan has room on a grid of this shape.

    Args:
        path: a NIfTI file.
        is_streamed: the grid is filled slab by slab.

    Raises:
        GeometryError: it takes more memory than is free.
    """
    needed = 4 * n_channels * prod(float(n) for n in shape) * (STREAMED if is_streamed else 1)
    free = free_bytes()
    if needed <= free:
        return
    sizes = " x ".join(f"{s:g}" for s in voxel_sizes(read_header(path).get_best_affine()))
    n_voxels = prod(float(n) for n in shape)
    raise GeometryError(
        f"{path.name}: voxels of {sizes} mm make {n_voxels:.2g} voxels on the network's grid, "
        f"which take {needed / _GB:.0f} GB",
        f"a scan that fits into {free / _GB:.1f} GB, which are free",
        "correct the voxel size in its header (micrometres?), or crop it",
    )


def refuse_oversize_of(preprocessing: Any, path: Path, n_channels: int) -> None:
    """As `refuse_oversize`, for a grid that a ``Spacingd`` of the preprocessing names.

    Raises:
        GeometryError: it takes more memory than is free.
    """
    if not path.name.lower().endswith((".nii", ".nii.gz")):
        return
    for step in getattr(preprocessing, "transforms", ()):
        pixdim = getattr(getattr(step, "spacing_transform", None), "pixdim", None)
        if pixdim is None or min(map(float, pixdim)) <= 0:
            continue
        header = read_header(path)
        shape, sizes = header.get_data_shape()[:3], voxel_sizes(header.get_best_affine())
        # Whatever axis the preprocessing turns where, the product is the same.
        volume = prod(float(n) * float(s) for n, s in zip(shape, sizes, strict=False))
        refuse_oversize(path, (volume / prod(map(float, pixdim)),), n_channels, is_streamed=False)


def free_bytes() -> float:
    """The memory that can be had without swapping; infinite where the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(1024.0 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        known = sys.platform != "win32" and "SC_PHYS_PAGES" in os.sysconf_names
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")) if known else float("inf")
