"""How far from the others: robust distances, so that an outlier does not widen the bound that it breaks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

# 1.4826 makes the median absolute deviation a standard deviation where the values are normal.
MAD_TO_SD = 1.4826
# Of fewer cases than these, nobody can say what is usual for a structure.
FEWEST_CASES = 6


def robust_z(values: npt.NDArray[np.float64], floor: float) -> npt.NDArray[np.float64]:
    """Distance from the median in robust standard deviations, which are taken as `floor` at least.

    The wider of two estimates counts, as lesions lie left or right: two heaps have a small median deviation
    where one is the larger, but a wide range between the 20th and the 80th per cent (1.683 deviations).
    """
    away = values - np.median(values, axis=0)
    low, high = np.percentile(values, (20, 80), axis=0)
    spread = np.maximum(MAD_TO_SD * np.median(np.abs(away), axis=0), (high - low) / 1.683)
    return np.asarray(away / np.maximum(spread, floor))


def is_outlier(
    values: npt.NDArray[np.float64], *, floor: float, least: float, limit: float = 6
) -> npt.NDArray[np.bool_]:
    """True where a value is `limit` robust deviations and `least` from the median, and past the tail.

    In large sets with heavy tails (skin lesions) some lie beyond any robust limit and are no fault; there the
    bound is half as far again as 99 of 100 cases lie. With columns, one of them is enough.
    """
    away = np.abs(values - np.median(values, axis=0))
    far = (np.abs(robust_z(values, floor)) > limit) & (away > least)
    if len(values) >= 50:
        far &= away > 1.5 * np.percentile(away, 99, axis=0)
    return np.asarray(far.reshape(len(values), -1).any(1))
