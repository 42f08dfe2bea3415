"""One scan from its preprocessed volume to label numbers on its own grid, slices leaving as they are done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch

from medseg.inference.decision import Activation, Decision
from medseg.inference.native import native_labels
from medseg.inference.probabilities import native_probabilities
from medseg.inference.slabs import Network, Source, blended_slabs
from medseg.inference.tiling import Strip, Tiling
from medseg.inference.wayback import AxisMap, WayBack
from medseg.inference.windows import Windows

# Slices of the scan decided at a time.
N_SLICES = 16


@dataclass(frozen=True)
class Block:
    """Finished labels of part of a scan; what no block covers is background.

    Attributes:
        where: one slice per axis of the scan.
        labels: label numbers, or codes of regions without numbers; axes as in the scan.
        probabilities: gives those of one channel after the other, until the next block is asked for; None
            where they were not wanted.
    """

    where: tuple[slice, ...]
    labels: npt.NDArray[np.uint8 | np.uint16]
    probabilities: Callable[[], Iterator[np.ndarray]] | None = None


def label_blocks(
    source: Source,
    network: Network,
    windows: Windows,
    way: WayBack,
    decision: Decision,
    *,
    device: torch.device | None = None,
    n_strips: int = 1,
    skip_agreeing: bool = True,
    probabilities_after: Activation | None = None,
) -> Iterator[Block]:
    """Label numbers of a scan, block by block, ascending along the last axis of the scan (once per strip).

    No array of classes by volume is made: what is held is the buffer of `blended_slabs`.

    Args:
        source: the preprocessed volume.
        network: from a batch of windows to scores of the same size.
        way: from the volume's grid to the scan's.
        n_strips: cut the plane of the slabs into this many parts, one after the other: less memory, more
            windows, equal labels.
        skip_agreeing: False interpolates at every voxel.
        probabilities_after: blocks give probabilities too: the decision's activation, interpolation, and
            this activation; None for labels alone.
    """
    axis = slab_axis(way)
    device = device or torch.device("cpu")
    tiling = Tiling(windows, source.shape, axis, way.axes[axis].is_descending)
    for strip, axes in strips(way, n_strips):
        if any(a.stop == a.first for a in axes):
            continue
        done = axes[axis].first
        for row, scores in blended_slabs(source, network, replace(tiling, strip=strip), device):
            for part in _parts(axes[axis], done, row, scores.shape[axis + 1]):
                done = part.stop
                local, first, stop = part.on_its_points()
                here = tuple(local if a == axis else other for a, other in enumerate(axes))
                rows = scores.narrow(axis + 1, first - row, stop - first)
                labels = native_labels(rows, here, decision, skip_agreeing=skip_agreeing)
                chances = None
                if probabilities_after is not None:
                    before = decision.activation
                    chances = partial(
                        native_probabilities, rows, here, before=before, after=probabilities_after
                    )
                yield Block(_where(here), labels, chances)


def slab_axis(way: WayBack) -> int:
    """The axis of the network's grid that runs along the last axis of the scan, the slowest in its file."""
    return max(range(len(way.axes)), key=lambda a: way.axes[a].native_axis)


def strip_axis(way: WayBack) -> int:
    """The axis along which slabs may be cut into strips: the second slowest of the scan's file."""
    order = sorted(range(len(way.axes)), key=lambda a: way.axes[a].native_axis)
    return order[-2]


def strips(way: WayBack, n_strips: int) -> Iterator[tuple[Strip | None, tuple[AxisMap, ...]]]:
    """Parts of the plane, each with the axis maps on its own points; one part without a `Strip` for 1."""
    if n_strips == 1:
        yield None, way.axes
        return
    cut = strip_axis(way)
    whole = way.axes[cut]
    edges = np.linspace(whole.first, whole.stop, n_strips + 1).round().astype(int)
    for first, stop in pairwise(edges):
        if stop > first:
            local, low, high = replace(whole, first=int(first), stop=int(stop)).on_its_points()
            axes = tuple(local if a == cut else other for a, other in enumerate(way.axes))
            yield Strip(cut, low, high), axes


def _parts(axis: AxisMap, done: int, row: int, n_rows: int) -> Iterator[AxisMap]:
    """The next indices of the scan whose neighbours all lie in a slab, a few at a time."""
    lower, upper = axis.neighbours()
    ready = (lower >= row) & (upper < row + n_rows)
    ready[:done], ready[axis.stop :] = False, False
    found = np.flatnonzero(ready)
    for part in np.array_split(found, max(-(-len(found) // N_SLICES), 1)):
        if len(part):
            yield replace(axis, first=int(part[0]), stop=int(part[-1]) + 1)


def _where(axes: tuple[AxisMap, ...]) -> tuple[slice, ...]:
    return tuple(slice(axis.first, axis.stop) for axis in sorted(axes, key=lambda a: a.native_axis))


def label_volume(
    blocks: Iterator[Block], shape: tuple[int, ...], dtype: npt.DTypeLike = np.uint8
) -> np.ndarray:
    """All blocks in one array of the scan's shape."""
    out = np.zeros(shape, dtype)
    for block in blocks:
        out[block.where] = block.labels
    return out
