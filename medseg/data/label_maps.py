"""A label map from any tool's file, in its own integer type, with the spacing its header tells.

NIfTI is decoded by ourselves: inflated with isal straight into the integer type of the file, never through
floating point. Other formats go through SimpleITK (NRRD, MetaImage) or Pillow (PNG, TIFF, BMP).
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medseg.arrays import Affine, Spacing
from medseg.data.label_map_errors import DamagedFileError, NanLabelsError, NonIntegerLabelsError
from medseg.data.label_map_formats import from_nifti, from_picture, from_sitk
from medseg.data.nifti_bytes import NIFTI_SUFFIXES

SITK_SUFFIXES = (".nrrd", ".nhdr", ".mha", ".mhd", ".seg.nrrd")
IMAGE_SUFFIXES = (".png", ".tif", ".tiff", ".bmp")
LABEL_MAP_SUFFIXES = (*NIFTI_SUFFIXES, *SITK_SUFFIXES, *IMAGE_SUFFIXES)
_NEAR_INTEGER = 1e-3


@dataclass(frozen=True)
class LabelMapFile:
    """A label map and what its file says of it.

    Attributes:
        path: where it was read.
        array: integers, shape (x, y), (x, y, z), or (x, y, z, channel) where structures overlap; for PNG and
            its like (row, column). The type is the file's own.
        affine: voxel index to RAS+ millimetres, or None where the format has no geometry.
        spacing_mm: millimetres per voxel along each spatial axis of the array; 1.0 where nobody knows.
        spacing_source: where the spacing comes from, in words.
        flags: what a reader should know: ``float_labels``, ``qform_disagrees``, ``no_orientation`` and so on.
        sha256: of the file as it lies on disk, in hexadecimal.
    """

    path: Path
    array: npt.NDArray[np.integer[Any]]
    affine: Affine | None
    spacing_mm: Spacing
    spacing_source: str
    flags: tuple[str, ...]
    sha256: str

    @property
    def n_channels(self) -> int:
        """How many channels lie on the fourth axis; 0 for an ordinary label map."""
        return self.array.shape[3] if self.array.ndim == 4 else 0


def read_label_map(path: str | os.PathLike[str]) -> LabelMapFile:
    """The label map of a file; `LABEL_MAP_SUFFIXES` names the formats.

    Values within 0.001 of a whole number are taken as that number and flagged ``float_labels``.

    Raises:
        DamagedFileError: the file is cut short, fails its checksum or is not what its name says.
        NanLabelsError: a value is not a number.
        NonIntegerLabelsError: values are not whole numbers.
        ColourLabelsError: the file holds colours.
        SeveralPagesError: a picture file holds more than one page.
        SpacingError: the voxel size is zero, negative or not a number.
        DataError: there is no such file, or no reader for its ending.
    """
    where = Path(path)
    try:
        content = np.fromfile(where, np.uint8).data
    except OSError as error:
        raise DamagedFileError(
            f"{where}: {error.strerror}", "a label map to read", "check the path"
        ) from None
    suffix = label_map_suffix(where)
    sha256 = hashlib.sha256(content).hexdigest()
    if suffix in NIFTI_SUFFIXES:
        values, affine, spacing, source, flags = from_nifti(where, content)
    elif suffix in SITK_SUFFIXES:
        values, affine, spacing, source, flags = from_sitk(where)
    elif suffix in IMAGE_SUFFIXES:
        values, affine, spacing, source, flags = from_picture(where, content)
    else:
        raise DamagedFileError(
            f"{where} ends in {suffix or 'nothing known'}",
            f"one of {', '.join(LABEL_MAP_SUFFIXES)}",
            "convert it to NIfTI",
        )
    array, more = _integers(where, values)
    return LabelMapFile(where, array, affine, spacing, source, (*flags, *more), sha256)


def label_map_suffix(path: Path) -> str:
    """The ending of a label map's name in lower case, ``.nii.gz`` in one piece; empty for other files."""
    name = path.name.lower()
    known = sorted(LABEL_MAP_SUFFIXES, key=len, reverse=True)
    return next((s for s in known if name.endswith(s) and len(name) > len(s)), path.suffix.lower())


def _integers(path: Path, values: npt.NDArray[Any]) -> tuple[npt.NDArray[np.integer[Any]], tuple[str, ...]]:
    """The values as integers; floating point only where every value is nearly whole."""
    if values.dtype.kind in "iu":
        return values, ()
    if values.dtype.kind == "b":
        return values.view(np.uint8), ()
    n_nan = int(values.size - np.count_nonzero(np.isfinite(values)))
    if n_nan:
        raise NanLabelsError(
            f"{path} has {n_nan} voxels that are not finite numbers",
            "a whole number in every voxel",
            "find the step that made them; medseg does not guess",
        )
    rounded = np.rint(values)
    n_odd = int(np.count_nonzero(np.abs(values - rounded) > _NEAR_INTEGER))
    if n_odd:
        as_probability = bool(values.min() >= 0 and values.max() <= 1)
        raise NonIntegerLabelsError(
            f"{path} has {n_odd} voxels that are not whole numbers"
            + (", all between 0 and 1 like probabilities" if as_probability else ""),
            "labels, whole numbers",
            "threshold probabilities (for example at 0.5) or take the argmax before scoring"
            if as_probability
            else "save the labels as integers",
        )
    largest = float(np.abs(rounded).max(initial=0.0))
    if largest >= 2**53:
        raise NonIntegerLabelsError(
            f"{path} has values up to {largest:g}",
            "labels, whole numbers below 2^53",
            "save the labels as integers",
        )
    return rounded.astype(np.int16 if largest < 2**15 else np.int64), ("float_labels",)
