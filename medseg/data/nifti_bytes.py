"""NIfTI-1 and -2 from bytes to an array in the file's own type, checked to the last byte."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
from nibabel.spatialimages import HeaderDataError

from medseg.arrays import Affine

NIFTI_SUFFIXES = (".nii", ".nii.gz")
_GZIP_MAGIC = b"\x1f\x8b"
# Deflate cannot shrink more than 1032 to 1, so a header that claims more is lying.
_MAX_DEFLATE_RATIO = 1100


@dataclass(frozen=True)
class NiftiImage:
    """What a NIfTI file holds.

    Attributes:
        array: the stored numbers, scaled only where the header has a slope or an intercept.
        affine: voxel index to RAS+ millimetres.
        pixdim: the voxel size of the header, as stored, for up to three axes.
        source: ``sform``, ``qform`` or ``pixdim``, whichever gave the affine.
        flags: ``qform_disagrees``, ``no_orientation``, ``pixdim_disagrees``.
    """

    array: npt.NDArray[Any]
    affine: Affine
    pixdim: tuple[float, ...]
    source: str
    flags: tuple[str, ...]


def read_nifti(content: memoryview | bytes) -> NiftiImage:
    """The image in the bytes of a ``.nii`` or ``.nii.gz`` file; which of both is seen, not told.

    Raises:
        ValueError: the bytes end early, fail their checksum or are not NIfTI.
    """
    if bytes(content[:2]) == _GZIP_MAGIC:
        header, array = _inflated(content)
    else:
        header = _header(bytes(content[:544]))
        offset, count, dtype = _layout(header)
        if len(content) < offset + count * dtype.itemsize:
            raise ValueError(f"{len(content)} bytes where the header needs {offset + count * dtype.itemsize}")
        array = np.frombuffer(content, dtype, count, offset)
    array = array.reshape(_shape(header), order="F")
    if not array.dtype.isnative:
        array = array.byteswap().view(array.dtype.newbyteorder("="))
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if np.isfinite([slope, intercept]).all() and slope != 0 and (slope, intercept) != (1.0, 0.0):
        array = array * slope + intercept
    affine, source, flags = _affine(header)
    return NiftiImage(array, affine, _pixdim(header), source, flags)


def _inflated(content: memoryview | bytes) -> tuple[Any, npt.NDArray[Any]]:
    """Header and flat array of a gzip stream, inflated into the array's own memory and checked by its CRC."""
    from isal import igzip, isal_zlib

    broken: Any = (EOFError, OSError, isal_zlib.IsalError)
    try:
        with igzip.IGzipFile(fileobj=io.BytesIO(content)) as stream:
            start = stream.read(544)
            header = _header(start)
            offset, count, dtype = _layout(header)
            if offset + count * dtype.itemsize > len(content) * _MAX_DEFLATE_RATIO:
                raise ValueError(f"a header that claims {count} voxels in {len(content)} bytes")
            rest = max(offset - len(start), 0)
            if len(stream.read(rest)) < rest:
                raise ValueError("the gzip stream ends inside the header")
            array = np.empty(count, dtype)
            memory = array.view(np.uint8).data
            done = max(len(start) - offset, 0)
            memory[:done] = start[offset : offset + len(memory)][:done]
            while done < len(memory):
                n = stream.readinto(memory[done:])
                if not n:
                    raise ValueError(f"the gzip stream ends after {done} of {len(memory)} bytes of voxels")
                done += n
            _check_end(stream)
    except broken as error:
        raise ValueError(f"damaged gzip stream: {error}") from None
    return header, array


def _check_end(stream: io.BufferedIOBase) -> None:
    """Read to the end, so that the checksum is compared; garbage after a whole stream is let pass."""
    try:
        while stream.read(1 << 20):
            pass
    except OSError as error:
        if "Not a gzipped file" not in str(error):
            raise


def _header(start: bytes) -> Any:
    size = {int.from_bytes(start[:4], order) for order in ("little", "big")}
    kind = nib.Nifti1Header if 348 in size else nib.Nifti2Header if 540 in size else None
    if kind is None or len(start) < kind.sizeof_hdr:
        raise ValueError("not a NIfTI header")
    header = kind(start[: kind.sizeof_hdr], check=False)
    if bytes(header["magic"].item())[:2] not in (b"n+", b"ni"):
        raise ValueError(f"not a NIfTI header: magic is {header['magic'].item()!r}")
    return header


def _shape(header: Any) -> tuple[int, ...]:
    n_axes = int(header["dim"][0])
    shape = tuple(int(n) for n in header["dim"][1 : n_axes + 1])
    if not 1 <= n_axes <= 7 or min(shape, default=0) < 1:
        raise ValueError(f"dimensions {header['dim'].tolist()}")
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    return shape


def _layout(header: Any) -> tuple[int, int, np.dtype[Any]]:
    """Offset of the voxels in bytes, how many there are, and their type."""
    try:
        dtype = np.dtype(header.get_data_dtype())
    except HeaderDataError as error:
        raise ValueError(f"data type {int(header['datatype'])}: {error}") from None
    offset = float(header["vox_offset"])
    if not np.isfinite(offset) or offset < 0:
        raise ValueError(f"voxels at byte {offset}")
    count = 1
    for n in _shape(header):
        count *= n
    return max(int(offset), header.sizeof_hdr), count, dtype


def _pixdim(header: Any) -> tuple[float, ...]:
    return tuple(float(s) for s in header["pixdim"][1 : min(len(_shape(header)), 3) + 1])


def _affine(header: Any) -> tuple[Affine, str, tuple[str, ...]]:
    """The sform where it is set, else the qform, else the voxel size alone."""
    s_code, q_code = int(header["sform_code"]), int(header["qform_code"])
    flags: tuple[str, ...] = ()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        try:
            qform = header.get_qform() if q_code > 0 else None
        except (ValueError, HeaderDataError):
            qform, flags = None, ("qform_unreadable",)
    if s_code > 0:
        affine = np.asarray(header.get_sform(), np.float64)
        span = np.asarray([*_shape(header)[:3], 1, 1, 1][:3], np.float64)
        if qform is not None and np.abs((affine - qform)[:3] @ np.append(span, 1.0)).max() > 0.1 * min(
            np.linalg.norm(affine[:3, :3], axis=0)
        ):
            flags += ("qform_disagrees",)
        columns = np.linalg.norm(affine[:3, :3], axis=0)[: len(_pixdim(header))]
        if not np.allclose(columns, _pixdim(header), rtol=1e-3):
            flags += ("pixdim_disagrees",)
        return affine, "sform", flags
    if qform is not None:
        return np.asarray(qform, np.float64), "qform", flags
    sizes = [*_pixdim(header), 1.0, 1.0, 1.0][:3]
    return np.diag([*sizes, 1.0]), "pixdim", (*flags, "no_orientation")
