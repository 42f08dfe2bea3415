"""Is all of a PNG, TIFF or GIF there? Pillow passes wrong checksums, and fills what a file lacks with zeros.

Formats: www.w3.org/TR/png-3 clause 5.3; TIFF 6.0 (Adobe, 1992); BigTIFF widens counts and offsets to 8 bytes.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from medseg.data.findings import BLOCKS, Finding, UnreadableError, unreadable
from medseg.data.intact_gif import verify_gif

PNG = b"\x89PNG\r\n\x1a\n"
_MOST_PAGES = 100_000
_BLOCK = 1 << 20
# TIFF's types of whole numbers: BYTE, SHORT, LONG, LONG8.
_WHOLE = {1: "B", 3: "H", 4: "I", 16: "Q"}
_WIDTH, _LENGTH, _BITS, _COMPRESSION, _OFFSETS, _SAMPLES, _ROWS, _COUNTS = (
    256,
    257,
    258,
    259,
    273,
    277,
    278,
    279,
)
_PLANES, _TILE_WIDTH, _TILE_LENGTH, _TILE_OFFSETS, _TILE_COUNTS = 284, 322, 323, 324, 325
_USED = {_WIDTH, _LENGTH, _BITS, _COMPRESSION, _OFFSETS, _SAMPLES, _ROWS, _COUNTS, _PLANES, _TILE_WIDTH}
_USED |= {_TILE_LENGTH, _TILE_OFFSETS, _TILE_COUNTS}


def verify_picture(path: Path) -> None:
    """Pass a PNG whose chunks have their checksums, a TIFF whose pages are all there, and other files.

    A GIF passes where its first picture has all its pixels, a BMP where its rows reach its end.

    Raises:
        UnreadableError: a chunk is damaged or missing, or part of a page lies outside the file.
    """
    with path.open("rb") as file:
        start = file.read(8)
        if start == PNG:
            _verify_png(path, file)
        elif start[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
            _verify_tiff(path, file, start)
        elif start[:6] in (b"GIF87a", b"GIF89a"):
            file.seek(6)
            verify_gif(path, file)
        elif start[:2] == b"BM":
            _verify_bmp(path, start + file.read(116))


def _verify_png(path: Path, file: IO[bytes]) -> None:
    while True:
        head = file.read(8)
        if len(head) < 8:
            raise UnreadableError(_cut(f"{path.name} ends before its last chunk"))
        left = int.from_bytes(head[:4], "big")
        checksum = zlib.crc32(head[4:])
        while left and (block := file.read(min(left, _BLOCK))):
            checksum, left = zlib.crc32(block, checksum), left - len(block)
        stated = file.read(4)
        if left or len(stated) < 4:
            raise UnreadableError(_cut(f"{path.name} ends in the middle of a chunk"))
        if checksum != int.from_bytes(stated, "big"):
            what = f"the checksum of its chunk {head[4:].decode('latin-1')!r} is wrong"
            raise UnreadableError(unreadable(f"{path.name} is damaged: {what}"))
        if head[4:] == b"IEND":
            return


def _verify_bmp(path: Path, start: bytes) -> None:
    """Hold the rows of an uncompressed BMP against the file; some have two bytes or a profile behind."""
    if len(start) < 34:
        raise UnreadableError(_cut(f"{path.name} ends in its header"))
    at, size = struct.unpack("<II", start[10:18])
    if size == 12:
        (width, height, _, bits), packing = struct.unpack("<4H", start[18:26]), 0
    else:
        width, height, _, bits, packing = struct.unpack("<iiHHI", start[18:34])
    row = (width * bits + 31) // 32 * 4
    expected, left = row * abs(height), path.stat().st_size - at
    has_profile = size >= 124 and len(start) >= 124 and any(start[120:124])
    is_packed = packing not in (0, 3, 6)
    if at < 14 + size or row < 1 or left < (0 if is_packed else expected):
        raise UnreadableError(_cut(f"{path.name} has {left} of {expected} bytes of pixels"))
    if not is_packed and not has_profile and left >= expected + row:
        raise UnreadableError(unreadable(f"{path.name} has {left} bytes of pixels that claim {expected}"))


def _verify_tiff(path: Path, file: IO[bytes], start: bytes) -> None:
    """Follow the chain of pages to its end, and hold each page's parts against the file."""
    order = "<" if start[:2] == b"II" else ">"
    count, offset = ("Q", "Q") if start[2:4] in (b"+\0", b"\0+") else ("H", "I")
    file.seek(8 if offset == "Q" else 4)
    (at,) = _numbers(path, file, order + offset)
    seen: set[int] = set()
    while at:
        if at in seen or len(seen) >= _MOST_PAGES:
            raise UnreadableError(unreadable(f"{path.name} is damaged: its pages go in a circle"))
        seen.add(at)
        file.seek(at)
        (n,) = _numbers(path, file, order + count)
        fields = [_numbers(path, file, f"{order}HH{offset}{struct.calcsize(offset)}s") for _ in range(n)]
        (at,) = _numbers(path, file, order + offset)
        if len({f[0] for f in fields}) < len(fields):
            raise UnreadableError(unreadable(f"{path.name} is damaged: a page says something twice"))
        _verify_page(path, {f[0]: _values(path, file, order, f) for f in fields if f[0] in _USED})


def _values(path: Path, file: IO[bytes], order: str, field: Sequence[Any]) -> tuple[int, ...]:
    """The numbers of a field, from the field itself or from where it points."""
    _, kind, n, inside = field
    letter = _WHOLE.get(kind, "")
    if not letter:
        return ()
    if (size := struct.calcsize(order + letter) * n) <= len(inside):
        return struct.unpack(f"{order}{n}{letter}", inside[:size])
    if size > path.stat().st_size:
        raise UnreadableError(_cut(f"{path.name} has {n} parts, more than it has bytes"))
    (at,) = struct.unpack(order + ("I" if len(inside) == 4 else "Q"), inside)
    file.seek(at)
    return _numbers(path, file, f"{order}{n}{letter}")


def _verify_page(path: Path, tags: dict[int, tuple[int, ...]]) -> None:
    def one(tag: int, default: int) -> int:
        return next(iter(tags.get(tag, ())), default)

    width, length, samples = one(_WIDTH, 0), one(_LENGTH, 0), one(_SAMPLES, 1)
    is_tiled = _TILE_WIDTH in tags
    wide, long = (
        one(_TILE_WIDTH, width),
        one(_TILE_LENGTH, 0) if is_tiled else min(one(_ROWS, length), length),
    )
    if min(width, length, wide, long, samples) < 1:
        raise UnreadableError(unreadable(f"{path.name} has a page of {width} x {length} pixels"))
    planes = samples if one(_PLANES, 1) == 2 else 1
    needed = -(-width // wide) * -(-length // long) * planes
    offsets = tags.get(_TILE_OFFSETS if is_tiled else _OFFSETS, ())
    sizes = tags.get(_TILE_COUNTS if is_tiled else _COUNTS, ())
    if min(len(offsets), len(sizes)) < needed:
        found = f"{path.name} has {min(len(offsets), len(sizes))} of {needed} parts of a page"
        raise UnreadableError(_cut(found))
    end = max(a + n for a, n in zip(offsets, sizes, strict=False))
    if end > path.stat().st_size:
        raise UnreadableError(_cut(f"{path.name} ends at {path.stat().st_size} of {end} bytes"))
    if one(_COMPRESSION, 1) == 1:
        bits = (
            sum(tags.get(_BITS, (1,))) if len(tags.get(_BITS, (1,))) == samples else samples * one(_BITS, 1)
        )
        rows = length * -(-width // wide) if not is_tiled else needed // planes * long
        expected = rows * (-(-wide * bits // planes // 8)) * planes
        # Some pad their rows; a damaged depth or width is off by more.
        if not expected <= sum(sizes) <= 2 * expected + 64 * needed:
            found = f"{path.name} has {sum(sizes)} bytes of a page that claims {expected}"
            raise UnreadableError(_cut(found))


def _numbers(path: Path, file: IO[bytes], layout: str) -> tuple[Any, ...]:
    raw = file.read(struct.calcsize(layout))
    if len(raw) < struct.calcsize(layout):
        raise UnreadableError(_cut(f"{path.name} ends before its last page"))
    return struct.unpack(layout, raw)


def _cut(text: str) -> Finding:
    return Finding("truncated", BLOCKS, text, "a whole file", "fetch it anew")
