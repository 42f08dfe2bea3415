"""Labels of a scan's voxels from scores on the network's grid: compiled on a CPU, by torch elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from medseg.inference.decision import Decision, native_codes
from medseg.inference.wayback import AxisMap

Labels = npt.NDArray[np.uint8 | np.uint16]
AxisTable = tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]
# Of an axis that a 2D scan lacks.
_FLAT: AxisTable = (np.zeros((2, 1), np.int64), np.array([[1.0], [0.0]]))


def native_labels(
    scores: torch.Tensor, axes: Sequence[AxisMap], decision: Decision, *, skip_agreeing: bool = True
) -> Labels:
    """Label numbers of the scan's voxels that ``axes`` name, axes and memory order as in the scan's file.

    Args:
        scores: before the activation, shape (channel, …), on the points that ``axes`` refer to.
        axes: from ``first`` to ``stop`` of each, all neighbours within ``scores`` or outside the grid.
        skip_agreeing: False interpolates at every voxel.
    """
    table = decision.table(len(scores))
    table = table.astype(np.min_scalar_type(int(table.max())))
    order = sorted(range(len(axes)), key=lambda a: axes[a].native_axis)
    if scores.device.type != "cpu":
        codes = native_codes(scores, axes, decision, skip_agreeing=skip_agreeing)
        return table[codes.permute(order).cpu().numpy()]
    return _compiled(scores, axes, order, decision, table, skip_agreeing)


def _compiled(
    scores: torch.Tensor,
    axes: Sequence[AxisMap],
    order: list[int],
    decision: Decision,
    table: Labels,
    skip: bool,
) -> Labels:
    # numba takes a second to import.
    from medseg.inference.kernels import ACTIVATIONS, decide

    missing = 3 - len(order)
    points = decision.codes(scores)
    codes = points.permute(*reversed(order)).contiguous().numpy()
    codes = codes.reshape((1,) * missing + codes.shape)
    grid = scores.permute(0, *(a + 1 for a in order))[(..., *[None] * missing)]
    tables = (*(_table(axes[a]) for a in order), *[_FLAT] * missing)
    out = np.empty([tables[a][0].shape[1] for a in (2, 1, 0)], table.dtype)
    threshold = np.nan if decision.threshold is None else decision.threshold
    rule = (ACTIVATIONS.index(decision.activation), threshold)
    mixed = codes.dtype.type(np.iinfo(codes.dtype).max)
    decide(grid.numpy(), codes, mixed, tables, rule, table, skip, out)
    return out.T if not missing else out[0].T


def _table(axis: AxisMap) -> AxisTable:
    """Points below and above each index and their weights; none for a point outside the grid."""
    below, share = (values[axis.first : axis.stop] for values in (axis.below, axis.share))
    if axis.is_exact:
        return np.stack([below, below]), np.stack([np.ones(len(below)), np.zeros(len(below))])
    last = axis.n_points - 1
    lower, upper = (1 - share) * (below >= 0), share * (below < last)
    return np.stack([below.clip(min=0), (below + 1).clip(max=last)]), np.stack([lower, upper])


def warm() -> Any:
    """Load the compiled loops, or compile them where that was never done, so that no case waits for it."""
    flat = [AxisMap(a, np.zeros(1, np.int64), np.zeros(1), 1, 0, 1) for a in range(3)]
    return native_labels(torch.zeros((2, 1, 1, 1)), flat, Decision())
