"""Label maps as small unsigned codes with a table from code to structures, so that one pass serves all.

A table has one 64-bit word per code; bit i says that the code belongs to structure i. Labels above 255,
negative ones and overlapping channels all become codes of 8 or 16 bits, and no value wraps into another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from medseg.labels import Structure

MAX_STRUCTURES = 64
_SLAB = 1 << 22
_NO_LABEL = np.iinfo(np.int64).min


@dataclass(frozen=True)
class Coded:
    """A label map in codes.

    Attributes:
        codes: uint8 or uint16, shape and memory order of the label map; 0 stands for the label 0.
        values: the label of each code, shape (256,) or (65536,); a code that stands for no one label is
            the least int64.
        bits: the structures of each code, shape of `values`.
    """

    codes: npt.NDArray[Any]
    values: npt.NDArray[np.int64]
    bits: npt.NDArray[np.uint64]

    def mask(self, structure: int) -> npt.NDArray[np.bool_]:
        """The voxels of one structure, by the number of its bit."""
        return (((self.bits >> np.uint64(structure)) & np.uint64(1)) != 0)[self.codes]


def code_labels(label_map: npt.NDArray[Any], structures: Sequence[Structure]) -> Coded:
    """The codes of a label map of any integer type, for at most 64 structures.

    Where a structure holds the label 0, no voxel has code 0, which the compiled loops pass over.
    """
    declared = [n for s in structures for n in s.numbers]
    codes, values = _ranked(label_map, declared) if 0 in declared else _narrow(label_map, declared)
    bits = np.zeros(len(values), np.uint64)
    for i, structure in enumerate(structures):
        for number in structure.numbers:
            bits[values == number] |= np.uint64(1 << i)
    return Coded(codes, values, bits)


def code_channels(channels: npt.NDArray[Any]) -> Coded:
    """The codes of at most 8 masks that may overlap, shape (channel, x, y, z): bit i of a code is mask i."""
    codes = np.zeros(channels.shape[1:], np.uint8, order="F" if channels[0].flags.f_contiguous else "C")
    for i, channel in enumerate(channels):
        codes |= (channel != 0).astype(np.uint8) << np.uint8(i)
    bits = np.arange(256, dtype=np.uint64) & np.uint64((1 << len(channels)) - 1)
    return Coded(codes, np.full(256, _NO_LABEL, np.int64), bits)


def same_width(one: Coded, other: Coded) -> tuple[Coded, Coded]:
    """Both in the wider of their code types, so that one compiled loop serves them."""
    if one.codes.dtype == other.codes.dtype:
        return one, other
    return _widened(one), _widened(other)


def _widened(coded: Coded) -> Coded:
    if coded.codes.dtype == np.uint16:
        return coded
    values, bits = np.full(65536, _NO_LABEL, np.int64), np.zeros(65536, np.uint64)
    values[:256], bits[:256] = coded.values, coded.bits
    return Coded(coded.codes.astype(np.uint16), values, bits)


def _narrow(label_map: npt.NDArray[Any], declared: Sequence[int]) -> tuple[npt.NDArray[Any], Any]:
    """Codes of 8 or 16 bits and the label of each; modulo 2**16 where that is one to one."""
    kind = label_map.dtype
    if kind.itemsize == 1:
        signed = kind.kind == "i"
        return label_map.view(np.uint8), np.arange(256).astype(np.int8 if signed else np.uint8).astype(
            np.int64
        )
    if kind.itemsize == 2:
        table = np.arange(65536).astype(np.int16 if kind.kind == "i" else np.uint16)
        return label_map.view(np.uint16), table.astype(np.int64)
    low, high = (int(label_map.min()), int(label_map.max())) if label_map.size else (0, 0)
    # With 0 in the range, so that code 0 means nothing else.
    low, high = min(low, 0), max(high, 0)
    if high - low < 65536:
        table = np.full(65536, _NO_LABEL, np.int64)
        labels = np.arange(low, high + 1)
        table[labels % 65536] = labels
        return label_map.astype(np.uint16), table
    return _ranked(label_map, declared)


def _ranked(
    label_map: npt.NDArray[Any], numbers: Sequence[int]
) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """Codes 1.. for the declared labels and one more for all that nobody declared, slab by slab."""
    declared = np.unique(np.asarray(numbers, np.int64))
    order: Literal["F", "C"] = "F" if label_map.flags.f_contiguous else "C"
    # Not "K": a turned view has an order of its own.
    source = label_map.ravel(order=order)
    flat = np.empty(label_map.size, np.uint16)
    for start in range(0, len(flat), _SLAB):
        part = source[start : start + _SLAB]
        rank = np.minimum(np.searchsorted(declared, part), len(declared) - 1)
        code = np.where(declared[rank] == part, rank + 1, np.where(part == 0, 0, len(declared) + 1))
        flat[start : start + _SLAB] = code
    table = np.full(65536, _NO_LABEL, np.int64)
    table[0] = 0
    table[1 : len(declared) + 1] = declared
    return flat.reshape(label_map.shape, order=order), table


def count_codes(label_map: npt.NDArray[Any]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The labels of an 8 or 16 bit label map and how often each occurs, slab by slab."""
    codes, values = _narrow(label_map, ())
    flat = codes.ravel(order="K")
    counts = np.zeros(len(values), np.int64)
    for start in range(0, len(flat), _SLAB):
        counts += np.bincount(flat[start : start + _SLAB], minlength=len(values))
    seen = np.flatnonzero(counts)
    return values[seen], counts[seen]


def unknown_labels(label_map: npt.NDArray[np.integer[Any]], declared: set[int]) -> dict[int, int]:
    """Voxels per label that nobody declared, for the report; empty where all are known."""
    if label_map.dtype.itemsize <= 2:
        values, counts = count_codes(label_map)
    else:
        values, counts = np.unique(label_map, return_counts=True)
    return {int(v): int(n) for v, n in zip(values, counts, strict=True) if n and int(v) not in declared}
