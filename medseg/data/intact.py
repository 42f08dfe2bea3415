"""Is all of a NRRD or MetaImage file there? SimpleITK does not ask: it fills the missing part with zeros.

Formats: teem.sourceforge.net/nrrd/format.html and itk.org/Wiki/ITK/MetaIO/Documentation.
"""

from __future__ import annotations

import bz2
import zlib
from pathlib import Path
from typing import Any

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
_HEADER_LIMIT = 1 << 20


def verify(path: Path) -> None:
    """Pass a NRRD or MetaImage whose data have the length its header claims, and every other format.

    Raises:
        UnreadableError: the data are cut, longer than they claim in a compressed stream, or damaged.
    """
    with path.open("rb") as stream:
        start = stream.read(_HEADER_LIMIT)
    if start.startswith(b"NRRD"):
        _verify_nrrd(path, start)
    elif path.suffix.lower() in (".mha", ".mhd"):
        _verify_meta(path, start)


def _verify_nrrd(path: Path, start: bytes) -> None:
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
            return
    else:
        if end < 0:
            raise UnreadableError(unreadable(f"{path.name}: NRRD header without end"))
        data, at = path, end + (4 if start[end : end + 1] == b"\r" else 2)
    encoding = fields.get("encoding", "raw").lower()
    _compare(
        path, data, at, sizes * item, encoding if encoding in ("gzip", "gz", "bzip2", "bz2", "raw") else ""
    )


def _verify_meta(path: Path, start: bytes) -> None:
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
        return
    local = where.upper() == "LOCAL"
    data = path if local else path.with_name(where)
    at = len(rest[0]) + len(b"ElementDataFile") + rest[1].find(b"\n") + 1 if local else 0
    if (skip := _product(fields.get("headersize", "")) or 0) > 0 and not local:
        at = skip
    compressed = fields.get("compresseddata", "").lower() == "true"
    _compare(path, data, at, sizes * item * channels, "zlib" if compressed else "raw")


def _compare(path: Path, data: Path, at: int, expected: int, encoding: str) -> None:
    """Hold what is in the file against what the header claims."""
    if not data.is_file():
        raise UnreadableError(unreadable(f"{data.name}, which {path.name} names, is missing"))
    if not encoding:
        return
    actual = data.stat().st_size - at if encoding == "raw" else _inflated(data, at, expected, encoding)
    if actual < expected:
        text = f"{max(actual, 0)} of {expected} bytes of image"
        raise UnreadableError(Finding("truncated", BLOCKS, text, "a whole file", "fetch it anew"))


def _inflated(data: Path, at: int, limit: int, encoding: str) -> int:
    """How many bytes the stream holds; its checksum is verified, a stream beyond the limit is left there."""
    bits = 15 if encoding == "zlib" else 31
    inflate: Any = bz2.BZ2Decompressor() if encoding.startswith("bz") else zlib.decompressobj(bits)
    total = 0
    with data.open("rb") as stream:
        stream.seek(at)
        try:
            while not inflate.eof and total <= limit and (block := stream.read(1 << 18)):
                total += len(inflate.decompress(block))
        except (zlib.error, OSError) as error:
            raise UnreadableError(
                unreadable(f"{data.name}: its compressed stream is damaged: {error}")
            ) from error
    return total if inflate.eof or total > limit else min(total, limit - 1)


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
