"""From scores to label codes on the scan's own grid, interpolating only where it can matter.

A voxel of the scan lies between grid points of the network (eight in space). Its score for a class is a
convex combination of theirs, so where one class wins at all of them it wins in between, and where a region's
probability is above the threshold at all of them it is above in between. Only the other voxels, a per cent
or so, need scores of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import torch

from medseg.errors import BundleError
from medseg.inference.wayback import AxisMap

CHUNK = 1 << 20  # scores gathered at a time; 8 MB of float64
Activation = Literal["none", "softmax", "sigmoid"]
# Compiled code knows them by their place.
ACTIVATIONS: tuple[Activation, ...] = get_args(Activation)


@dataclass(frozen=True)
class Decision:
    """How scores become labels.

    A *code* is what is decided at a voxel: the winning class, or one bit for each region.

    Attributes:
        activation: applied to the network's scores before interpolation.
        threshold: None for the class with the highest score; else each channel is a region of its own and
            holds where its score is at least this.
        numbers: label number per class, or per region (a later region is painted over an earlier one).
            None writes class indices, or one map per region.

    Raises:
        BundleError: an activation that is not known.
    """

    activation: Activation = "softmax"
    threshold: float | None = None
    numbers: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.activation not in ACTIVATIONS:
            raise BundleError(
                f"activation {self.activation!r}", f"one of {', '.join(ACTIVATIONS)}", "mend the config"
            )

    def activated(self, scores: torch.Tensor) -> torch.Tensor:
        """Scores of shape (channel, …) after the activation, in their own precision."""
        if self.activation == "softmax":
            return torch.softmax(scores, 0)
        return torch.sigmoid(scores) if self.activation == "sigmoid" else scores

    def codes(self, scores: torch.Tensor) -> torch.Tensor:
        """The code at each grid point; uint8, or int16 where there are more than 254."""
        if self.threshold is None:
            return _winners(scores)
        # Monotone activations need not be computed to compare with the threshold.
        limit = (
            lowest_score(self.threshold) if self.activation == "sigmoid" else _float32_from(self.threshold)
        )
        if self.activation == "softmax":
            scores, limit = torch.softmax(scores.double(), 0), self.threshold
        out = torch.zeros(scores.shape[1:], dtype=_code_type(2 ** len(scores)), device=scores.device)
        for bit, channel in enumerate(scores):
            out |= (channel >= limit).to(out.dtype) << bit
        return out

    def decided(self, activated: torch.Tensor) -> torch.Tensor:
        """The code for activated scores of shape (channel, n)."""
        if self.threshold is None:
            return _winners(activated)
        out = torch.zeros(activated.shape[1:], dtype=_code_type(2 ** len(activated)), device=activated.device)
        for bit, channel in enumerate(activated):
            out |= (channel >= self.threshold).to(out.dtype) << bit
        return out

    def table(self, n_channels: int) -> npt.NDArray[np.uint16]:
        """Label number for each code; for regions without numbers the codes themselves."""
        if self.numbers is not None and len(self.numbers) != n_channels:
            raise BundleError(
                f"{n_channels} channels from the network and {len(self.numbers)} label numbers",
                "one number per channel",
                "mend `numbers` or the network's out_channels",
            )
        if self.threshold is None:
            return np.array(self.numbers or range(n_channels), dtype=np.uint16)
        table = np.arange(2**n_channels, dtype=np.uint16)
        if self.numbers is not None:
            codes, table = table.copy(), np.zeros_like(table)
            for bit, number in enumerate(self.numbers):
                table[(codes >> bit & 1).astype(bool)] = number
        return table


@lru_cache
def lowest_score(threshold: float) -> float:
    """The lowest float32 score whose sigmoid, in float64, is at least ``threshold``; infinite where none is.

    >>> lowest_score(1.5)
    inf
    """

    def reaches(score: np.float32) -> bool:
        return bool(1 / (1 + np.exp(-np.float64(score))) >= threshold)

    low, high = np.float32(-600), np.float32(600)
    if not reaches(high):
        return np.inf
    if reaches(low):
        return -np.inf
    while np.nextafter(low, high) < high:
        # Halving the distance in floats, as their bits count them, ends after 32 steps.
        middle = _between(low, high)
        low, high = (low, middle) if reaches(middle) else (middle, high)
    return float(high)


def _float32_from(value: float) -> float:
    """The lowest float32 that is not below ``value``; torch would round it to the nearest."""
    nearest = np.float32(value)
    return float(nearest if float(nearest) >= value else np.nextafter(nearest, np.float32(np.inf)))


def _between(low: np.float32, high: np.float32) -> np.float32:
    """The float32 with as many others below it, down to ``low``, as above it."""

    def place(value: np.float32) -> int:
        bits = int(np.float32(value).view(np.int32))
        return bits if bits >= 0 else -(bits & 0x7FFFFFFF)

    middle = (place(low) + place(high)) // 2
    magnitude = np.int32(abs(middle)).view(np.float32)
    return np.float32(magnitude if middle >= 0 else -magnitude)


def _code_type(n_codes: int) -> torch.dtype:
    if n_codes > 2**14:
        raise BundleError(
            f"{n_codes} combinations of regions", "at most 14 regions", "use classes and softmax"
        )
    return torch.uint8 if n_codes <= 255 else torch.int16


def _mixed(dtype: torch.dtype) -> int:
    return int(torch.iinfo(dtype).max)


def _winners(scores: torch.Tensor) -> torch.Tensor:
    """Index of the highest score, the first one in a tie; ``argmax(0)`` at a seventh of its time."""
    dtype = _code_type(len(scores))
    if len(scores) == 2:
        return (scores[1] > scores[0]).to(dtype)
    best, index = torch.max(scores, 0)
    del best
    return index.to(dtype)


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
