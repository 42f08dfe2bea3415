"""Reading DICOM: a series is what shares a UID and a geometry, and its slices must be a grid.

Runs in a child process (`medseg.data.child`): decoders of compressed pixels crash on damaged files.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom

from medseg.arrays import Affine
from medseg.data.dicom_frames import Slice, header, is_localizer, slices_of
from medseg.data.dicom_grid import one_volume, stack
from medseg.data.dicom_pixels import pixels
from medseg.data.findings import BLOCKS, NOTE, WARNING, Finding, UnreadableError, unreadable


def is_dicom(start: bytes) -> bool:
    """True where these first bytes open a DICOM file, with or without the preamble of PS3.10 clause 7.1."""
    bare = start[:4] in (b"\x02\x00\x00\x00", b"\x08\x00\x00\x00", b"\x08\x00\x05\x00", b"\x08\x00\x08\x00")
    return start[128:132] == b"DICM" or bare


def load_dicom(paths: Sequence[str]) -> tuple[npt.NDArray[Any], Affine, dict[str, Any], list[Finding]]:
    """The volume of one series, shape (column, row, slice), its affine to RAS+ mm, and the findings.

    Raises:
        UnreadableError: there is no series with pixels, or there are several.
    """
    slices, first, found = [], None, []
    scouts: list[Slice] = []
    scout = None
    wanted = paths[-1][1:] if paths[-1].startswith("#") else ""
    for path in paths[:-1] if wanted else paths:
        try:
            data = header(path)
            if wanted and str(data.get("SeriesInstanceUID", "")) != wanted:
                continue
            if is_localizer(data):
                scouts += slices_of(data, path)
                scout = scout or data
            else:
                slices += slices_of(data, path)
                first = first or data
        except UnreadableError as error:
            if len(paths) == 1:
                raise
            found.append(error.finding)
    if scouts and slices:
        text = f"{len(scouts)} localizers among the slices were left out"
        found.append(Finding("dicom-localizer", WARNING, text, "slices alone", "part the series"))
    slices, first = slices or scouts, first or scout
    if first is None:
        raise UnreadableError(found[0] if found else unreadable("no DICOM image"))
    slices, more = one_volume(slices)
    ordered, affine, geometry = stack(slices, first)
    frames, is_rgb = pixels(ordered)
    about = {"modality": str(first.get("Modality", "")), "is_rgb": is_rgb, "has_grid": affine is not None}
    about["description"] = str(first.get("SeriesDescription", ""))
    everything = found + more + geometry + _mixed_rescale(ordered, str(about["modality"])) + _inverted(first)
    return frames, np.eye(4) if affine is None else affine, about, everything


def _inverted(first: pydicom.Dataset) -> list[Finding]:
    """A finding where low values are white (PS3.3 C.7.6.3.1.2); numbers are read as they are."""
    if first.get("PhotometricInterpretation") != "MONOCHROME1":
        return []
    text = "MONOCHROME1: its low values are meant to be white; they were not inverted"
    do = "invert it where the bundle was trained on pictures"
    return [Finding("dicom-inverted", WARNING, text, "MONOCHROME2", do)]


def _mixed_rescale(slices: Sequence[Slice], modality: str) -> list[Finding]:
    """A finding where slices are scaled differently; in PET each slice has its own by custom."""
    pairs = sorted({s.rescale for s in slices})
    if len(pairs) < 2:
        return []
    text = f"{len(pairs)} different rescale slopes and intercepts, first {pairs[0]} and {pairs[1]}"
    severity = NOTE if modality == "PT" else BLOCKS
    do = "make sure that the slices belong together; each was read by its own"
    return [Finding("dicom-rescale", severity, text, "one for the series", do)]
