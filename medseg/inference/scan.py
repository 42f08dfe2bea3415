"""A scan's planes one at a time, from memory or from disk, whole and verified before the first is given."""

from __future__ import annotations

import os
import tempfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, Protocol, cast

import nibabel as nib
import numpy as np
import numpy.typing as npt

from medseg.arrays import Affine
from medseg.data.grid import affine_findings
from medseg.data.nifti import open_stream
from medseg.data.reading import read_image
from medseg.errors import DataError, GeometryError
from medseg.writers import read_header

Plane = npt.NDArray[np.float32]
BLOCK = 1 << 22


class Scan(Protocol):
    """A 3D scan of one or more channels, plane by plane along its file's slowest axis."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along x, y and z."""

    @property
    def n_channels(self) -> int:
        """Channels."""

    @property
    def affine(self) -> Affine:
        """Voxel to RAS+ millimetres."""

    def plane(self, channel: int, z: int) -> Plane:
        """One plane, shape (y, x), float32."""


class ScanInMemory:
    """One file, read and verified by `medseg.data`."""

    def __init__(self, path: Path) -> None:
        image = read_image(path)
        if image.dimensions != 3 or image.is_rgb:
            raise GeometryError(f"{path}: shape {image.array.shape}", "a volume", "use --engine stock")
        self.array = image.array if image.array.ndim == 4 else image.array[..., None]
        self.affine = image.affine
        self.shape = cast(tuple[int, int, int], tuple(self.array.shape[:3]))
        self.n_channels = self.array.shape[3]

    def plane(self, channel: int, z: int) -> Plane:
        """One plane, shape (y, x), float32."""
        return self.array[:, :, z, channel].T.astype(np.float32)


class ScanOnDisk:
    """One NIfTI file whose voxels stay on disk: as they are, or inflated once into a nameless file."""

    def __init__(self, path: Path, scratch: Path | None = None) -> None:
        header, proxy = read_header(path), cast(Any, nib.load(path)).dataobj
        shape = [int(n) for n in header.get_data_shape()]
        if len(shape) not in (3, 4):
            raise GeometryError(f"{path}: shape {shape}", "a volume", "use --engine stock")
        self.shape = (shape[0], shape[1], shape[2])
        self.n_channels = shape[3] if len(shape) == 4 else 1
        # nibabel clears offset and scaling in the header and keeps them here.
        self.dtype, self.slope, self.intercept = np.dtype(proxy.dtype), float(proxy.slope), float(proxy.inter)
        self.affine = np.asarray(header.get_best_affine(), np.float64)
        blocking = [f for f in affine_findings(self.affine, self.shape) if f.severity == "blocks"]
        if blocking:
            raise blocking[0].error()
        self.offset, self._file = _verified(path, int(proxy.offset), self._n_bytes(), scratch)

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            self._file.close()

    def _n_bytes(self) -> int:
        return int(np.prod(self.shape, dtype=object)) * self.n_channels * self.dtype.itemsize

    def plane(self, channel: int, z: int) -> Plane:
        """One plane, shape (y, x), float32."""
        n_x, n_y, n_z = self.shape
        size = n_x * n_y * self.dtype.itemsize
        raw = os.pread(self._file.fileno(), size, self.offset + (channel * n_z + z) * size)
        plane = np.frombuffer(raw, self.dtype).reshape(n_y, n_x)
        if self.slope == 1 and self.intercept == 0:
            return plane.astype(np.float32)
        return (plane.astype(np.float64) * self.slope + self.intercept).astype(np.float32)


def _verified(path: Path, offset: int, n_bytes: int, folder: Path | None) -> tuple[int, IO[bytes]]:
    """Where the voxels begin and the open file that holds all of them."""
    with path.open("rb") as start:
        is_plain = start.read(2) != b"\x1f\x8b"
    if is_plain:
        if path.stat().st_size < offset + n_bytes:
            raise DataError(f"{path}: {path.stat().st_size} bytes", f"{offset + n_bytes}", "fetch it anew")
        return offset, path.open("rb")
    scratch = cast(IO[bytes], tempfile.TemporaryFile(dir=folder))  # noqa: SIM115  lives as long as the scan
    try:
        with open_stream(path) as stream:
            n_missing = n_bytes - _copied(stream, scratch, offset, n_bytes)
    except (EOFError, OSError, zlib.error) as error:
        scratch.close()
        raise DataError(f"{path}: {error or 'cut off'}", "a whole gzip stream", "fetch it anew") from error
    if n_missing:
        scratch.close()
        raise DataError(f"{path}: {n_missing} bytes of voxels missing", "a whole file", "fetch it anew")
    return 0, scratch


def _copied(stream: IO[bytes], scratch: IO[bytes], offset: int, n_bytes: int) -> int:
    """Bytes copied after ``offset``; reads to the end, where the checksum is compared."""
    stream.read(offset)
    n_done = 0
    while block := stream.read(BLOCK):
        scratch.write(block[: n_bytes - n_done])
        n_done = min(n_done + len(block), n_bytes)
    scratch.flush()
    return n_done


class Channels:
    """Several files as the channels of one scan."""

    def __init__(self, scans: Sequence[Scan]) -> None:
        first = scans[0]
        for scan in scans[1:]:
            if scan.shape != first.shape or not np.allclose(scan.affine, first.affine, atol=1e-3):
                raise GeometryError("channels on different grids", "one grid", "resample them to one")
        self.scans = [(scan, c) for scan in scans for c in range(scan.n_channels)]
        self.shape, self.affine, self.n_channels = first.shape, first.affine, len(self.scans)

    def plane(self, channel: int, z: int) -> Plane:
        """One plane, shape (y, x), float32."""
        scan, c = self.scans[channel]
        return scan.plane(c, z)


def open_scan(images: Sequence[Path], *, on_disk: bool = False, scratch: Path | None = None) -> Scan:
    """The scan in one file, or in one per channel.

    Args:
        on_disk: keep the voxels there; compressed ones are inflated into a nameless file in ``scratch``.

    Raises:
        DataError: missing, damaged or cut; GeometryError: no volume, or channels on different grids.
    """
    scans: list[Scan] = [ScanOnDisk(path, scratch) if on_disk else ScanInMemory(path) for path in images]
    return Channels(scans) if len(scans) > 1 else scans[0]
