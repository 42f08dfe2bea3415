"""Reading any scan safely: what comes back is whole and lies where it says, or an error says why."""

from __future__ import annotations

import atexit
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medseg.arrays import Affine
from medseg.data.dicom import is_dicom
from medseg.data.findings import BLOCKS, Finding, UnreadableError, unreadable
from medseg.data.grid import codes_of, spacing_of
from medseg.data.isolation import Reader, as_array
from medseg.data.layouts import files_below
from medseg.data.nifti import load_nifti, nifti_version, open_stream, pair_of

MAX_BYTES = 8 << 30
_PICTURES = {b"\x89PNG": "PNG", b"\xff\xd8\xff": "JPEG", b"BM": "BMP", b"GIF8": "GIF"}
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_NIBABEL = (".mgz", ".mgh", ".mnc", ".par", ".rec", ".head", ".brik", ".brik.gz", ".hdr", ".img")
_ITK = (".mha", ".mhd", ".nhdr", ".gipl", ".vtk", ".lsm")
_reader = Reader()
atexit.register(_reader.close)


@dataclass(frozen=True)
class Image:
    """A scan or a label map as it lies in its file.

    Attributes:
        array: shape (x, y, z), or (x, y) for a picture, with channels, colours or time as a last axis.
        affine: voxel index to RAS+ mm, shape (4, 4); the identity where the file has no grid.
        kind: the format, for example ``NIfTI``.
        has_grid: False for pictures, whose pixels have no size in mm.
        is_rgb: True where the last axis is colour.
        qform_code, sform_code: NIfTI's, 0 elsewhere.
        modality: DICOM's (``CT``, ``MR``), or empty.
        findings: what is amiss with the file or its grid, short of being unreadable.
    """

    array: npt.NDArray[Any]
    affine: Affine
    kind: str
    has_grid: bool = True
    is_rgb: bool = False
    qform_code: int = 0
    sform_code: int = 0
    modality: str = ""
    description: str = ""
    findings: tuple[Finding, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels along the spatial axes."""
        return self.array.shape[: self.dimensions]

    @property
    def dimensions(self) -> int:
        """2 for a picture, 3 for a volume."""
        flat = self.array.ndim == 2 or (self.array.ndim == 3 and self.is_rgb)
        return 2 if flat and not self.has_grid else 3

    @property
    def channels(self) -> int:
        """Length of the last axis where it is not a place, else 1."""
        return self.array.shape[-1] if self.array.ndim > self.dimensions else 1

    @property
    def spacing_mm(self) -> tuple[float, ...]:
        """Millimetres between voxels along each spatial axis; ones where there is no grid."""
        return spacing_of(self.affine, self.dimensions)

    @property
    def codes(self) -> str:
        """Where each axis points, as ``RAS``; empty where there is no grid."""
        return codes_of(self.affine) if self.has_grid else ""


def shared_reader() -> Reader:
    """The child process that reads where none is given."""
    return _reader


def read_image(
    path: str | os.PathLike[str], *, reader: Reader | None = None, max_bytes: int = MAX_BYTES
) -> Image:
    """The scan in a file, or in a folder that holds one DICOM series; ``folder#UID`` is one of several.

    NIfTI is read here, all else in a child process with limits (`reader`, one is shared by default), so
    a file that crashes its decoder costs an error and not the program. Values are those the file means: slope
    and intercept are applied. Streams are checked to their end.

    Raises:
        DataError: missing, damaged, cut, too large, or no image; `GeometryError` where its grid is none.
    """
    image, findings = examine(path, reader=reader, max_bytes=max_bytes)
    blocking = [f for f in findings if f.severity == BLOCKS]
    fatal = [f for f in blocking if image is None or f.rule in ("affine", "spacing", "header")]
    fatal += [f for f in blocking if f.rule.startswith("dicom-") and f.rule != "dicom-tilt"]
    if fatal or image is None:
        raise replace(fatal[0], file=str(path)).error()
    return image


def examine(
    path: str | os.PathLike[str], *, reader: Reader | None = None, max_bytes: int = MAX_BYTES
) -> tuple[Image | None, tuple[Finding, ...]]:
    """The image, or None where the file gives none, and everything that is amiss."""
    try:
        image = _load(Path(path), reader or _reader, max_bytes)
    except UnreadableError as error:
        return None, (error.finding,)
    return image, image.findings


def _load(path: Path, reader: Reader, max_bytes: int) -> Image:
    if path.is_dir():
        return _ask(reader, "dicom", dicom_files(path), "DICOM")
    if not path.exists() and "#" in path.name:
        folder, _, uid = str(path).rpartition("#")
        if Path(folder).is_dir():
            return _ask(reader, "dicom", dicom_files(Path(folder)), "DICOM", series=uid)
    if not path.exists():
        raise UnreadableError(Finding("missing", BLOCKS, f"{path.name} is missing", "the file", "fetch it"))
    if path.stat().st_size == 0:
        raise UnreadableError(unreadable(f"{path.name} has no bytes"))
    kind = recognise(path)
    if kind == "NIfTI":
        try:
            array, affine, about, found = load_nifti(path, max_bytes)
        except OSError as error:
            raise UnreadableError(unreadable(f"{path.name}: {error.strerror}")) from error
        return Image(array, affine, kind, findings=tuple(found), **about)
    ways = {"DICOM": "dicom", "picture": "picture", "older": "nibabel", "volume": "itk"}
    if kind not in ways:
        what = kind or "no image that medseg knows"
        raise UnreadableError(unreadable(f"{path.name} is {what}", "remove or convert it"))
    return _ask(reader, ways[kind], [path], kind)


def recognise(path: Path) -> str:
    """NIfTI, DICOM, picture, volume (NRRD, MetaImage …) or older; empty where it is none of these."""
    name = path.name.lower()
    try:
        with open_stream(pair_of(path)[0] if pair_of(path)[0].exists() else path) as stream:
            start = stream.read(540)
        with path.open("rb") as raw:
            outer = raw.read(8)
    # Only a damaged compressed stream gets here: the header cannot be looked at, the name decides.
    except (EOFError, OSError, ValueError) as error:
        if name.endswith((".nii.gz", ".nii.bz2", ".hdr.gz", ".img.gz")):
            return "NIfTI"
        raise UnreadableError(
            unreadable(f"{path.name}: its compressed stream is damaged: {error}")
        ) from error
    if nifti_version(start):
        return "NIfTI"
    if is_dicom(start):
        return "DICOM" if outer[:2] != b"\x1f\x8b" else "compressed DICOM, which gunzip unpacks"
    if start.startswith(b"NRRD") or name.endswith(_ITK):
        return "volume"
    if name.endswith(_NIBABEL) or name.endswith((".hdr.gz", ".img.gz")):
        return "older"
    if start.startswith((*_PICTURES, *_TIFF)):
        return "picture"
    if name.endswith((".nii", ".nii.gz")):
        return "NIfTI"
    return "DICOM" if name.endswith((".dcm", ".ima")) else ""


def dicom_files(folder: Path) -> list[Path]:
    """Every DICOM file below a folder, sorted.

    Raises:
        UnreadableError: there is none.
    """
    files = [p for p in sorted(files_below(folder)) if not p.name.startswith(".")]
    found = [p for p in files if p.name.upper() != "DICOMDIR" and looks_dicom(p)]
    if not found:
        raise UnreadableError(unreadable(f"folder {folder.name} holds no DICOM file"))
    return found


def looks_dicom(path: Path) -> bool:
    """True where the first bytes, or the ending, are DICOM's."""
    with path.open("rb") as stream:
        return is_dicom(stream.read(132)) or path.suffix.lower() in (".dcm", ".ima")


def _ask(reader: Reader, do: str, paths: Sequence[Path], kind: str, series: str = "") -> Image:
    # A series among others in its folder is asked for by its UID, as the last of the paths.
    reply, payload = reader.ask(do, [*(str(p) for p in paths), *([f"#{series}"] if series else [])])
    affine = np.array(reply["affine"], float)
    return Image(as_array(reply, payload), affine, kind, findings=tuple(reply["findings"]), **reply["about"])
