"""How sure a network was of what it found, taken from its scores as they pass by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from medseg.inference.slabs import Network
from medseg.labels import Structure


@dataclass
class Meter:
    """Mean probability of each channel over the voxels it wins, in all windows of a case.

    A voxel in several windows counts once in each. Background (channel 0 of classes) is not measured.

    Attributes:
        is_regions: every channel is a region of its own (sigmoid), else the highest class wins (softmax).
        is_probability: the scores are probabilities already, as those of an ensemble are.
    """

    is_regions: bool = False
    is_probability: bool = False
    _sums: dict[int, float] = field(default_factory=dict)
    _counts: dict[int, int] = field(default_factory=dict)

    def watching(self, network: Network) -> Network:
        """The same network, measured."""

        def scores(windows: torch.Tensor) -> torch.Tensor:
            out = network(windows)
            # A window of zeros is a probe for the number of channels, or says nothing about the scan.
            if bool(windows.any()):
                self.take(out)
            return out

        return scores

    def take(self, windows: torch.Tensor) -> None:
        """Add windows of scores, shape (batch, channel, …)."""
        flat = windows.detach().movedim(1, 0).flatten(1).float()
        if self.is_regions or len(flat) == 1:
            for channel, row in enumerate(flat):
                probability = row if self.is_probability else torch.sigmoid(row)
                self._add(channel, probability[probability >= 0.5])
            return
        winners = torch.max(flat, 0)[1]
        found = torch.nonzero(winners).squeeze(1)
        best = winners[found]
        scores = flat[:, found] if self.is_probability else torch.softmax(flat[:, found], 0)
        probability = scores.gather(0, best[None])[0]
        for channel in torch.unique(best).tolist():
            self._add(channel, probability[best == channel])

    def _add(self, channel: int, probability: torch.Tensor) -> None:
        self._sums[channel] = self._sums.get(channel, 0.0) + float(probability.double().sum())
        self._counts[channel] = self._counts.get(channel, 0) + len(probability)

    def read(self) -> dict[int, float]:
        """Mean probability by channel, for channels that won a voxel; the meter starts anew."""
        means = {channel: self._sums[channel] / n for channel, n in self._counts.items() if n}
        self._sums, self._counts = {}, {}
        return means

    def read_by_name(
        self, structures: Sequence[Structure], numbers: Sequence[int] | None
    ) -> dict[str, float]:
        """The same by the structure's name, as far as a channel is a structure of its own.

        Args:
            numbers: label number per channel, or of the region that it is; None for channel indices.
        """
        means = self.read()
        if self.is_regions and (numbers is None or _are_regions(structures, numbers)):
            return {s.name: means[i] for i, s in enumerate(structures) if i in means}
        by_number = {numbers[c] if numbers else c: mean for c, mean in means.items()}
        return {
            s.name: by_number[n] for s in structures for n in s.numbers if n in by_number and not s.is_region
        }


def _are_regions(structures: Sequence[Structure], numbers: Sequence[int]) -> bool:
    """True where each structure is the region that is painted with the number in its place."""
    return len(structures) == len(numbers) and all(
        n in s.numbers for n, s in zip(numbers, structures, strict=True)
    )
