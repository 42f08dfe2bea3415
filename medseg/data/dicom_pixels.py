"""The pixels of DICOM frames, decoded and in the units of their modality.

Runs in a child process (`medseg.data.child`): decoders of compressed pixels crash on damaged files.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_color_lut

from medseg.data.dicom_frames import Slice, read, rescale
from medseg.data.findings import UnreadableError, said, unreadable


def pixels(ordered: list[Slice]) -> tuple[npt.NDArray[Any], bool]:
    """Every frame in this order: shape (column, row, slice), or (column, row, slice, 3) in colour."""
    decoded: dict[str, npt.NDArray[Any]] = {}
    frames, is_rgb = [], False
    for s in ordered:
        if s.path not in decoded:
            decoded = {s.path: _decode(s.path)}
        stack = decoded[s.path]
        is_rgb = stack.ndim == 4
        if s.frame >= len(stack):
            bad = unreadable(f"{Path(s.path).name} has {len(stack)} of its frames")
            raise UnreadableError(bad)
        frames.append(stack[s.frame])
    volume = np.stack(frames)
    return np.moveaxis(volume, (0, 1, 2), (2, 1, 0)), is_rgb


def _decode(path: str) -> npt.NDArray[Any]:
    """The frames of a file, shape (frame, row, column) or with colours last, in the units of the modality."""
    data = read(path)
    if not any(name in data for name in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        raise UnreadableError(unreadable(f"{Path(path).name} has no pixels"))
    if "TransferSyntaxUID" not in data.file_meta:
        syntax = pydicom.uid.ExplicitVRLittleEndian if data.original_encoding[0] is False else None
        data.file_meta.TransferSyntaxUID = syntax or pydicom.uid.ImplicitVRLittleEndian
    try:
        array = data.pixel_array
    # Missing codec, damaged stream or wrong length.
    except Exception as error:
        if _is_known(data.file_meta.TransferSyntaxUID):
            what = f"{Path(path).name}: pixels damaged: {said(error, Path(path))}"
            raise UnreadableError(unreadable(what)) from error
        return _decode_by_itk(path, data)
    if data.get("PhotometricInterpretation") == "PALETTE COLOR":
        return _painted(array, data, path)
    colour = int(data.get("SamplesPerPixel", 1) or 1) > 1
    frames = array if array.ndim == (4 if colour else 3) else array[None]
    return frames if colour else _rescaled(frames, data)


def _painted(array: npt.NDArray[Any], data: pydicom.Dataset, path: str) -> npt.NDArray[Any]:
    """The colours that the numbers stand for (PS3.3 C.7.6.3.1.5) in bytes, shape (frame, row, column, 3)."""
    try:
        colours = apply_color_lut(array, data)[..., :3]
    except (ValueError, AttributeError, IndexError) as error:
        what = f"{Path(path).name} has a damaged palette: {said(error, Path(path))}"
        raise UnreadableError(unreadable(what)) from error
    colours = (colours >> 8).astype(np.uint8) if colours.dtype.itemsize == 2 else colours
    return colours if colours.ndim == 4 else colours[None]


def _rescaled(frames: npt.NDArray[Any], data: pydicom.Dataset) -> npt.NDArray[Any]:
    """Rescale slope and intercept applied, those of each frame where it has its own (PS3.3 C.7.6.16.2.9)."""
    out = frames.astype(np.float32 if frames.dtype.itemsize <= 2 else np.float64)
    changed = False
    for n in range(len(frames)):
        slope, intercept = rescale(data, n)
        if (slope, intercept) != (1.0, 0.0):
            changed = True
            out[n] = out[n] * slope + intercept
    whole = changed and np.all(np.abs(out) < 2**31) and np.all(out == np.rint(out))
    return out.astype(np.int32) if whole else out if changed else frames


def _is_known(syntax: pydicom.uid.UID) -> bool:
    """True where pydicom can decode it: a failure is the file's then, and GDCM would fill in the rest."""
    try:
        return get_decoder(syntax).is_available
    except NotImplementedError:
        return not syntax.is_compressed


def _decode_by_itk(path: str, data: pydicom.Dataset) -> npt.NDArray[Any]:
    """The frames as GDCM decodes and rescales them."""
    import SimpleITK

    try:
        image = SimpleITK.ReadImage(path)
    except RuntimeError as error:
        syntax = data.file_meta.TransferSyntaxUID.name
        raise UnreadableError(
            unreadable(f"{Path(path).name}: cannot decode {syntax}: {said(error, Path(path))}")
        ) from error
    array = SimpleITK.GetArrayFromImage(image)
    colour = image.GetNumberOfComponentsPerPixel() > 1
    return np.asarray(array if array.ndim == (4 if colour else 3) else array[None])
