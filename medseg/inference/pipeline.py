"""A preprocessed volume to a label map on disk, slices written as they are decided."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

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
            slices = np.zeros((*shape[:-1], stop - first), dtype)
            where = (*block.where[:-1], slice(None))
            slices[where] = block.labels
            file.write(slices)
            n_done = stop
        file.skip(shape[-1] - n_done)
    return path
