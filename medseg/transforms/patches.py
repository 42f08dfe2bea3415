"""A patch of a case, turned, scaled and bent as it is cut out: only what the patch shows is ever computed."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, Randomizable
from monai.utils import ensure_tuple
from torch.nn.functional import affine_grid, grid_sample, pad

from medseg.errors import TrainingError
from medseg.transforms.splines import smooth_field
from medseg.transforms.tensors import plain


class RandPatchd(Randomizable, MapTransform):
    """Cuts out one patch of `roi_size` voxels, one interpolation for turn, scale, shear and bend together.

    With the chance `foreground` the patch is centred on a voxel of a structure, each structure as likely as
    any other, from the points of `ForegroundPointsd`; else anywhere. The centre is moved so that the patch
    lies in the volume where it can. Only the box that the deformed patch touches is read, so a memory-mapped
    case costs what its patch costs. It must be the first of the augmentation. The patches are plain tensors:
    they have no place in the scanner's space any more.

    Args:
        keys: what is cut out, all at the same place.
        roi_size: of the patch, in voxels.
        label_keys: those of `keys` whose values are labels: nearest neighbour instead of linear.
        foreground: chance that a structure is in the middle.
        prob: chance of a deformation; without one the patch is copied as it is.
        rotate: greatest angle about each axis in radians (one about the normal in 2D).
        scale: greatest relative change of size along each axis.
        shear: greatest shear of each axis by each other.
        elastic: greatest bend in voxels, by cubic B-splines.
        elastic_grid: voxels between their control points.
        padding_mode: what lies outside the volume: ``zeros`` or ``border``.

    Raises:
        TrainingError: a patch that has neither two nor three axes, or an unknown padding.
    """

    copies = True
    """The case itself is left as it is: `CachedDataset` needn't copy it."""

    def __init__(
        self,
        keys: KeysCollection,
        roi_size: Sequence[int],
        *,
        label_keys: KeysCollection = "label",
        foreground: float = 0.5,
        prob: float = 1.0,
        rotate: float | Sequence[float] = 0.0,
        scale: float = 0.0,
        shear: float = 0.0,
        elastic: float = 0.0,
        elastic_grid: int = 24,
        padding_mode: str = "zeros",
    ) -> None:
        super().__init__(keys)
        n_axes = len(roi_size)
        if n_axes not in (2, 3) or padding_mode not in ("zeros", "border"):
            raise TrainingError(
                f"a patch of {list(roi_size)} with padding {padding_mode}",
                "two or three axes, and zeros or border",
                "correct RandPatchd",
            )
        self.roi_size, self.foreground, self.prob = tuple(map(int, roi_size)), foreground, prob
        self.label_keys = set(ensure_tuple(label_keys))
        angles = [rotate] if isinstance(rotate, (int, float)) else list(rotate)
        self.rotate = angles * (3 if n_axes == 3 and len(angles) == 1 else 1)
        self.scale, self.shear = scale, shear
        self.elastic, self.elastic_grid, self.padding_mode = elastic, elastic_grid, padding_mode

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The patch; the points of `ForegroundPointsd` are left out of it."""
        item = dict(data)
        points = next((item.pop(k) for k in list(item) if str(k).endswith("_points")), None)
        volumes = {key: plain(item[key]) for key in self.key_iterator(item)}
        size = next(iter(volumes.values())).shape[1:]
        centre = self._centre(size, points)
        if self.R.random() >= self.prob:
            return item | {key: _cut(volume, centre, self.roi_size) for key, volume in volumes.items()}
        matrix, bend = self._matrix(), self._bend()
        low, high = self._box(size, centre, matrix)
        box = (slice(None), *(slice(a, b) for a, b in zip(low, high, strict=True)))
        grid = _grid(matrix, bend, centre - low, high - low, self.roi_size)
        for key, volume in volumes.items():
            part = volume[box].contiguous()
            mode = "nearest" if key in self.label_keys else "bilinear"
            patch = grid_sample(
                part.float()[None], grid, mode=mode, padding_mode=self.padding_mode, align_corners=True
            )[0]
            item[key] = patch.to(volume.dtype)
        return item

    def _centre(self, size: Sequence[int], points: Any) -> np.ndarray:
        """The middle of the patch in voxels, such that an upright patch lies in the volume where it can."""
        middle = self.R.random(len(size)) * np.asarray(size)
        on_structure = self.R.random() < self.foreground
        if on_structure and points is not None and len(points):
            known = np.asarray(points)
            structure = known[self.R.randint(len(known))]
            middle = structure[self.R.randint(len(structure))].astype(float)
        half, whole = (np.asarray(self.roi_size) - 1) / 2, np.asarray(size) - 1
        inside = np.clip(middle, half, np.maximum(whole - half, half))
        return np.asarray(np.where(whole < 2 * half, whole / 2, inside))

    def _matrix(self) -> np.ndarray:
        """From a voxel of the patch to one of the volume, both from their middle."""
        n = len(self.roi_size)
        angles = [self.R.uniform(-a, a) for a in self.rotate]
        matrix = np.diag(1 + self.R.uniform(-self.scale, self.scale, n))
        shear = self.R.uniform(-self.shear, self.shear, (n, n))
        np.fill_diagonal(shear, 1.0)
        planes = [(0, 1)] if n == 2 else [(1, 2), (0, 2), (0, 1)]
        for angle, (a, b) in zip(angles, planes, strict=True):
            turn = np.eye(n)
            turn[[a, a, b, b], [a, b, a, b]] = (
                *(math.cos(angle), -math.sin(angle)),
                *(math.sin(angle), math.cos(angle)),
            )
            matrix = turn @ matrix
        return np.asarray(shear @ matrix)

    def _bend(self) -> torch.Tensor | None:
        """How far each voxel of the patch is moved, in voxels, shape (axes, *roi_size)."""
        if not self.elastic:
            return None
        n_points = [math.ceil(n / self.elastic_grid) + 3 for n in self.roi_size]
        control = self.R.uniform(-self.elastic, self.elastic, (len(self.roi_size), *n_points))
        return smooth_field(control, self.roi_size)

    def _box(
        self, size: Sequence[int], centre: np.ndarray, matrix: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """First and last-but-one voxels that the deformed patch can touch, within the volume."""
        reach = np.abs(matrix) @ ((np.asarray(self.roi_size) - 1) / 2) + self.elastic + 1
        low = np.clip(np.floor(centre - reach), 0, np.asarray(size) - 1).astype(int)
        high = np.clip(np.ceil(centre + reach) + 1, low + 1, np.asarray(size)).astype(int)
        return low, high


def _cut(volume: torch.Tensor, centre: np.ndarray, roi_size: Sequence[int]) -> torch.Tensor:
    """The upright patch around `centre`, with zeros where the volume ends."""
    n_axes = len(roi_size)
    low = np.round(centre - (np.asarray(roi_size) - 1) / 2).astype(int)
    high = low + np.asarray(roi_size)
    size = volume.shape[1:]
    inside = (slice(None), *(slice(max(0, low[i]), min(int(high[i]), size[i])) for i in range(n_axes)))
    around = [n for i in reversed(range(n_axes)) for n in (max(0, -low[i]), max(0, high[i] - size[i]))]
    return pad(volume[inside], [int(n) for n in around]).clone()


def _grid(
    matrix: np.ndarray,
    bend: torch.Tensor | None,
    centre: np.ndarray,
    box: np.ndarray,
    roi_size: Sequence[int],
) -> torch.Tensor:
    """Where in a box each voxel of the patch comes from, as torch's ``grid_sample`` wants it.

    With corners aligned, voxel i of n lies at ``2 i / (n - 1) - 1``; and the axes run backwards.
    """
    half_patch = np.maximum(np.asarray(roi_size) - 1, 0) / 2
    half_box = np.maximum(box - 1, 1) / 2
    theta = np.concatenate(
        [matrix * half_patch / half_box[:, None], (centre / half_box - 1)[:, None]], axis=1
    )
    backwards = np.concatenate([theta[::-1, -2::-1], theta[::-1, -1:]], axis=1)
    wanted = torch.from_numpy(np.ascontiguousarray(backwards, dtype=np.float32))[None]
    grid = affine_grid(wanted, [1, 1, *roi_size], align_corners=True)
    if bend is not None:
        for axis in range(len(roi_size)):
            grid[0, ..., len(roi_size) - 1 - axis] += bend[axis] / float(half_box[axis])
    return grid
