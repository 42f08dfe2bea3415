"""RTSTRUCT (PS3.3 A.19): contours of structures on the slices of the series they were found in."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, RTStructureSetStorage, generate_uid

from medseg.arrays import LPS_TO_RAS, Affine, LabelMap
from medseg.contours import loops
from medseg.labels import Structure
from medseg.writers.codes import code_of, colour_of
from medseg.writers.nifti import replacing
from medseg.writers.series import PATIENT_AND_STUDY, dates_of, frames_of, saying_nothing, source_sets
from medseg.writers.volumes import mask_of


def write_rtstruct(
    path: Path,
    labels: LabelMap,
    affine: Affine,
    *,
    source: Sequence[Path],
    structures: Sequence[Structure],
    overwrite: bool = False,
) -> Path:
    """The path of an RTSTRUCT whose contours run along the edges of the voxels.

    Holes are contours of their own. A reader that fills all by the even-odd rule at voxel centres gets the
    label map back.

    Args:
        labels: shape (column, row, slice), or with a map for each structure as a last axis.
        affine: voxel index to RAS+ mm, with which ``labels`` lie on the frames of ``source``.
        source: the files of the series.
        structures: in the order of their maps.

    Raises:
        GeometryError: a frame of the source lies on no slice of the labels.
        OutputError: ``path`` exists and ``overwrite`` is False, or it can't be written.
    """
    with saying_nothing(), replacing(path, overwrite=overwrite) as partial:
        data = _structure_set(labels, affine, source, structures)
        data.save_as(partial, enforce_file_format=True)
    return path


def _structure_set(
    labels: LabelMap, affine: Affine, source: Sequence[Path], structures: Sequence[Structure]
) -> pydicom.Dataset:
    sets = source_sets(source, affine)
    frames = frames_of(sets, affine, labels.shape[2])
    mark = hashlib.sha256(np.ascontiguousarray(labels).tobytes()).hexdigest()
    data = _head(sets[0], mark)
    data.ReferencedFrameOfReferenceSequence = [_reference(sets)]
    data.StructureSetROISequence = [_roi(i, s, sets[0]) for i, s in enumerate(structures, start=1)]
    data.RTROIObservationsSequence = [_observation(i, s) for i, s in enumerate(structures, start=1)]
    data.ROIContourSequence = []
    for i, structure in enumerate(structures):
        item = pydicom.Dataset()
        item.ROIDisplayColor = list(colour_of(structure, i))
        item.ReferencedROINumber = i + 1
        contours = list(_contours(labels, i, structure, affine, [(sets[n], z) for n, z in frames]))
        if contours:
            item.ContourSequence = contours
        data.ROIContourSequence.append(item)
    return data


def _contours(
    labels: LabelMap,
    index: int,
    structure: Structure,
    affine: Affine,
    frames: Sequence[tuple[pydicom.Dataset, int]],
) -> Iterator[pydicom.Dataset]:
    to_lps = LPS_TO_RAS @ np.asarray(affine, float)
    for source, z in frames:
        mask = mask_of(labels[:, :, z : z + 1], index, structure)[:, :, 0]
        for loop in loops(mask):
            # Corner (0, 0) lies half a voxel before the centre of the first one.
            corners = np.array(loop, float) - 0.5
            points = np.c_[corners, np.full(len(corners), z), np.ones(len(corners))] @ to_lps.T
            item = pydicom.Dataset()
            item.ContourImageSequence = [_image(source)]
            item.ContourGeometricType = "CLOSED_PLANAR"
            item.NumberOfContourPoints = len(points)
            item.ContourData = [f"{v:.10g}"[:16] for v in points[:, :3].ravel()]
            yield item


def _image(source: pydicom.Dataset) -> pydicom.Dataset:
    item = pydicom.Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = source.SOPClassUID, source.SOPInstanceUID
    return item


def _reference(sets: Sequence[pydicom.Dataset]) -> pydicom.Dataset:
    series = pydicom.Dataset()
    series.SeriesInstanceUID = sets[0].SeriesInstanceUID
    series.ContourImageSequence = [_image(source) for source in sets]
    study = pydicom.Dataset()
    # PS3.3 C.8.8.5: the detached study management class, retired and still asked for.
    study.ReferencedSOPClassUID = "1.2.840.10008.3.1.2.3.1"
    study.ReferencedSOPInstanceUID = sets[0].StudyInstanceUID
    study.RTReferencedSeriesSequence = [series]
    frame = pydicom.Dataset()
    frame.FrameOfReferenceUID = sets[0].FrameOfReferenceUID
    frame.RTReferencedStudySequence = [study]
    return frame


def _roi(number: int, structure: Structure, source: pydicom.Dataset) -> pydicom.Dataset:
    item = pydicom.Dataset()
    item.ROINumber = number
    item.ReferencedFrameOfReferenceUID = source.FrameOfReferenceUID
    item.ROIName = structure.name[:64]
    item.ROIGenerationAlgorithm = "AUTOMATIC"
    return item


def _observation(number: int, structure: Structure) -> pydicom.Dataset:
    item = pydicom.Dataset()
    item.ObservationNumber = item.ReferencedROINumber = number
    item.RTROIInterpretedType = "ORGAN"
    item.ROIInterpreter = ""
    item.RTROIIdentificationCodeSequence = [code_of(structure)]
    return item


def _head(source: pydicom.Dataset, mark: str) -> pydicom.Dataset:
    from medseg import __version__

    data = pydicom.Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SpecificCharacterSet = source.get("SpecificCharacterSet", "ISO_IR 192")
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = RTStructureSetStorage
    uid = generate_uid(entropy_srcs=[str(source.SeriesInstanceUID), "rtstruct", mark])
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = uid
    for name in (*PATIENT_AND_STUDY, "StudyInstanceUID"):
        setattr(data, name, source.get(name))
    data.Modality, data.Manufacturer, data.SoftwareVersions = "RTSTRUCT", "medseg", __version__
    data.ManufacturerModelName = "medseg"
    data.SeriesInstanceUID = generate_uid(entropy_srcs=[str(source.SeriesInstanceUID), "rtstruct series"])
    data.SeriesNumber = int(source.get("SeriesNumber") or 0) % 1000 + 8000
    data.SeriesDescription = "medseg contours"
    data.FrameOfReferenceUID, data.PositionReferenceIndicator = source.FrameOfReferenceUID, ""
    data.StructureSetLabel, data.StructureSetName = "medseg", "medseg segmentation"
    data.StructureSetDate, data.StructureSetTime = dates_of(source)
    data.SeriesDate, data.SeriesTime = dates_of(source)
    data.OperatorsName, data.ApprovalStatus = "", "UNAPPROVED"
    return data
