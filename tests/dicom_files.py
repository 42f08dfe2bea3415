"""A CT series of a made-up patient, as small as DICOM allows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom

STRAIGHT = np.eye(3)


def ct(
    folder: Path, *, turn: Any = STRAIGHT, reverse: bool = False, n: int = 5, pixels: Any = None
) -> list[Path]:
    """A synthetic CT of 12 columns, 10 rows; files in the order of the slices or against it."""
    folder.mkdir(parents=True)
    uid = "1.2.826.0.1.3680043.8.498.1"
    files = []
    for z in range(n):
        data = pydicom.Dataset()
        data.file_meta = pydicom.dataset.FileMetaDataset()
        data.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = pydicom.uid.CTImageStorage
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = f"{uid}.{z + 1}"
        data.SeriesInstanceUID, data.StudyInstanceUID = uid, f"{uid}.0.1"
        data.FrameOfReferenceUID, data.Modality = f"{uid}.0.2", "CT"
        data.PatientName, data.PatientID = "Doe^Jane", "4711"
        data.PatientBirthDate, data.PatientSex = "19700101", "F"
        data.StudyDate, data.StudyTime, data.StudyID, data.AccessionNumber = "20200102", "101112", "1", ""
        data.ReferringPhysicianName, data.SeriesNumber = "", 3
        data.InstanceNumber = n - z if reverse else z + 1
        data.Rows, data.Columns, data.PixelSpacing, data.SliceThickness = 10, 12, [0.75, 0.5], 2.0
        data.ImageOrientationPatient = [f"{v:.12g}"[:16] for v in (*turn[:, 0], *turn[:, 1])]
        data.ImagePositionPatient = [f"{v:.12g}"[:16] for v in np.array([-10, 5, 30]) + 2.0 * z * turn[:, 2]]
        data.SamplesPerPixel, data.PhotometricInterpretation, data.PixelRepresentation = 1, "MONOCHROME2", 1
        data.BitsAllocated, data.BitsStored, data.HighBit = 16, 16, 15
        data.RescaleSlope, data.RescaleIntercept = 1, -1024
        plane = np.full((10, 12), z, np.int16) if pixels is None else pixels[z]
        data.PixelData = plane.astype(np.int16).tobytes()
        files.append(folder / f"{n - z if reverse else z:03}.dcm")
        data.save_as(files[-1], enforce_file_format=True)
    return files
