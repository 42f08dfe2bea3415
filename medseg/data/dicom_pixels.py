"""The pixels of DICOM frames, decoded and in the units of their modality.

Runs in a child process (`medseg.data.child`): decoders of compressed pixels crash on damaged files.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom

from medseg.data.dicom_frames import Slice, read, rescale
from medseg.data.findings import UnreadableError, unreadable


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
    # Missing codec, damaged stream or wrong length: GDCM, inside SimpleITK, may know the codec.
    except Exception as error:
        if not data.file_meta.TransferSyntaxUID.is_compressed:
            raise UnreadableError(unreadable(f"{Path(path).name}: pixels damaged: {error}")) from error
        return _decode_by_itk(path, data)
    colour = int(data.get("SamplesPerPixel", 1) or 1) > 1
    frames = array if array.ndim == (4 if colour else 3) else array[None]
    return frames if colour else _rescaled(frames, data)


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


def _decode_by_itk(path: str, data: pydicom.Dataset) -> npt.NDArray[Any]:
    """The frames as GDCM decodes and rescales them."""
    import SimpleITK

    try:
        image = SimpleITK.ReadImage(path)
    except RuntimeError as error:
        syntax = data.file_meta.TransferSyntaxUID.name
        raise UnreadableError(
            unreadable(f"{Path(path).name}: cannot decode {syntax}: {str(error)[-200:]}")
        ) from error
    array = SimpleITK.GetArrayFromImage(image)
    colour = image.GetNumberOfComponentsPerPixel() > 1
    return np.asarray(array if array.ndim == (4 if colour else 3) else array[None])
