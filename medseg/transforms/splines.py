"""Smooth random fields: cubic B-splines over a coarse grid of control points."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

_SAMPLES: dict[tuple[int, int], torch.Tensor] = {}


def smooth_field(control: np.ndarray, size: Sequence[int]) -> torch.Tensor:
    """A field of shape (n, *size) from control points of shape (n, *points), at least 4 points an axis.

    Uniform cubic B-splines (Rueckert 1999, doi:10.1109/42.796284, equation 1): the field is twice
    continuously differentiable and never leaves the range of its control points. Axis by axis.
    """
    field = torch.from_numpy(np.ascontiguousarray(control, dtype=np.float32))
    for axis, n in enumerate(size, start=1):
        field = torch.tensordot(field, _basis(field.shape[axis], n), dims=([axis], [1])).movedim(-1, axis)
    return field


def _basis(n_points: int, n: int) -> torch.Tensor:
    """The weight of each control point at each of `n` places, shape (n, n_points); rows sum to 1."""
    if (n_points, n) not in _SAMPLES:
        place = np.linspace(0, n_points - 3, n, endpoint=False) if n > 1 else np.zeros(1)
        first, t = np.floor(place).astype(int), place % 1
        weights = np.zeros((n, n_points), dtype=np.float32)
        shares = [(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]
        for number, share in enumerate(shares):
            weights[np.arange(n), first + number] = share / 6
        _SAMPLES[n_points, n] = torch.from_numpy(weights)
    return _SAMPLES[n_points, n]
