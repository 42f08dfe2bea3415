"""Labels of a scan's voxels from scores on the network's grid: compiled on a CPU, by torch elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from medseg.inference.corners import native_codes
from medseg.inference.decision import ACTIVATIONS, Decision

# Here and not where they are used: compiling writes a cache, which a stranger's bundle may not.
from medseg.inference.kernels import decide, winners
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
    order = sorted(range(len(axes)), key=lambda a: axes[a].native_axis)
    if scores.device.type == "mps":
        # Which has no float64.
        scores = scores.cpu()
    if scores.device.type != "cpu":
        codes = native_codes(scores, axes, decision, skip_agreeing=skip_agreeing)
        labels = table[codes.permute(order).cpu().numpy()]
    else:
        labels = _compiled(scores, axes, order, decision, table, skip_agreeing)
    return labels.astype(np.min_scalar_type(int(table.max())), copy=False)


def _compiled(
    scores: torch.Tensor,
    axes: Sequence[AxisMap],
    order: list[int],
    decision: Decision,
    table: Labels,
    skip: bool,
) -> Labels:
    missing = 3 - len(order)
    grid = scores.permute(0, *(a + 1 for a in order))
    for _ in range(missing):
        grid = grid.unsqueeze(-1)
    codes = _codes(grid, decision)
    tables = (*(axis_table(axes[a]) for a in order), *[_FLAT] * missing)
    out = np.empty([tables[a][0].shape[1] for a in (2, 1, 0)], np.uint16)
    threshold = np.nan if decision.threshold is None else decision.threshold
    rule = (ACTIVATIONS.index(decision.activation), threshold, skip)
    decide(grid.numpy(), codes, tables, rule, table, out)
    return out.T if not missing else out[0].T


def _codes(grid: torch.Tensor, decision: Decision) -> npt.NDArray[np.int16]:
    """The code at each point of the grid, shape (z, y, x) and contiguous; one type, compiled for once."""
    if decision.threshold is not None:
        return np.ascontiguousarray(decision.codes(grid).permute(2, 1, 0).numpy(), np.int16)
    # In the order of memory, whatever that is.
    slowest_first = sorted((1, 2, 3), key=grid.stride, reverse=True)
    scores = grid.permute(0, *slowest_first).numpy()
    codes = np.empty(scores.shape[1:], np.int16)
    winners(scores, codes)
    return np.ascontiguousarray(codes.transpose([slowest_first.index(a) for a in (3, 2, 1)]))


def axis_table(axis: AxisMap) -> AxisTable:
    """Points below and above each index and their weights; none for a point outside the grid."""
    below, share = (values[axis.first : axis.stop] for values in (axis.below, axis.share))
    if axis.is_exact:
        return np.stack([below, below]), np.stack([np.ones(len(below)), np.zeros(len(below))])
    last = axis.n_points - 1
    lower, upper = (1 - share) * (below >= 0), share * (below < last)
    return np.stack([below.clip(min=0), (below + 1).clip(max=last)]), np.stack([lower, upper])
