"""Blended scores of a volume, slab by slab, each leaving the buffer as soon as no window can change it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F

from medseg.inference.kernels import shift_lines
from medseg.inference.tiling import Tiling

Network = Callable[[torch.Tensor], torch.Tensor]
# What a window that nobody looked at scores for anything but background.
UNSEEN = -1e4


class Source(Protocol):
    """A preprocessed volume that can be had in parts."""

    @property
    def shape(self) -> tuple[int, ...]:
        """In space."""

    def rows(self, axis: int, first: int, stop: int) -> torch.Tensor:
        """Points ``first`` to ``stop`` along ``axis``, shape (channel, …), float32."""


@dataclass(frozen=True)
class VolumeSource:
    """A volume in memory, shape (channel, …)."""

    volume: torch.Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        """In space."""
        return tuple(self.volume.shape[1:])

    def rows(self, axis: int, first: int, stop: int) -> torch.Tensor:
        """A view."""
        return self.volume.narrow(axis + 1, first, stop - first)


class _Buffer:
    """Weighted sums of the scores in the reach of the present slab, and one finished row of the last one."""

    def __init__(self, tiling: Tiling, n_channels: int, device: torch.device) -> None:
        self.tiling, self.axis = tiling, tiling.axis
        self.origin = [low for low, _ in tiling.reach()]
        extent = [stop - low for low, stop in tiling.reach()]
        self.roi = extent[self.axis]
        extent[self.axis] += 1
        self.spare = 0 if tiling.is_descending else 1
        self.scores = torch.zeros((n_channels, *extent), device=device)
        self.counts = torch.zeros((1, *extent), device=device)
        self.window_weights = tiling.windows.weights(tiling.shape).to(device)
        self.has_row_before = False

    def add(self, scores: torch.Tensor, at: tuple[int, ...]) -> None:
        """Blend one window in."""
        here, counts, weights = self.scores, self.counts, self.window_weights
        for a, start in enumerate(at):
            first, skipped, n = self.spare, 0, self.tiling.sizes[a]
            if a != self.axis:
                # Of a window that hangs over the edge of a strip only the part within counts.
                skipped = max(self.origin[a] - start, 0)
                first = start + skipped - self.origin[a]
                n = min(n - skipped, self.scores.shape[a + 1] - first)
            here, counts = here.narrow(a + 1, first, n), counts.narrow(a + 1, first, n)
            scores, weights = scores.narrow(a + 1, skipped, n), weights.narrow(a, skipped, n)
        here.addcmul_(scores, weights)
        counts += weights

    def finish(self, start: int, step: int) -> tuple[int, torch.Tensor]:
        """First row and scores of the ``step`` rows that no later window reaches, and of one before."""
        first = self.roi - step if self.tiling.is_descending else 1
        scores, counts = (t.narrow(self.axis + 1, first, step) for t in (self.scores, self.counts))
        unseen = counts == 0
        if bool(unseen.any()):
            scores[1:].masked_fill_(unseen, UNSEEN)
            counts.masked_fill_(unseen, 1)
            if len(scores) == 1:
                scores.masked_fill_(unseen, UNSEEN)
        scores /= counts
        n, row = step + self.has_row_before, start + (first if self.tiling.is_descending else 0)
        if not self.tiling.is_descending:
            first, row = first - self.has_row_before, row - self.has_row_before
        slab = self.scores.narrow(self.axis + 1, first, n)
        for a in range(len(self.origin)):
            if a != self.axis:
                low, stop = self.tiling.kept(a)
                slab = slab.narrow(a + 1, low, stop - low)
        return row, slab

    def shift(self, step: int) -> None:
        """Make room for the next slab: the last finished row is kept, the unfinished ones move up."""
        for tensor in (self.scores, self.counts):
            rows = tensor.movedim(self.axis + 1, 0)
            if rows.stride(0) == 1 and rows.device.type == "cpu":
                self._shift_lines(tensor, step)
            elif self.tiling.is_descending:
                for i in range(self.roi, step - 1, -1):
                    rows[i].copy_(rows[i - step])
                rows[:step].zero_()
            else:
                for i in range(self.roi - step + 1):
                    rows[i].copy_(rows[i + step])
                rows[self.roi - step + 1 :].zero_()
        self.has_row_before = True

    def _shift_lines(self, tensor: torch.Tensor, step: int) -> None:
        shift_lines(tensor.view(-1, self.roi + 1).numpy(), -step if self.tiling.is_descending else step)


def blended_slabs(
    source: Source, network: Network, tiling: Tiling, device: torch.device
) -> Iterator[tuple[int, torch.Tensor]]:
    """The first row of each finished slab along the tiling's axis and its scores, shape (channel, …).

    Slabs overlap in one row, so that a voxel between two rows finds both in one slab. The tensor is a view of
    the buffer, right until the next one is asked for. Scores are those of MONAI's
    ``sliding_window_inference`` but for the order of its float32 sums.

    Args:
        device: where windows are run and summed.
    """
    starts, plane, axis = tiling.slab_starts(), tiling.plane_starts(), tiling.axis
    before, n = tiling.pads[axis][0], tiling.shape[axis]
    buffer: _Buffer | None = None
    for i, start in enumerate(starts):
        rows = moved(_padded_rows(source, tiling, start), device)
        for scores, at in _window_scores(rows, network, tiling, plane):
            buffer = buffer or _Buffer(tiling, len(scores), device)
            buffer.add(scores, at)
            # The network makes the next ones without these in memory.
            del scores
        if buffer is None:
            # One window tells how many channels there are, also where none has anything in it.
            buffer = _Buffer(tiling, network(_window(rows, tiling, plane[0])[None]).shape[1], device)
        step = abs(starts[i + 1] - start) if i + 1 < len(starts) else buffer.roi
        row, slab = buffer.finish(start, step)
        first, stop = max(row, before), min(row + slab.shape[axis + 1], before + n)
        if stop > first:
            yield first - before, slab.narrow(axis + 1, first - row, stop - first)
        if i + 1 < len(starts):
            buffer.shift(step)


def windows_of(source: Source, tiling: Tiling, start: int) -> Iterator[torch.Tensor]:
    """The windows of the slab that begins at ``start``, shape (channel, …)."""
    rows = _padded_rows(source, tiling, start)
    yield from (_window(rows, tiling, at) for at in tiling.plane_starts())


def moved(rows: torch.Tensor, device: torch.device) -> torch.Tensor:
    """The rows on the device; to a GPU from pinned memory, which it reads by itself while the CPU goes on."""
    if device.type != "cuda" or rows.is_cuda:
        return rows.to(device)
    return rows.contiguous().pin_memory().to(device, non_blocking=True)


def _padded_rows(source: Source, tiling: Tiling, start: int) -> torch.Tensor:
    """The input of one slab of windows, padded where the volume is smaller than a window."""
    pads, axis, roi = tiling.pads, tiling.axis, tiling.sizes[tiling.axis]
    before, n = pads[axis][0], tiling.shape[axis]
    first, stop = max(start - before, 0), min(start - before + roi, n)
    # Plain tensors, as MONAI gives its networks: a MetaTensor costs at each step and can't be compiled.
    rows = source.rows(axis, first, stop).as_subclass(torch.Tensor)
    if not any(map(sum, pads)):
        return rows
    missing = max(before - start, 0)
    margins = [*pads]
    margins[axis] = (missing, roi - (stop - first) - missing)
    return F.pad(rows, [m for pair in reversed(margins) for m in pair], value=tiling.windows.cval)


def _window(rows: torch.Tensor, tiling: Tiling, at: tuple[int, ...]) -> torch.Tensor:
    for a, (start, n) in enumerate(zip(at, tiling.sizes, strict=True)):
        rows = rows if a == tiling.axis else rows.narrow(a + 1, start, n)
    return rows


def _window_scores(
    rows: torch.Tensor, network: Network, tiling: Tiling, plane: list[tuple[int, ...]]
) -> Iterator[tuple[torch.Tensor, tuple[int, ...]]]:
    """The network's scores of each window in a slab and where it lies; none for windows without content."""
    limit = tiling.windows.skip_below
    seen = [at for at in plane if limit is None or bool((_window(rows, tiling, at) > limit).any())]
    for i in range(0, len(seen), tiling.windows.batch_size):
        batch = seen[i : i + tiling.windows.batch_size]
        # Without a name, which would keep the scores while the network makes the next.
        yield from zip(
            network(torch.stack([_window(rows, tiling, at) for at in batch])).float(), batch, strict=True
        )
