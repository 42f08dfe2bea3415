"""Between which points of a scan MONAI's Spacing looks, to the last digit.

What a later step does to voxels of exactly 0 (NormalizeIntensityd(nonzero=True), CropForegroundd) hangs
on these digits. Torch finds a point that lies on a voxel a hair beside it, as rounding will have it, and
where the voxel is 0 and its neighbour isn't, MONAI's scan holds 1e-11 there and not 0. From a scan of 1
mm to a grid of 2 mm that is a shell of thousands of voxels around a brain. So torch itself is asked, axis
by axis.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from monai.data import MetaTensor
from monai.data.utils import AFFINE_TOL
from monai.networks.utils import to_norm_affine

from medseg.arrays import Affine
from medseg.inference.wayback import WayBack


@dataclass(frozen=True)
class Taps:
    """For each point along one axis of a new grid, the two points of the scan that it lies between.

    Attributes:
        grid_axis: of the new grid.
        low, high: indices along the scan's axis, in either order.
        share: weight of ``high``, in [0, 1].
    """

    grid_axis: int
    low: npt.NDArray[np.int64]
    high: npt.NDArray[np.int64]
    share: npt.NDArray[np.float64]


def taps_of(way: WayBack) -> tuple[Taps, ...]:
    """Taps for each axis of the scan, right to the last digits, which may be others than MONAI's.

    Args:
        way: from the scan's grid to the new one.
    """
    return tuple(Taps(axis.native_axis, *axis.neighbours(), axis.share) for axis in way.axes)


def is_still(resampling: Mapping[str, Any]) -> bool:
    """True where MONAI leaves the scan as it is, because the new grid is the old one within a thousandth."""
    if resampling["class"] != "SpatialResample":
        return False
    xform = np.asarray(resampling["lazy_affine"])
    source = np.asarray(resampling["extra_info"]["src_affine"])
    is_same_shape = tuple(resampling["lazy_shape"]) == tuple(resampling["orig_size"])
    return is_same_shape and (
        np.allclose(source, source @ xform, atol=AFFINE_TOL)
        or np.allclose(xform, np.eye(len(xform)), atol=AFFINE_TOL)
    )


def exact_taps(scan_affine: Affine, moved: MetaTensor, rough: Sequence[Taps]) -> tuple[Taps, ...] | None:
    """MONAI's own taps for each axis of a scan; None where they can't be told axis by axis.

    Args:
        moved: the scan with turns and then one resampling pending.
        rough: what `taps_of` gives.
    """
    resamplings = [o for o in moved.pending_operations if o["class"] == "SpatialResample"]
    if not resamplings:
        return tuple(rough)
    resampling = moved.pending_operations[-1]
    theta = _theta(resampling)
    if len(resamplings) > 1 or resampling is not resamplings[0] or theta is None:
        return None
    turned = np.linalg.solve(scan_affine, np.asarray(resampling["extra_info"]["src_affine"]))
    exact = []
    for axis, taps in enumerate(rough):
        a = taps.grid_axis
        n, n_points = int(resampling["orig_size"][a]), int(resampling["lazy_shape"][a])
        low, high, share = _taps(theta[a, a], theta[a, 3], n, n_points)
        if turned[axis, a] < 0:
            low, high = n - 1 - low, n - 1 - high
        exact.append(Taps(a, low, high, share))
    return tuple(exact)


def _theta(resampling: Mapping[str, Any]) -> torch.Tensor | None:
    """What MONAI gives to torch's affine_grid; None where axes mix, be it by a rounding error."""
    extra = resampling["extra_info"]
    if extra["padding_mode"] != "border":
        return None
    dtype = getattr(torch, extra["dtype"])
    xform = torch.as_tensor(resampling["lazy_affine"]).to(dtype)[None]
    theta = to_norm_affine(xform, resampling["orig_size"], resampling["lazy_shape"])[0]
    linear = theta[:3, :3]
    return theta if bool((linear == torch.diag(linear.diagonal())).all()) else None


def _taps(scale: torch.Tensor, offset: torch.Tensor, n: int, n_points: int) -> tuple[np.ndarray, ...]:
    """Points below and above and the share of the latter, read from the images of one bright point each."""
    theta = torch.zeros((1, 3, 4), dtype=scale.dtype)
    theta[0, 0, 0], theta[0, 0, 3] = scale, offset
    grid = F.affine_grid(theta, [1, 1, 1, 1, n_points], align_corners=False)
    bright = torch.eye(n, dtype=scale.dtype).view(1, n, 1, 1, n)
    weights = F.grid_sample(bright, grid, padding_mode="border", align_corners=False)[0, :, 0, 0].numpy()
    low = (weights != 0).argmax(0)
    high = np.minimum(low + 1, n - 1)
    share = np.where(high > low, weights[high, np.arange(n_points)], 0.0)
    return low, high, share.astype(np.float64)
