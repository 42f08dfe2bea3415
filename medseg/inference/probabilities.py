"""Probabilities on the scan's own grid, made from the scores of the labels, one channel at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from medseg.inference.decision import Activation
from medseg.inference.native import axis_table
from medseg.inference.planes import Planes
from medseg.inference.wayback import AxisMap

Channel = Callable[[int], torch.Tensor]


def native_probabilities(
    scores: torch.Tensor, axes: Sequence[AxisMap], *, before: Activation, after: Activation
) -> Iterator[np.ndarray]:
    """Each channel's probability at the scan's voxels that ``axes`` name, float32, axes as in the scan.

    Args:
        scores: of the network, shape (channel, …), on the points that ``axes`` refer to.
        before: activation that comes before the interpolation.
        after: activation of what was interpolated.
    """
    if scores.device.type == "mps":
        # Which has no float64.
        scores = scores.cpu()
    order = sorted(range(len(axes)), key=lambda a: axes[a].native_axis)
    on_grid = _activated(lambda c: scores[c].double(), len(scores), before)
    native = _activated(lambda c: _interpolated(on_grid(c), axes), len(scores), after)
    for channel in range(len(scores)):
        yield native(channel).permute(order).float().cpu().numpy()


def _activated(channel: Channel, n: int, activation: Activation) -> Channel:
    """The same channels after an activation; of softmax only the sums are held."""
    if activation == "sigmoid":
        return lambda c: torch.sigmoid(channel(c))
    if activation == "none":
        return channel
    highest = channel(0).clone()
    for c in range(1, n):
        torch.maximum(highest, channel(c), out=highest)
    total = torch.zeros_like(highest)
    for c in range(n):
        total += torch.exp(channel(c) - highest)
    return lambda c: torch.exp(channel(c) - highest) / total


def _interpolated(values: torch.Tensor, axes: Sequence[AxisMap]) -> torch.Tensor:
    for a in sorted(range(len(axes)), key=lambda a: (axes[a].stop - axes[a].first) / axes[a].n_points):
        points, weights = (torch.from_numpy(table).to(values.device) for table in axis_table(axes[a]))
        weights = weights.view(2, *(-1 if a == b else 1 for b in range(len(axes))))
        low = values.index_select(a, points[0]) * weights[0]
        values = low if axes[a].is_exact else low + values.index_select(a, points[1]) * weights[1]
    return values


def kept(blocks: Iterator[Any], path: Path, shape: tuple[int, ...], n_channels: int) -> Iterator[Any]:
    """The same blocks; their probabilities go into a raw float32 file, first axis fastest, channels last.

    Args:
        blocks: with probabilities.
        shape: of the scan.
    """
    with path.open("w+b") as file:
        planes = Planes(file, shape[:-1], "<f4", shape[-1] * n_channels)
        for block in blocks:
            for channel, values in enumerate(block.probabilities()):
                for i, k in enumerate(range(block.where[-1].start, block.where[-1].stop)):
                    planes.put(channel * shape[-1] + k, block.where[:-1], values[..., i])
            yield block


def read_back(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """What `kept` wrote, mapped into memory, shape (x, y, z, channel)."""
    n_channels = path.stat().st_size // (4 * int(np.prod(shape)))
    return np.memmap(path, "<f4", "r", shape=(*shape, n_channels), order="F")
