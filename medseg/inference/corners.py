"""From scores to label codes on the scan's own grid, interpolating only where it can matter; by torch.

A voxel of the scan lies between grid points of the network (eight in space). Its score for a class is a
convex combination of theirs, so where one class wins at all of them it wins in between, and where a region's
probability is above the threshold at all of them it is above in between. Only the other voxels, a per cent
or so, need scores of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import torch

from medseg.inference.decision import Decision
from medseg.inference.wayback import AxisMap

CHUNK = 1 << 20  # scores gathered at a time; 8 MB of float64


def _mixed(dtype: torch.dtype) -> int:
    return int(torch.iinfo(dtype).max)


def native_codes(
    scores: torch.Tensor,
    axes: Sequence[AxisMap],
    decision: Decision,
    *,
    skip_agreeing: bool = True,
) -> torch.Tensor:
    """The codes of the scan's voxels that ``axes`` name, in the order of the network's axes.

    Args:
        scores: before the activation, shape (channel, …), on the points that ``axes`` refer to.
        axes: from ``first`` to ``stop`` of each, all neighbours within ``scores`` or outside the grid.
        skip_agreeing: False interpolates everywhere, to compare with.
    """
    cells = decision.codes(scores)
    mixed = _mixed(cells.dtype)
    if skip_agreeing:
        for a, axis in enumerate(axes):
            if not axis.is_exact:
                cells = _agreement(cells, a, axis, mixed, is_void_zero=decision.threshold is not None)
        out = cells
        for a in sorted(range(len(axes)), key=lambda a: _growth(axes[a])):
            out = out.index_select(a, _cell_index(axes[a]).to(out.device))
        at = (out == mixed).nonzero(as_tuple=True)
    else:
        shape = [axis.stop - axis.first for axis in axes]
        out = torch.empty(shape, dtype=cells.dtype, device=cells.device)
        at = torch.ones(shape, dtype=torch.bool, device=cells.device).nonzero(as_tuple=True)
    for part in torch.arange(len(at[0]), device=out.device).split(max(CHUNK // len(scores), 1)):
        here = tuple(index[part] for index in at)
        out[here] = decision.decided(interpolated(scores, axes, here, decision))
    return out


def _growth(axis: AxisMap) -> float:
    return (axis.stop - axis.first) / axis.n_points


def _needs_void(axis: AxisMap) -> tuple[bool, bool]:
    """Whether a used cell has a corner before the first point, and after the last."""
    used = axis.below[axis.first : axis.stop]
    return bool((used < 0).any()), bool((used >= axis.n_points - 1).any())


def _cell_index(axis: AxisMap) -> torch.Tensor:
    used = axis.below[axis.first : axis.stop]
    before = 0 if axis.is_exact else int(_needs_void(axis)[0])
    return torch.from_numpy(used + before)


def _agreement(cells: torch.Tensor, a: int, axis: AxisMap, mixed: int, *, is_void_zero: bool) -> torch.Tensor:
    """The common code of each pair of neighbours along axis ``a``, or ``mixed``."""
    n = cells.shape[a]
    lower, upper = cells.narrow(a, 0, n - 1), cells.narrow(a, 1, n - 1)
    inner = torch.where(lower == upper, lower, mixed)
    before, after = _needs_void(axis)
    parts = [inner]
    if before:
        parts.insert(0, _beside_void(cells.narrow(a, 0, 1), mixed, is_void_zero=is_void_zero))
    if after:
        parts.append(_beside_void(cells.narrow(a, n - 1, 1), mixed, is_void_zero=is_void_zero))
    return torch.cat(parts, a) if len(parts) > 1 else inner


def _beside_void(codes: torch.Tensor, mixed: int, *, is_void_zero: bool) -> torch.Tensor:
    """A neighbour outside the grid scores zero for all: no change to who wins, but below any threshold."""
    return torch.where(codes == 0, codes, mixed) if is_void_zero else codes


def interpolated(
    scores: torch.Tensor, axes: Sequence[AxisMap], at: tuple[torch.Tensor, ...], decision: Decision
) -> torch.Tensor:
    """Activated scores at some voxels, float64, shape (channel, n).

    Float64 keeps the order of float32 scores: two that differ stay apart after interpolation.
    """
    corners = [_corners(axis, index) for axis, index in zip(axes, at, strict=True)]
    out = torch.zeros((len(scores), len(at[0])), dtype=torch.float64, device=scores.device)
    for corner in product(*corners):
        weight = torch.ones((), dtype=torch.float64, device=scores.device)
        flat = torch.zeros((), dtype=torch.int64, device=scores.device)
        for (point, share), stride in zip(corner, scores.stride()[1:], strict=True):
            weight, flat = weight * share, flat + point * stride
        out += weight * decision.activated(_gathered(scores, flat).double())
    return out


def _corners(axis: AxisMap, index: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Grid points on both sides and their shares; one point where none lies between."""
    below = torch.from_numpy(axis.below[axis.first : axis.stop]).to(index.device)[index]
    share = torch.from_numpy(axis.share[axis.first : axis.stop]).to(index.device)[index]
    if axis.is_exact:
        return [(below, torch.ones_like(share))]
    last = axis.n_points - 1
    lower = (below.clamp(min=0), (1 - share) * (below >= 0))
    upper = ((below + 1).clamp(max=last), share * (below < last))
    return [lower, upper]


def _gathered(scores: torch.Tensor, flat: torch.Tensor) -> torch.Tensor:
    """Scores at flat offsets into each channel, whatever the memory layout."""
    span = 1 + sum((n - 1) * stride for n, stride in zip(scores.shape[1:], scores.stride()[1:], strict=True))
    rows = scores.as_strided((len(scores), span), (scores.stride(0), 1))
    return rows.index_select(1, flat.expand(flat.shape if flat.ndim else 1))
