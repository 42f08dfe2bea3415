"""Finished blocks to a label map on disk: slices are compressed and written while later windows run."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np

from medseg.inference.engine import Block
from medseg.inference.planes import Planes
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
    shape = header.get_data_shape()
    compressed = path.name.lower().endswith(".gz")
    with (
        replacing(path, overwrite=overwrite) as partial,
        LabelMapFile(partial, header, compressed=compressed) as file,
        ThreadPoolExecutor(1) as writer,
    ):
        n_done, writing = 0, writer.submit(file.skip, 0)
        for block in blocks:
            first, stop = block.where[-1].start, block.where[-1].stop
            # One block waits at most; an error of the last one is raised here.
            writing.result()
            writing = writer.submit(_append, file, first - n_done, block)
            n_done = stop
        writing.result()
        file.skip(shape[-1] - n_done)
    return path


def _append(file: LabelMapFile, n_skipped: int, block: Block) -> None:
    """Some slices of background, then those of a block, with background around it."""
    file.skip(n_skipped)
    plane = file.header.get_data_shape()[:-1]
    if block.labels.shape[:-1] == plane:
        file.write(block.labels)
        return
    slices = np.zeros((*plane, block.labels.shape[-1]), file.dtype, order="F")
    where = (*block.where[:-1], slice(None))
    slices[where] = block.labels
    file.write(slices)


def write_strips(
    path: Path, blocks: Iterator[Block], *, like: Path, largest: int, overwrite: bool = False
) -> Path:
    """The path of a label map written from blocks in any order; between, they wait in a nameless file.

    Args and Raises: as for `write_blocks`.
    """
    header = label_header(read_header(like), np.uint8 if largest <= 255 else np.uint16)
    shape, dtype = header.get_data_shape(), header.get_data_dtype()
    with TemporaryFile(dir=path.parent) as scratch:
        planes = Planes(scratch, shape[:-1], dtype, shape[-1])
        for block in blocks:
            for i, k in enumerate(range(block.where[-1].start, block.where[-1].stop)):
                planes.put(k, block.where[:-1], block.labels[..., i])
        with (
            replacing(path, overwrite=overwrite) as partial,
            LabelMapFile(partial, header, compressed=path.name.lower().endswith(".gz")) as file,
        ):
            for k in range(shape[-1]):
                file.write(planes.get(k)[..., None])
    return path
