"""Is all of a volume's file there? SimpleITK does not ask: it fills the missing part with zeros.

Formats: teem.sourceforge.net/nrrd/format.html; itk.org/Wiki/ITK/MetaIO/Documentation; GIPL (King's College
London); docs.vtk.org, "VTK File Formats", legacy.
"""

from __future__ import annotations

import math
import re
import struct
import zlib
from pathlib import Path

from medseg.data.findings import BLOCKS, Finding, UnreadableError, unreadable

_NRRD_BYTES = {
    **dict.fromkeys(("signed char", "int8", "int8_t", "uchar", "unsigned char", "uint8", "uint8_t"), 1),
    **dict.fromkeys(("short", "short int", "signed short", "int16", "int16_t"), 2),
    **dict.fromkeys(("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"), 2),
    **dict.fromkeys(
        ("int", "signed int", "int32", "int32_t", "uint", "unsigned int", "uint32", "uint32_t"), 4
    ),
    **dict.fromkeys(("longlong", "long long", "int64", "int64_t", "ulonglong", "uint64", "uint64_t"), 8),
    **dict.fromkeys(("unsigned long long", "double"), 8),
    "float": 4,
}
_META_BYTES = {"CHAR": 1, "UCHAR": 1, "SHORT": 2, "USHORT": 2, "INT": 4, "UINT": 4, "FLOAT": 4, "DOUBLE": 8}
_META_BYTES |= {"LONG": 4, "ULONG": 4, "LONG_LONG": 8, "ULONG_LONG": 8}
_GIPL_BYTES = {7: 1, 8: 1, 15: 2, 16: 2, 31: 4, 32: 4, 64: 4, 65: 8}
_VTK_BYTES = {"char": 1, "unsigned_char": 1, "short": 2, "unsigned_short": 2, "int": 4, "unsigned_int": 4}
_VTK_BYTES |= {"long": 8, "unsigned_long": 8, "float": 4, "double": 8}
_HEADER_LIMIT = 1 << 20


def verify(path: Path) -> int:
    """How many bytes of image a NRRD, MetaImage, GIPL or VTK file claims and has; 0 for every other format.

    Raises:
        UnreadableError: the data are cut, longer than they claim in a compressed stream, or damaged.
    """
    with path.open("rb") as stream:
        start = stream.read(_HEADER_LIMIT)
    if start.startswith(b"NRRD"):
        return _verify_nrrd(path, start)
    if path.suffix.lower() in (".mha", ".mhd"):
        return _verify_meta(path, start)
    if path.suffix.lower() == ".gipl":
        return _verify_gipl(path, start)
    if path.suffix.lower() == ".vtk":
        return _verify_vtk(path, start)
    return 0


def _verify_nrrd(path: Path, start: bytes) -> int:
    end = min((at for at in (start.find(b"\n\n"), start.find(b"\r\n\r\n")) if at >= 0), default=-1)
    fields = _fields(start[: end if end >= 0 else None], ":")
    item = _NRRD_BYTES.get(fields.get("type", "").lower())
    sizes = _product(fields.get("sizes", ""))
    if item is None or not sizes:
        raise UnreadableError(
            unreadable(f"{path.name}: NRRD header with type {fields.get('type')}, no sizes")
        )
    outside = fields.get("data file") or fields.get("datafile")
    if outside:
        data, at = path.with_name(outside), 0
        if "%" in outside or outside.startswith("LIST"):
            return sizes * item
    else:
        if end < 0:
            raise UnreadableError(unreadable(f"{path.name}: NRRD header without end"))
        data, at = path, end + (4 if start[end : end + 1] == b"\r" else 2)
    encoding = fields.get("encoding", "raw").lower()
    if encoding in ("bzip2", "bz2"):
        what = f"{path.name} is packed by bzip2, which SimpleITK can't read"
        raise UnreadableError(unreadable(what, "save it with encoding gzip"))
    return _compare(path, data, at, sizes * item, encoding if encoding in ("gzip", "gz", "raw") else "")


def _verify_meta(path: Path, start: bytes) -> int:
    fields = _fields(start.split(b"ElementDataFile", 1)[0], "=")
    rest = start.split(b"ElementDataFile", 1)
    if len(rest) < 2:
        raise UnreadableError(unreadable(f"{path.name}: MetaImage header without ElementDataFile"))
    where = rest[1].split(b"\n", 1)[0].decode("latin-1").lstrip(" =").strip()
    item = _META_BYTES.get(fields.get("elementtype", "").upper().removeprefix("MET_").removesuffix("_ARRAY"))
    sizes = _product(fields.get("dimsize", ""))
    channels = _product(fields.get("elementnumberofchannels", "1")) or 1
    if item is None or not sizes:
        raise UnreadableError(unreadable(f"{path.name}: MetaImage of type {fields.get('elementtype')}"))
    if "%" in where or where.upper().startswith("LIST"):
        return sizes * item * channels
    local = where.upper() == "LOCAL"
    data = path if local else path.with_name(where)
    at = len(rest[0]) + len(b"ElementDataFile") + rest[1].find(b"\n") + 1 if local else 0
    if (skip := _product(fields.get("headersize", "")) or 0) > 0 and not local:
        at = skip
    compressed = fields.get("compresseddata", "").lower() == "true"
    if not compressed:
        return _compare(path, data, at, sizes * item * channels, "raw")
    stated = fields.get("compresseddatasize", "")
    return _compare(path, data, at, sizes * item * channels, "zlib", at_most=_product(stated))


def _verify_gipl(path: Path, start: bytes) -> int:
    if len(start) < 256:
        raise UnreadableError(unreadable(f"{path.name} has {len(start)} bytes, fewer than a GIPL header"))
    *sizes, kind = struct.unpack(">5H", start[:10])
    item = _GIPL_BYTES.get(kind)
    if item is None:
        raise UnreadableError(unreadable(f"{path.name}: GIPL of type {kind}"))
    return _compare(path, path, 256, math.prod(n for n in sizes if n) * item, "raw")


def _verify_vtk(path: Path, start: bytes) -> int:
    sizes = re.search(rb"(?m)^DIMENSIONS +(\d+) +(\d+) +(\d+)", start)
    voxel = re.search(rb"(?m)^SCALARS +\S+ +(\w+)(?: +(\d+))? *\r?\nLOOKUP_TABLE[^\n]*\n", start)
    item = _VTK_BYTES.get(voxel[1].decode()) if voxel else None
    if sizes is None or voxel is None or item is None or b"\nBINARY" not in start[: sizes.start()]:
        what = f"{path.name} is no binary VTK file of structured points with scalars"
        raise UnreadableError(unreadable(what, "save it as NRRD"))
    expected = math.prod(int(n) for n in sizes.groups()) * item * int(voxel[2] or 1)
    return _compare(path, path, voxel.end(), expected, "raw")


def _compare(
    path: Path, data: Path, at: int, expected: int, encoding: str, at_most: int | None = None
) -> int:
    """What the header claims, once it was held against what is in the file.

    Args:
        at_most: packed bytes that SimpleITK will unpack; it fills the rest with zeros.
    """
    if not data.is_file():
        raise UnreadableError(unreadable(f"{data.name}, which {path.name} names, is missing"))
    if not encoding:
        return expected
    actual, used = data.stat().st_size - at, 0
    if encoding != "raw":
        actual, used = _inflated(data, at, expected, encoding)
    if actual < expected:
        text = f"{max(actual, 0)} of {expected} bytes of image"
        raise UnreadableError(Finding("truncated", BLOCKS, text, "a whole file", "fetch it anew"))
    if at_most is not None and at_most < used:
        what = f"{path.name}: CompressedDataSize {at_most or 'missing'} of {used} bytes"
        raise UnreadableError(unreadable(what, "save it anew, uncompressed or as NRRD"))
    return expected


def _inflated(data: Path, at: int, limit: int, encoding: str) -> tuple[int, int]:
    """How many bytes the stream holds and how many it takes; its checksum is verified.

    Raises:
        UnreadableError: it is damaged, or goes on beyond the limit, where its checksum is out of reach.
    """
    inflate = zlib.decompressobj(15 if encoding == "zlib" else 31)
    total = used = 0
    with data.open("rb") as stream:
        stream.seek(at)
        try:
            while not inflate.eof and total <= limit and (block := stream.read(1 << 18)):
                total += len(inflate.decompress(block))
                used += len(block) - len(inflate.unused_data)
        except (zlib.error, OSError) as error:
            what = f"{data.name}: its compressed stream is damaged: {error}"
            raise UnreadableError(unreadable(what)) from error
    if total > limit:
        raise UnreadableError(unreadable(f"{data.name} unpacks to more than the {limit} bytes it claims"))
    return (total if inflate.eof else min(total, limit - 1)), used


def _fields(header: bytes, separator: str) -> dict[str, str]:
    found = {}
    for line in header.decode("latin-1").splitlines():
        name, sign, value = line.partition(separator)
        if sign and not line.startswith("#"):
            found[name.strip().lower()] = value.lstrip("=").strip()
    return found


def _product(text: str) -> int:
    total = 1
    for word in text.split():
        if not word.isdigit():
            return 0
        total *= int(word)
    return total if text.split() else 0
