"""Label maps as NIfTI files that lie exactly on the grid of the scan they belong to."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
from isal import igzip
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError

from medseg.arrays import LabelMap
from medseg.errors import DataError, GeometryError, LabelError, OutputError

# Everything that says where the voxels lie. Copied value by value: no affine is decomposed and rebuilt.
GEOMETRY_FIELDS = [
    *("qform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"),
    *("sform_code", "srow_x", "srow_y", "srow_z"),
]
SPATIAL_UNITS = 0b111


def read_header(path: Path) -> nib.Nifti1Header:
    """The NIfTI header of a scan, without its voxels.

    Raises:
        DataError: there is no such file, or it is not NIfTI.
    """
    try:
        header = nib.load(path).header
    except FileNotFoundError as error:
        raise DataError(f"no file {path}", "a NIfTI scan", "check the path") from error
    except (ImageFileError, HeaderDataError, OSError, EOFError, ValueError) as error:
        raise DataError(
            f"{path}: {error}", "a readable NIfTI file", "open it in a viewer or copy it again"
        ) from error
    if not isinstance(header, nib.Nifti1Header):
        raise DataError(
            f"{path}: {type(header).__name__}", "a NIfTI file", "convert the scan to .nii.gz, for example"
        )
    return header


def spatial_shape(header: nib.Nifti1Header) -> tuple[int, ...]:
    """The scan's shape in voxels along its two or three axes of space; channels and time are left out."""
    return tuple(int(n) for n in header.get_data_shape()[:3])


def smallest_type(largest: int, smallest: int = 0) -> np.dtype[Any]:
    """uint8 where the numbers fit, else uint16.

    Raises:
        LabelError: a number is negative or above 65535.
    """
    if smallest < 0 or largest > np.iinfo(np.uint16).max:
        raise LabelError(
            f"label numbers from {smallest} to {largest}",
            "numbers from 0 to 65535",
            "renumber the structures",
        )
    return np.dtype(np.uint8 if largest <= np.iinfo(np.uint8).max else np.uint16)


def label_header(like: nib.Nifti1Header, dtype: npt.DTypeLike, n_channels: int = 0) -> nib.Nifti1Header:
    """A header for a label map on the grid of ``like``: same shape, qform, sform, their codes and units.

    ``n_channels`` above zero makes room for that many maps along a fourth axis.
    """
    new = nib.Nifti2Header() if isinstance(like, nib.Nifti2Header) else nib.Nifti1Header()
    shape = spatial_shape(like)
    new.set_data_shape((*shape, *([1] * (3 - len(shape))), n_channels) if n_channels else shape)
    new.set_data_dtype(dtype)
    new["pixdim"][: 1 + len(shape)] = like["pixdim"][: 1 + len(shape)]
    for field in GEOMETRY_FIELDS:
        new[field] = like[field]
    new["xyzt_units"] = int(like["xyzt_units"]) & SPATIAL_UNITS
    new["scl_slope"], new["scl_inter"] = 1, 0
    new["magic"] = b"n+1" if new.sizeof_hdr == 348 else new["magic"]
    new["vox_offset"] = new.single_vox_offset
    new["descrip"] = b"medseg label map"
    return new


@contextmanager
def replacing(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """A temporary name beside ``path`` that becomes ``path`` only if the block ends well.

    Raises:
        OutputError: ``path`` exists and ``overwrite`` is False, or the folder can't be written.
    """
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists", "a new file", "choose another folder or pass --overwrite")
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.touch()
    except OSError as error:
        raise _no_place(path, error) from error
    try:
        yield partial
        os.replace(partial, path)
    except OSError as error:
        if error.errno in WRITE_ERRORS:
            raise _no_place(path, error) from error
        raise
    finally:
        partial.unlink(missing_ok=True)


WRITE_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG}


def _no_place(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"{path}: {error.strerror}",
        "a folder with room and write access",
        "free space or choose another folder",
    )


class LabelMapFile:
    """A label map being written slice by slice, so that it need not exist in memory as a whole.

    Use as a context manager inside `replacing`. Slices go along the last axis of space, first to last, each
    of shape (x, y, n) or (x, y) for a 2D scan.

    Args:
        path: of the file.
        header: from `label_header`.
        compressed: gzip, by isal at its first level, which costs next to nothing.
    """

    def __init__(self, path: Path, header: nib.Nifti1Header, *, compressed: bool) -> None:
        self.path, self.header, self.compressed = path, header, compressed
        self.dtype = header.get_data_dtype().newbyteorder("<")
        self.n_missing = int(np.prod(header.get_data_shape()))

    def __enter__(self) -> LabelMapFile:
        self._file = self.path.open("wb")
        # No name and no time inside: nothing of the machine in the file.
        self._out: Any = (
            igzip.IGzipFile(filename="", mode="wb", compresslevel=1, fileobj=self._file, mtime=0)
            if self.compressed
            else self._file
        )
        start = io.BytesIO()
        self.header.write_to(start)
        self._out.write(start.getvalue().ljust(self.header.single_vox_offset, b"\0"))
        return self

    def write(self, slices: LabelMap) -> None:
        """Append the next slices, shape (x, y, n)."""
        self.n_missing -= slices.size
        planes = np.ascontiguousarray(slices.T, dtype=self.dtype)
        for plane in planes.reshape(-1, *planes.shape[-2:]):
            self._out.write(plane.data)

    def skip(self, n_slices: int) -> None:
        """Append slices of background."""
        one = np.zeros((*self.header.get_data_shape()[:-1], 1), self.dtype)
        for _ in range(n_slices):
            self.write(one)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.compressed:
            self._out.close()
        self._file.close()
        if kind is None and self.n_missing:
            raise ValueError(f"{self.path}: {self.n_missing} voxels were never written")


def write_label_map(path: Path, labels: LabelMap, *, like: Path, overwrite: bool = False) -> Path:
    """The path of a NIfTI label map on exactly the grid of the scan ``like``.

    Shape, affine, qform and sform with their codes and the units are those of ``like``; the numbers are
    uint8, or uint16 where they need it. The file appears under its name only when it is complete.

    Args:
        path: ``.nii`` or ``.nii.gz``.
        labels: shape of the scan, (x, y) or (x, y, z); or (x, y, z, n) for n maps side by side.
        like: the scan.
        overwrite: replace a file that exists.

    Raises:
        GeometryError: ``labels`` has another shape than the scan.
        LabelError: a number is negative or above 65535.
        OutputError: ``path`` exists and ``overwrite`` is False, or it can't be written.
        DataError: ``like`` is not a readable NIfTI file.
    """
    like_header = read_header(Path(like))
    shape = spatial_shape(like_header)
    n_channels = labels.shape[3] if labels.ndim == 4 else 0
    if labels.shape[: labels.ndim - bool(n_channels)] != shape:
        raise GeometryError(
            f"labels of shape {labels.shape} for {like}",
            f"the scan's own shape {shape}",
            "bring them to its grid first",
        )
    numbers = (int(labels.max()), int(labels.min())) if labels.size else (0, 0)
    header = label_header(like_header, smallest_type(*numbers), n_channels)
    with replacing(Path(path), overwrite=overwrite) as partial:
        compressed = Path(path).name.lower().endswith(".gz")
        with LabelMapFile(partial, header, compressed=compressed) as file:
            file.write(labels)
    return Path(path)
