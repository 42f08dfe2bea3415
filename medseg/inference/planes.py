"""Planes of a volume in a file, for what comes in another order than it is written in."""

from __future__ import annotations

from typing import IO

import numpy as np
import numpy.typing as npt


class Planes:
    """Planes of one shape, all zero until something is put into them; not held in memory.

    Args:
        file: open for reading and writing, and empty.
        shape: of a plane.
    """

    def __init__(self, file: IO[bytes], shape: tuple[int, ...], dtype: npt.DTypeLike, n_planes: int) -> None:
        self.file, self.shape, self.dtype = file, shape, np.dtype(dtype)
        self.size = int(np.prod(shape)) * self.dtype.itemsize
        file.truncate(self.size * n_planes)

    def get(self, number: int) -> np.ndarray:
        """One plane, first axis fastest in memory."""
        self.file.seek(number * self.size)
        return np.frombuffer(self.file.read(self.size), self.dtype).reshape(self.shape, order="F")

    def put(self, number: int, where: tuple[slice, ...], values: np.ndarray) -> None:
        """Set a part of one plane."""
        plane = values
        if values.shape != self.shape:
            plane = self.get(number).copy(order="F")
            plane[where] = values
        self.file.seek(number * self.size)
        self.file.write(plane.astype(self.dtype, copy=False).tobytes(order="F"))
