"""Where the windows of a volume lie, and in which order they are run."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

from medseg.inference.windows import Windows


@dataclass(frozen=True)
class Strip:
    """Part of a volume along one axis: grid points ``first`` to ``stop``."""

    axis: int
    first: int
    stop: int


@dataclass(frozen=True)
class Tiling:
    """The windows of one volume in the order they are run: slab by slab along ``axis``.

    Attributes:
        shape: of the volume, in space.
        is_descending: the slabs begin at the end of the axis.
        strip: only windows that reach it are run, and only its scores are right; strip after strip gives the
            numbers of the whole in less memory and more time.
    """

    windows: Windows
    shape: tuple[int, ...]
    axis: int
    is_descending: bool = False
    strip: Strip | None = None

    @property
    def sizes(self) -> tuple[int, ...]:
        """Voxels of a window."""
        return self.windows.sizes(self.shape)

    @property
    def pads(self) -> tuple[tuple[int, int], ...]:
        """Voxels before and after each axis that make the volume as large as a window."""
        return self.windows.padding(self.shape)

    def slab_starts(self) -> tuple[int, ...]:
        """First row of each slab of windows, in the padded volume, in the order they are run."""
        starts = self.windows.starts(self.shape)[self.axis]
        return starts[::-1] if self.is_descending else starts

    def plane_starts(self) -> list[tuple[int, ...]]:
        """Window positions within a slab, the last axis fastest; along ``axis`` always 0."""
        per_axis: list[tuple[int, ...]] = list(self.windows.starts(self.shape))
        per_axis[self.axis] = (0,)
        if self.strip is not None:
            a, pad = self.strip.axis, self.pads[self.strip.axis][0]
            first, stop = self.strip.first + pad, self.strip.stop + pad
            per_axis[a] = tuple(s for s in per_axis[a] if s < stop and s + self.sizes[a] > first)
        return list(product(*per_axis))

    def reach(self) -> tuple[tuple[int, int], ...]:
        """First and last-but-one point that is held of each axis of a slab, in the padded volume."""
        plane, sizes = self.plane_starts(), self.sizes
        reach = [
            (min(at[a] for at in plane), max(at[a] for at in plane) + sizes[a]) for a in range(len(sizes))
        ]
        if self.strip is not None:
            pad = self.pads[self.strip.axis][0]
            reach[self.strip.axis] = (self.strip.first + pad, self.strip.stop + pad)
        return tuple(reach)

    def kept(self, a: int) -> tuple[int, int]:
        """The points along an axis of the plane whose scores are right, in the buffer's own numbering."""
        first, stop = 0, self.shape[a]
        if self.strip is not None and self.strip.axis == a:
            first, stop = self.strip.first, self.strip.stop
        origin = self.reach()[a][0] - self.pads[a][0]
        return first - origin, stop - origin
