"""Finished blocks to a label map on disk, slices written as they are decided."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np

from medseg.inference.engine import Block
from medseg.writers import LabelMapFile, label_header, read_header, replacing


def write_blocks(
    path: Path, blocks: Iterator[Block], *, like: Path, largest: int, overwrite: bool = False
) -> Path:
    """The path of a label map written from blocks that ascend along the scan's last axis.

    Args:
        path: ``.nii`` or ``.nii.gz``.
        like: the scan.
        largest: the highest label number there can be.

    Raises:
        OutputError: ``path`` exists and ``overwrite`` is False, or it can't be written.
    """
    header = label_header(read_header(like), np.uint8 if largest <= 255 else np.uint16)
    shape, dtype = header.get_data_shape(), header.get_data_dtype()
    compressed = path.name.lower().endswith(".gz")
    with (
        replacing(path, overwrite=overwrite) as partial,
        LabelMapFile(partial, header, compressed=compressed) as file,
    ):
        n_done = 0
        for block in blocks:
            first, stop = block.where[-1].start, block.where[-1].stop
            file.skip(first - n_done)
            if block.labels.shape[:-1] == shape[:-1]:
                file.write(block.labels)
            else:
                slices = np.zeros((*shape[:-1], stop - first), dtype, order="F")
                where = (*block.where[:-1], slice(None))
                slices[where] = block.labels
                file.write(slices)
            n_done = stop
        file.skip(shape[-1] - n_done)
    return path


def write_strips(
    path: Path, blocks: Iterator[Block], *, like: Path, largest: int, overwrite: bool = False
) -> Path:
    """The path of a label map written from blocks in any order; between, they wait in a nameless file.

    Args and Raises: as for `write_blocks`.
    """
    header = label_header(read_header(like), np.uint8 if largest <= 255 else np.uint16)
    shape, dtype = header.get_data_shape(), header.get_data_dtype()
    size = int(np.prod(shape[:-1])) * dtype.itemsize
    with TemporaryFile(dir=path.parent) as scratch:
        scratch.truncate(size * shape[-1])
        for block in blocks:
            for i, k in enumerate(range(block.where[-1].start, block.where[-1].stop)):
                scratch.seek(k * size)
                plane = (
                    np.frombuffer(scratch.read(size), dtype).reshape(shape[:-1], order="F").copy(order="F")
                )
                plane[block.where[:-1]] = block.labels[..., i]
                scratch.seek(k * size)
                scratch.write(plane.tobytes(order="F"))
        with (
            replacing(path, overwrite=overwrite) as partial,
            LabelMapFile(partial, header, compressed=path.name.lower().endswith(".gz")) as file,
        ):
            for k in range(shape[-1]):
                scratch.seek(k * size)
                file.write(np.frombuffer(scratch.read(size), dtype).reshape((*shape[:-1], 1), order="F"))
    return path
