"""How scores become labels: an activation, then the highest class or a threshold for each region."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import torch

from medseg.errors import BundleError

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

    def of_channels(self, n_channels: int) -> Decision:
        """The same for so many channels: where there is one region alone, it is the number 1 and no map."""
        is_one_region = self.threshold is not None and n_channels == 1
        return replace(self, numbers=self.numbers or (1,)) if is_one_region else self

    def label_numbers(self, n_channels: int) -> tuple[int, ...] | None:
        """The label numbers there can be; None where each region is a map of its own."""
        if self.threshold is not None:
            return self.numbers
        return self.numbers or tuple(range(n_channels))

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


def _winners(scores: torch.Tensor) -> torch.Tensor:
    """Index of the highest score, the first one in a tie; ``argmax(0)`` at a seventh of its time."""
    dtype = _code_type(len(scores))
    if len(scores) == 2:
        return (scores[1] > scores[0]).to(dtype)
    best, index = torch.max(scores, 0)
    del best
    return index.to(dtype)
