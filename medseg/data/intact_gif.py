"""Is all of a GIF's first picture there? Pillow fills what its stream lacks with zeros and says nothing.

Format: GIF89a specification (CompuServe, 1990), clauses 17 to 27 and appendix F.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO

from medseg.data.findings import BLOCKS, Finding, UnreadableError, unreadable

_EXTENSIONS = (0x01, 0xF9, 0xFE, 0xFF)
_LONGEST_CODE = 12


def verify_gif(path: Path, file: IO[bytes]) -> None:
    """Pass a GIF whose blocks lead to its end and whose first picture has all pixels of the canvas.

    Args:
        file: behind the first 6 bytes.

    Raises:
        UnreadableError: it is cut or damaged, or its first picture covers a part of the canvas.
    """
    screen = _read(path, file, 7)
    canvas = (int.from_bytes(screen[:2], "little"), int.from_bytes(screen[2:4], "little"))
    n_colours = _palette(path, file, screen[4])
    n_pictures = 0
    # Some writers leave the trailer out.
    while (kind := file.read(1)) not in (b";", b""):
        if kind == b"!" and _read(path, file, 1)[0] in _EXTENSIONS:
            _blocks(path, file)
        elif kind == b",":
            about = _read(path, file, 9)
            own = _palette(path, file, about[8])
            least_bits = _read(path, file, 1)[0]
            stream = _blocks(path, file)
            if n_pictures == 0:
                place = tuple(int.from_bytes(about[i : i + 2], "little") for i in (0, 2, 4, 6))
                if place != (0, 0, *canvas):
                    what = f"{path.name}: its first picture covers a part of its canvas"
                    raise UnreadableError(unreadable(what, "save it as PNG"))
                _verify_pixels(path, stream, least_bits, canvas[0] * canvas[1], own or n_colours or 256)
            n_pictures += 1
        else:
            raise UnreadableError(unreadable(f"{path.name} is damaged: a block of no known kind"))
    if n_pictures == 0:
        raise UnreadableError(unreadable(f"{path.name} holds no picture"))


def _verify_pixels(path: Path, stream: bytes, least_bits: int, n_pixels: int, n_colours: int) -> None:
    """Hold the pixels that a stream stands for, and its colours, against what the header says."""
    if not 1 <= least_bits < _LONGEST_CODE:
        raise UnreadableError(unreadable(f"{path.name} is damaged: codes of {least_bits} bits"))
    found = highest = 0
    try:
        for length, colour in _runs(stream, least_bits):
            found, highest = found + length, max(highest, colour)
    except IndexError:
        what = f"{path.name} is damaged: a code that stands for nothing"
        raise UnreadableError(unreadable(what)) from None
    if found != n_pixels:
        raise UnreadableError(_cut(f"{path.name} has {found} of {n_pixels} pixels"))
    if highest >= n_colours:
        what = f"{path.name} is damaged: colour {highest} of {n_colours}"
        raise UnreadableError(unreadable(what))


def _runs(stream: bytes, least_bits: int) -> Iterator[tuple[int, int]]:
    """For each code of variable-length LZW how many pixels it stands for, and its colour where it is one.

    Raises:
        IndexError: a code is not in the table yet.
    """
    clear = 1 << least_bits
    start = [1] * clear + [0, 0]
    lengths, previous, bits = list(start), 0, least_bits + 1
    held = n_held = 0
    for byte in stream:
        held, n_held = held | byte << n_held, n_held + 8
        while n_held >= bits:
            code, held, n_held = held & ((1 << bits) - 1), held >> bits, n_held - bits
            if code == clear + 1:
                return
            if code == clear:
                lengths, previous, bits = list(start), 0, least_bits + 1
                continue
            if previous and len(lengths) < 1 << _LONGEST_CODE:
                lengths.append(previous + 1)
            previous = lengths[code]
            yield previous, code if code < clear else 0
            if len(lengths) + 1 > 1 << bits and bits < _LONGEST_CODE:
                bits += 1


def _palette(path: Path, file: IO[bytes], flags: int) -> int:
    """How many colours a table that the flags announce has, which are passed over; 0 without one."""
    n_colours = 2 << (flags & 7) if flags & 0x80 else 0
    _read(path, file, 3 * n_colours)
    return n_colours


def _blocks(path: Path, file: IO[bytes]) -> bytes:
    """The content of a chain of blocks, to its end."""
    parts = []
    while size := _read(path, file, 1)[0]:
        parts.append(_read(path, file, size))
    return b"".join(parts)


def _read(path: Path, file: IO[bytes], size: int) -> bytes:
    content = file.read(size)
    if len(content) < size:
        raise UnreadableError(_cut(f"{path.name} ends in the middle of a block"))
    return content


def _cut(text: str) -> Finding:
    return Finding("truncated", BLOCKS, text, "a whole file", "fetch it anew")
