"""Reading NIfTI-1 and NIfTI-2 with distrust: nothing is allocated that is not in the file, and every stream's
checksum and length are verified, because other readers fill what is missing with zeros and say nothing.
"""

from __future__ import annotations

import bz2
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

import nibabel as nib
import numpy as np
import numpy.typing as npt
from isal import igzip, isal_zlib
from nibabel.spatialimages import HeaderDataError

from medseg.arrays import Affine
from medseg.data.findings import BLOCKS, WARNING, Finding, UnreadableError, unreadable
from medseg.data.nifti_affine import affine_of

_MAGIC = {b"n+1\0": 1, b"ni1\0": 1, b"n+2\0": 2, b"ni2\0": 2}
# deflate cannot shrink a byte stream more than 1032 to 1.
_DEFLATE_LIMIT = 1032
_TRAILING_LIMIT = 64 << 20
_BROKEN = (EOFError, OSError, zlib.error)


def nifti_version(start: bytes) -> int:
    """1 or 2 where these first bytes (348 or more, uncompressed) open a NIfTI file, else 0."""
    for at in (344, 4):
        if (version := _MAGIC.get(start[at : at + 4], 0)) == (1 if at == 344 else 2):
            return version
    return 0


def pair_of(path: Path) -> tuple[Path, Path]:
    """The header file and the data file: two for ``.hdr``/``.img`` and the same one for the rest."""
    for compressed in ("", ".gz", ".bz2"):
        for ending, other in ((".hdr", ".img"), (".img", ".hdr")):
            if path.name.lower().endswith(ending + compressed):
                stem = path.name[: -len(ending + compressed)]
                upper = path.name[len(stem)] == "." and path.name[len(stem) + 1].isupper()
                twin = path.with_name(stem + (other.upper() if upper else other) + compressed)
                return (path, twin) if ending == ".hdr" else (twin, path)
    return path, path


@contextmanager
def open_stream(path: Path) -> Iterator[IO[bytes]]:
    """The file's bytes, uncompressed by what it begins with and not by its name.

    Raises:
        OSError, EOFError: while it is read, where the stream is damaged or cut.
    """
    with path.open("rb") as raw:
        start = raw.read(3)
        raw.seek(0)
        if start[:2] == b"\x1f\x8b":
            try:
                with igzip.IGzipFile(fileobj=raw) as stream:
                    yield cast(IO[bytes], stream)
            # Its own error has no base that other streams share.
            except cast(Any, isal_zlib).error as error:
                raise OSError(str(error)) from error
        elif start == b"BZh":
            with bz2.BZ2File(raw) as stream:
                yield cast(IO[bytes], stream)
        else:
            yield raw


def load_nifti(path: Path, max_bytes: int) -> tuple[npt.NDArray[Any], Affine, dict[str, Any], list[Finding]]:
    """Array of shape (x, y, z) or (x, y, z, channel), affine, what else the header says, and the findings.

    Raises:
        UnreadableError: the file is no whole NIfTI file, or claims more than `max_bytes`.
    """
    header_path, data_path = pair_of(path)
    header = _header(header_path)
    if not data_path.exists():
        raise UnreadableError(unreadable(f"{data_path.name} is not beside {header_path.name}"))
    shape, dtype = _shape(header), _dtype(header)
    offset = int(header["vox_offset"]) if np.isfinite(header["vox_offset"]) else -1
    found = []
    single = header_path == data_path
    if offset < 0 or (single and offset < int(header["sizeof_hdr"])):
        found.append(Finding("header", WARNING, f"vox_offset {offset}", "the data's place", "write it anew"))
        offset = int(header["sizeof_hdr"]) + 4 if single else 0
    n_bytes = int(np.prod(shape, dtype=object)) * dtype.itemsize
    raw, trailing = _data(data_path, offset, n_bytes, max_bytes)
    if trailing:
        found.append(
            Finding("trailing", WARNING, f"{trailing} bytes after the image", "none", "write it anew")
        )
    array = np.frombuffer(raw, dtype).reshape(shape, order="F")
    array, is_rgb = _channels(array)
    array, scaling = _scaled(array, header)
    affine, more = affine_of(header, array.shape)
    about = {
        "qform_code": int(header["qform_code"]),
        "sform_code": int(header["sform_code"]),
        "is_rgb": is_rgb,
    }
    return array, affine, about, found + scaling + more


def _header(path: Path) -> Any:
    try:
        with open_stream(path) as stream:
            start = stream.read(540)
    except FileNotFoundError:
        raise UnreadableError(unreadable(f"{path.name} is missing")) from None
    except _BROKEN as error:
        raise UnreadableError(_damaged(error)) from None
    version = nifti_version(start)
    kind, length = (nib.Nifti1Header, 348) if version == 1 else (nib.Nifti2Header, 540)
    if not version or len(start) < length:
        raise UnreadableError(unreadable(f"{len(start)} bytes that are no NIfTI header"))
    little = int.from_bytes(start[:4], "little") == length
    return kind(start[:length], endianness="<" if little else ">", check=False)


def _shape(header: Any) -> tuple[int, ...]:
    dim = [int(n) for n in header["dim"]]
    if not 1 <= dim[0] <= 7 or any(n < 1 for n in dim[1 : dim[0] + 1]):
        raise UnreadableError(unreadable(f"the header's dim is {dim}"))
    return tuple(dim[1 : dim[0] + 1])


def _dtype(header: Any) -> np.dtype[Any]:
    try:
        dtype = np.dtype(header.get_data_dtype())
    except (KeyError, HeaderDataError):
        dtype = np.dtype("V0")
    if dtype.itemsize == 0 or dtype.kind not in "iufV" or (dtype.kind == "V" and not dtype.names):
        code = int(header["datatype"])
        raise UnreadableError(
            unreadable(f"datatype {code} ({dtype})", "store it as integers or real numbers")
        )
    return dtype


def _data(path: Path, offset: int, n_bytes: int, max_bytes: int) -> tuple[npt.NDArray[np.uint8], int]:
    """The image's bytes, and how many follow them."""
    size = path.stat().st_size
    with path.open("rb") as raw:
        start = raw.read(3)
    limit = size * (_DEFLATE_LIMIT if start[:2] == b"\x1f\x8b" else 10_000 if start == b"BZh" else 1)
    if offset + n_bytes > limit:
        claim = f"the header claims {n_bytes} bytes of image at {offset}, the file has {size}"
        raise UnreadableError(Finding("truncated", BLOCKS, claim, "a whole file", "fetch it anew"))
    if n_bytes > max_bytes:
        raise UnreadableError(
            Finding("size", BLOCKS, f"{n_bytes} bytes of image", f"at most {max_bytes}", "crop or convert it")
        )
    # Pages are only backed by memory once they are written, so a false claim costs nothing.
    buffer = np.empty(n_bytes, np.uint8)
    try:
        with open_stream(path) as stream:
            skipped = len(stream.read(offset))
            filled = _fill(stream, buffer)
            trailing = _drain(stream) if filled == n_bytes else 0
    except _BROKEN as error:
        raise UnreadableError(_damaged(error)) from None
    if skipped < offset or filled < n_bytes:
        raise UnreadableError(
            Finding(
                "truncated", BLOCKS, f"{filled} of {n_bytes} bytes of image", "a whole file", "fetch it anew"
            )
        )
    return buffer, trailing


def _damaged(error: Exception) -> Finding:
    if "Not a gzipped file" in str(error):
        # A file that begins as none is not opened as one, so these bytes follow a whole stream.
        return unreadable("bytes that are no gzip follow its compressed stream", "gunzip it and gzip it anew")
    return unreadable(f"its compressed stream is damaged: {error or 'it ends early'}")


def _fill(stream: IO[bytes], buffer: npt.NDArray[np.uint8]) -> int:
    view, filled = buffer.data, 0
    while filled < len(view):
        n = stream.readinto(view[filled : filled + (8 << 20)])  # type: ignore[attr-defined]
        if not n:
            break
        filled += n
    return filled


def _drain(stream: IO[bytes]) -> int:
    """Read to the end, which is where the checksum is verified; a bomb is not followed."""
    trailing = 0
    while trailing < _TRAILING_LIMIT and (block := stream.read(1 << 20)):
        trailing += len(block)
    return trailing


def _channels(array: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], bool]:
    """Shape (x, y, z) or (x, y, z, channel): axes of length 1 go, time and vectors share the last axis."""
    if array.dtype.names:
        array = np.stack([array[name] for name in array.dtype.names], axis=-1)
        return array.reshape(*(*array.shape[:-1], 1, 1)[:3], -1, order="F"), True
    shape = (*array.shape, 1, 1)[:3]
    rest = int(np.prod(array.shape[3:], dtype=int))
    return array.reshape((*shape, rest) if rest > 1 else shape, order="F"), False


def _scaled(array: npt.NDArray[Any], header: Any) -> tuple[npt.NDArray[Any], list[Finding]]:
    """The array times slope plus intercept where the header has them, in the machine's byte order."""
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if array.dtype.itemsize > 8:
        array = array.astype(np.float64)
    if slope == 0 or not np.isfinite(slope) or (slope == 1 and intercept == 0):
        return array, []
    if not np.isfinite(intercept):
        bad = Finding("header", BLOCKS, f"scl_inter {intercept}", "a number", "write it anew")
        return array, [bad]
    small = array.dtype.itemsize <= 2 or array.dtype == np.float32
    kind = np.float32 if small else np.float64
    # What a damaged slope takes beyond the type's range is infinite, which is found later.
    with np.errstate(over="ignore", invalid="ignore"):
        return array.astype(kind) * kind(slope) + kind(intercept), []
