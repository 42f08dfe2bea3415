"""A case's label map as files: the scan's format, DICOM SEG, a file per structure, volumes, preview."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

from medseg.arrays import LabelMap
from medseg.errors import GeometryError
from medseg.inference.cases import Case
from medseg.inference.staging import Staged
from medseg.labels import Structure
from medseg.writers import LabelMapFile, label_header, read_header, replacing, write_label_map
from medseg.writers.dicom_seg import Kind, write_dicom_seg
from medseg.writers.images import PICTURES, VOLUMES, write_picture, write_volume
from medseg.writers.preview import write_preview
from medseg.writers.rtstruct import write_rtstruct
from medseg.writers.series import why_no_reference
from medseg.writers.volumes import mask_of, volume_rows, write_volumes

TABLE = ".volumes.csv"


@dataclass(frozen=True)
class Wanted:
    """Which files a user wants of each case.

    Attributes:
        per_structure: a file for each structure instead of one label map.
        seg_type: of DICOM segmentation objects.
        preview: a contact sheet.
        probabilities: a NIfTI file with a channel per structure.
        rtstruct: contours of each DICOM series beside its label map.
    """

    per_structure: bool = False
    seg_type: Kind = "binary"
    preview: bool = False
    probabilities: bool = False
    rtstruct: bool = False


@dataclass(frozen=True)
class Result:
    """A case's labels on the scan's grid.

    Attributes:
        labels: shape (x, y, z), (x, y, z, n) with a map for each structure, or (column, row).
        confidence: mean probability by the structure's name.
        probabilities: shape (x, y, z, n), or None.
    """

    labels: LabelMap
    confidence: Mapping[str, float]
    probabilities: np.ndarray | None = None


def beside(output: Path, ending: str) -> Path:
    """Another file of the same case: the label map's path with another ending.

    >>> beside(Path("o/liver_1.nii.gz"), ".volumes.csv").name
    'liver_1.volumes.csv'
    """
    return output.with_name(re.sub(r"(\.nii\.gz|\.[a-z]+)$", "", output.name, flags=re.IGNORECASE) + ending)


def outputs_of(case: Case, wanted: Wanted, structures: Sequence[Structure]) -> list[Path]:
    """The files that hold the labels; the last one is written last, so that where it is there is all."""
    has_object = case.is_series and case.output.name.endswith((".nii.gz", ".nii"))
    objects = [beside(case.output, ".dcm")] if has_object else []
    if wanted.per_structure:
        # One object holds a segment for each structure, which is what viewers of DICOM expect.
        return [*(_structure_path(case.output, s) for s in structures), *objects, beside(case.output, TABLE)]
    return [*objects, case.output]


def is_done(case: Case, wanted: Wanted, structures: Sequence[Structure]) -> bool:
    """True where what is written last exists; a series without millimetres has a picture instead."""
    if wanted.per_structure:
        # A series that no object can refer to has none; the table comes last in any case.
        needed = [p for p in outputs_of(case, wanted, structures) if p != beside(case.output, ".dcm")]
        return all(path.exists() for path in needed)
    return case.output.exists() or (case.is_series and beside(case.output, ".png").exists())


def deliver(
    case: Case, staged: Staged, result: Result, structures: Sequence[Structure], wanted: Wanted
) -> list[str]:
    """What a user should know of the files that were written.

    What exists is replaced: whether the case is to be done at all was decided before.

    Raises:
        MedsegError: a file can't be written as asked.
    """
    notes: list[str] = []
    paths = outputs_of(case, wanted, structures)
    table = beside(case.output, TABLE)
    rows = volume_rows(
        case.name, result.labels, structures, voxel_mm3=staged.voxel_mm3, confidence=result.confidence
    )
    _write_extras(case, staged, result, structures, wanted)
    if wanted.per_structure:
        for i, (path, structure) in enumerate(zip(paths, structures, strict=False)):
            mask = mask_of(result.labels, i, structure).astype(np.uint8)
            alone = Structure(structure.name, frozenset([1]), structure.colour, structure.code)
            _write(path, case, staged, mask, [alone], wanted)
        if paths[-2] == beside(case.output, ".dcm"):
            if why := _why_no_object(case, staged):
                notes.append(f"no DICOM SEG of it can be made: {why}")
            else:
                _write(paths[-2], case, staged, result.labels, structures, wanted)
        write_volumes(table, rows, overwrite=True)
        return notes
    write_volumes(table, rows, overwrite=True)
    if case.is_series and staged.like is None:
        write_picture(beside(case.output, ".png"), result.labels, overwrite=True)
        return ["the series has no place in millimetres: written as PNG"]
    if len(paths) > 1 and (why := _why_no_object(case, staged)):
        notes.append(f"no DICOM SEG of it can be made: {why}; written as NIfTI alone")
        paths = paths[1:]
    for path in paths:
        _write(path, case, staged, result.labels, structures, wanted)
    return notes


def _why_no_object(case: Case, staged: Staged) -> str:
    return why_no_reference(case.images, staged.affine, staged.shape[2])


def _write_extras(
    case: Case, staged: Staged, result: Result, structures: Sequence[Structure], wanted: Wanted
) -> None:
    """Probabilities, preview and contours, as far as wanted."""
    output, labels = case.output, result.labels
    if result.probabilities is not None:
        _write_probabilities(beside(output, ".probabilities.nii.gz"), staged, result.probabilities)
    if wanted.preview:
        path = beside(output, ".preview.png")
        write_preview(path, _pixels(staged), labels, structures, staged.affine, overwrite=True)
    if wanted.rtstruct and case.is_series and staged.like is not None:
        path = beside(output, ".rtstruct.dcm")
        series, affine = case.images, staged.affine
        write_rtstruct(path, labels, affine, source=series, structures=structures, overwrite=True)


def _write(
    path: Path, case: Case, staged: Staged, labels: LabelMap, structures: Sequence[Structure], wanted: Wanted
) -> Path:
    if path.suffix == ".dcm":
        if not case.is_series:
            raise GeometryError(
                f"{case.images[0].name} is no DICOM", "a DICOM series", "choose another --format"
            )
        return write_dicom_seg(
            path,
            labels,
            staged.affine,
            source=case.images,
            structures=structures,
            kind=wanted.seg_type,
            overwrite=True,
        )
    if path.suffix in PICTURES:
        return write_picture(path, labels, overwrite=True)
    if staged.like is None:
        return write_picture(path.with_suffix(".png"), labels, overwrite=True)
    if path.suffix in VOLUMES:
        own = None if case.is_series or path.suffix not in case.images[0].name.lower() else case.images[0]
        return write_volume(path, labels, staged.affine, like=own, overwrite=True)
    return write_label_map(path, labels, like=staged.like, overwrite=True)


def _structure_path(output: Path, structure: Structure) -> Path:
    name = re.sub(r"[^\w.+-]+", "_", structure.name).strip("._") or "structure"
    ending = ".nii.gz" if output.name.endswith(".nii.gz") else output.suffix
    return beside(output, "") / f"{name}{ending}"


def _write_probabilities(path: Path, staged: Staged, probabilities: np.ndarray) -> Path:
    if staged.like is None:
        raise GeometryError("probabilities of a picture", "a volume", "leave out --probabilities")
    header = label_header(read_header(staged.like), np.float32, probabilities.shape[-1])
    header["descrip"] = b"medseg probabilities"
    with replacing(path, overwrite=True) as partial, LabelMapFile(partial, header, compressed=True) as file:
        for channel in range(probabilities.shape[-1]):
            for k in range(probabilities.shape[2]):
                file.write(probabilities[:, :, k : k + 1, channel])
    return path


def _pixels(staged: Staged) -> np.ndarray:
    """The first channel as it was read, shape of the scan."""
    if staged.like is not None:
        array = np.asarray(nib.load(staged.images[0]).dataobj)
        return array[..., 0] if array.ndim == 4 else array
    from PIL import Image

    with Image.open(staged.images[0]) as picture:
        return np.asarray(picture.convert("L")).T
