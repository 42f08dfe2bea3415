"""Masks and grey values as what a page can draw: exact outlines along pixel edges, and PNG."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from medseg.contours import loops


def outline(mask: NDArray[np.bool_], pixel_mm: tuple[float, float] = (1.0, 1.0)) -> str:
    """The outline of a mask as an SVG path in mm, x to the right and y down; empty for an empty mask.

    It runs along the edges of the pixels, so it shows exactly what was scored. Holes are loops of their own.
    """
    height, width = pixel_mm
    return "".join(
        "M" + "L".join(f"{x * width:.5g} {y * height:.5g}" for y, x in loop) + "Z" for loop in loops(mask)
    )


def png(pixels: NDArray[np.uint8]) -> bytes:
    """A PNG of grey (row, column) or colour (row, column, 3) values.

    Source: W3C Portable Network Graphics, second edition, sections 5.3, 9.2 and 11.2.2.
    """
    colour = 2 if pixels.ndim == 3 else 0
    rows = np.ascontiguousarray(pixels).reshape(pixels.shape[0], -1)
    # Every row begins with the number of its filter; 1 stores differences from the left neighbour.
    step = 3 if colour else 1
    shifted = np.zeros_like(rows)
    shifted[:, step:] = rows[:, :-step]
    filtered = np.concatenate([np.ones((rows.shape[0], 1), np.uint8), rows - shifted], axis=1)
    header = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], 8, colour, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(filtered.tobytes(), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, content) for kind, content in parts)


def data_address(pixels: NDArray[np.uint8]) -> str:
    """The PNG as an address that needs no file."""
    return f"data:image/png;base64,{base64.b64encode(png(pixels)).decode()}"


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
