"""DICOM segmentation objects (PS3.3 A.51) on the frames of the series they were made from, by highdicom.

Every frame of the source has a frame for every structure, empty or not: a reader that rebuilds the volume
from the frames it finds then gets all slices of the source (highdicom drops empty frames by default).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.uid import generate_uid

from medseg.arrays import Affine, LabelMap
from medseg.errors import LabelError
from medseg.labels import Structure
from medseg.writers.codes import category_of, code_of, colour_of
from medseg.writers.nifti import replacing
from medseg.writers.series import dates_of, frames_of, saying_nothing, source_sets
from medseg.writers.volumes import mask_of

Kind = Literal["binary", "labelmap"]
RLE_LOSSLESS = "1.2.840.10008.1.2.5"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"


def write_dicom_seg(
    path: Path,
    labels: LabelMap,
    affine: Affine,
    *,
    source: Sequence[Path],
    structures: Sequence[Structure],
    kind: Kind = "binary",
    overwrite: bool = False,
) -> Path:
    """The path of a DICOM SEG that references every frame of its source series.

    Equal labels on an equal series give equal bytes: identifiers are derived from the source's and from the
    labels, dates are the source's.

    Args:
        labels: shape (column, row, slice), or (column, row, slice, n) with a map for each structure.
        affine: voxel index to RAS+ mm, with which ``labels`` lie on the frames of ``source``.
        source: the files of the series in any order, or one multi-frame file.
        structures: names, numbers and codes (``SCT:10200004:Liver``).
        kind: ``binary``, which every viewer reads, or ``labelmap`` (Supplement 243), small and new.

    Raises:
        GeometryError: a frame of the source lies on no slice of the labels.
        LabelError: ``labelmap`` for maps that overlap.
        OutputError: ``path`` exists and ``overwrite`` is False, or it can't be written.
    """
    with saying_nothing():
        sets = source_sets(source, affine)
        order = [z for _, z in frames_of(sets, affine, labels.shape[2])]
        pixels = _frames(labels, order, structures, kind)
        mark = hashlib.sha256(np.ascontiguousarray(pixels).tobytes() + kind.encode()).hexdigest()
        segmentation = _segmentation(sets, pixels, structures, kind, mark)
        _settle(segmentation, sets[0], mark)
        with replacing(path, overwrite=overwrite) as partial:
            segmentation.save_as(partial, enforce_file_format=True)
    return path


def _frames(
    labels: LabelMap, order: Sequence[int], structures: Sequence[Structure], kind: Kind
) -> npt.NDArray[np.uint8 | np.uint16]:
    """Segment numbers, shape (frame, row, column); with a last axis of structures where they overlap."""
    out = np.zeros(
        (len(order), labels.shape[1], labels.shape[0]), np.uint16 if len(structures) > 255 else np.uint8
    )
    for number, structure in enumerate(structures, start=1):
        for frame, z in enumerate(order):
            mask = mask_of(labels[:, :, z : z + 1], number - 1, structure)[:, :, 0].T
            if not mask.any():
                continue
            if out[frame][mask].any():
                return _overlapping(labels, order, structures, kind)
            out[frame][mask] = number
    return out


def _overlapping(
    labels: LabelMap, order: Sequence[int], structures: Sequence[Structure], kind: Kind
) -> npt.NDArray[np.uint8]:
    if kind == "labelmap":
        raise LabelError("structures that overlap", "one per voxel in a LABELMAP", "choose binary")
    masks = [mask_of(labels, i, s)[:, :, order].transpose(2, 1, 0) for i, s in enumerate(structures)]
    return np.stack(masks, -1).astype(np.uint8)


def _segmentation(
    sets: Sequence[pydicom.Dataset],
    pixels: npt.NDArray[np.uint8 | np.uint16],
    structures: Sequence[Structure],
    kind: Kind,
    mark: str,
) -> Any:
    import highdicom as hd

    from medseg import __version__

    return hd.seg.Segmentation(
        source_images=sets,
        pixel_array=pixels,
        segmentation_type=kind.upper(),
        segment_descriptions=[_described(i, s, sets[0]) for i, s in enumerate(structures)],
        series_instance_uid=_uid(sets[0], "series", kind),
        series_number=int(sets[0].get("SeriesNumber") or 0) % 1000 + 9000,
        sop_instance_uid=_uid(sets[0], "instance", mark),
        instance_number=1,
        manufacturer="medseg",
        manufacturer_model_name="medseg",
        software_versions=__version__,
        device_serial_number="0",
        content_label="SEGMENTATION",
        content_description="made by an algorithm, not for clinical use",
        series_description="medseg segmentation",
        omit_empty_frames=False,
        transfer_syntax_uid=EXPLICIT_LITTLE if kind == "binary" else RLE_LOSSLESS,
    )


def _described(i: int, structure: Structure, source: pydicom.Dataset) -> Any:
    import highdicom as hd

    from medseg import __version__

    return hd.seg.SegmentDescription(
        segment_number=i + 1,
        segment_label=structure.name[:64],
        segmented_property_category=category_of(structure),
        segmented_property_type=code_of(structure),
        algorithm_type="AUTOMATIC",
        algorithm_identification=hd.AlgorithmIdentificationSequence(
            "medseg", hd.sr.CodedConcept("123110", "DCM", "Artificial Intelligence"), __version__
        ),
        tracking_id=structure.name[:64],
        tracking_uid=_uid(source, "tracking", structure.name),
        display_color=hd.color.CIELabColor.from_rgb(*colour_of(structure, i)),
    )


def _uid(source: pydicom.Dataset, *about: str) -> str:
    """The same identifier for the same series and purpose, and no other (PS3.5 B.2)."""
    return str(generate_uid(entropy_srcs=[str(source.SeriesInstanceUID), *about]))


def _settle(segmentation: pydicom.Dataset, source: pydicom.Dataset, mark: str) -> None:
    """Put what highdicom takes from the clock and from chance under the rule of equal in, equal out."""
    date, time = dates_of(source)
    for name in ("ContentDate", "SeriesDate", "InstanceCreationDate"):
        if name in segmentation:
            setattr(segmentation, name, date)
    for name in ("ContentTime", "SeriesTime", "InstanceCreationTime"):
        if name in segmentation:
            setattr(segmentation, name, time)
    for item in segmentation.get("ContributingEquipmentSequence", []):
        if "ContributionDateTime" in item:
            item.ContributionDateTime = f"{date}{time}"
    fixed = _uid(source, "dimensions", mark)
    for item in segmentation.get("DimensionOrganizationSequence", []):
        item.DimensionOrganizationUID = fixed
    for item in segmentation.get("DimensionIndexSequence", []):
        item.DimensionOrganizationUID = fixed
