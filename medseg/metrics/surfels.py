"""Surface elements: pieces of a marching-cubes surface on the corners between voxels, with their size.

The 2x2x2 voxels around a corner make an 8-bit code; a code's surface is one to four triangles. DeepMind's
surface-distance (Nikolov et al., arXiv:1809.04430; Apache-2.0) published NSD with them.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import product

import numpy as np
import numpy.typing as npt

from medseg.arrays import Mask, Spacing

# The absolute components of each triangle's area normal in eighths of a voxel face, three digits a triangle,
# for the codes 0 to 127; code 255 - c has the same triangles. Figures of DeepMind's table (Apache-2.0).
_TRIANGLES = """
- 111 111 220,220 111 202,202 111,111 111,222,400 111 111,111 202,202 111,222,400 220,220
111,222,400 111,222,400 400,400 111 022,022 111,111 040,111,222 111,111 004,111,222 111,111,111
111,111,222,222 111,111 022,022,111 111,202,202 022,111,202,333 111,220,220 022,111,220,333
111,111,222,400 111,222,400 111 111,111 022,022 040,111,222 111,111 111,202,202 022,022,111
022,111,202,333 111,111 111,111,111 004,111,222 111,111,222,222 111,220,220 111,111,222,400
022,111,220,333 111,222,400 220,220 040,111,222 040,111,222 040,040 111,220,220 111,202,220,333
040,111,111,222 040,111,222 111,220,220 040,111,111,222 111,202,220,333 040,111,222 220,220,220,220
111,220,220 111,220,220 220,220 111 111,111 111,111 111,220,220 022,022 004,111,222 022,022,111
022,111,220,333 111,111 111,111,111 111,202,202 111,111,222,400 040,111,222 111,111,222,222
022,111,202,333 111,222,400 202,202 004,111,222 111,202,202 111,202,220,333 004,111,222 004,004
004,111,111,222 004,111,222 111,202,202 004,111,111,222 202,202,202,202 111,202,202 111,202,220,333
004,111,222 111,202,202 202,202 111,111 111,111,111 022,022,111 040,111,111,222 022,022,111
004,111,111,222 022,022,022,022 022,022,111 111,111,111 111,111,111,111 004,111,111,222 111,111,111
040,111,111,222 111,111,111 022,022,111 111,111 111,222,400 111,111,222,222 022,111,202,333
040,111,222 022,111,220,333 004,111,222 022,022,111 022,022 111,111,222,400 111,111,111 111,202,202
111,111 111,220,220 111,111 111,111 111
"""


def element_sizes(spacing_mm: Spacing) -> npt.NDArray[np.float64]:
    """The size of each code's surface: 256 areas in mm2 in three dimensions, 16 lengths in mm in two.

    Args:
        spacing_mm: in the array's axis order, two or three axes.
    """
    return _lengths(*spacing_mm) if len(spacing_mm) == 2 else _areas(*spacing_mm)


def surface_elements(mask: Mask) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
    """The corners with voxels in and out around them, shape (n, axes), and the code of each, shape (n,).

    Corner i lies between voxels i-1 and i; voxels outside the image are outside the mask.
    """
    padded = np.pad(mask, 1)
    codes = np.zeros([n + 1 for n in mask.shape], np.uint8)
    for corner in product((0, 1), repeat=mask.ndim):
        cut = tuple(slice(c, c + n + 1) for c, n in zip(corner, mask.shape, strict=True))
        codes |= padded[cut].astype(np.uint8) << np.uint8(bit_of(corner))
    full = (1 << (1 << mask.ndim)) - 1
    where = np.nonzero((codes != 0) & (codes != full))
    return np.stack(where, axis=1), codes[where]


def touched_corners(mask: Mask) -> Mask:
    """The corners with a voxel of the mask around them, one more than voxels along each axis."""
    padded = np.pad(mask, 1)
    touched = np.zeros([n + 1 for n in mask.shape], bool)
    for corner in product((0, 1), repeat=mask.ndim):
        touched |= padded[tuple(slice(c, c + n + 1) for c, n in zip(corner, mask.shape, strict=True))]
    return touched


def bit_of(corner: tuple[int, ...]) -> int:
    """The bit of a neighbour in the code; 1 on an axis is the voxel after the corner, and all 1 is bit 0."""
    place = 0
    for side in corner:
        place = 2 * place + (1 - side)
    return place


@lru_cache(maxsize=64)
def _areas(a: float, b: float, c: float) -> npt.NDArray[np.float64]:
    faces = np.asarray([b * c, a * c, a * b]) / 8
    areas = np.zeros(256)
    for code, triangles in enumerate(_TRIANGLES.split()):
        normals = [[int(digit) for digit in t] for t in triangles.split(",")] if triangles != "-" else []
        areas[code] = areas[255 - code] = sum(float(np.linalg.norm(n * faces)) for n in normals)
    areas.flags.writeable = False
    return areas


def _lengths(down: float, right: float) -> npt.NDArray[np.float64]:
    """Straight through a cell where two neighbours share a side, a half diagonal round each lone corner."""
    half_diagonal = 0.5 * float(np.hypot(down, right))
    lengths = np.full(16, half_diagonal)
    lengths[[0b0000, 0b1111]] = 0.0
    lengths[[0b0011, 0b1100]] = right
    lengths[[0b0101, 0b1010]] = down
    lengths[[0b0110, 0b1001]] = 2 * half_diagonal
    return lengths
