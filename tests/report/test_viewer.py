from __future__ import annotations

import base64
import hashlib

import nibabel as nib
import numpy as np
import pytest

from medseg.report import volume
from medseg.report.page import niivue
from medseg.report.volumes import MOST_VOXELS


def opened(text: str) -> nib.Nifti1Image:
    import gzip

    return nib.Nifti1Image.from_bytes(gzip.decompress(base64.b64decode(text)))


def test_the_viewer_is_the_published_build() -> None:
    published = "47b896b77ec4a5be3ef1949c33ad393b6f45629921f326c279000bcf51bdb4af"
    assert hashlib.sha256(niivue().encode()).hexdigest() == published


def test_the_viewer_cannot_end_the_script_it_stands_in() -> None:
    assert "</script" not in niivue().lower()


def test_a_volume_is_cropped_and_stays_where_it_was_in_mm() -> None:
    mask = np.zeros((100, 100, 100), bool)
    mask[60, 70, 80] = True
    affine = np.array([[2.0, 0, 0, -7], [0, 2, 0, 3], [0, 0, 2, 11], [0, 0, 0, 1]])
    found = opened(volume("a", None, {0: (mask, mask)}, affine).reference[0])
    at = np.argwhere(np.asarray(found.dataobj))[0]
    assert np.prod(found.shape) < 30**3
    assert found.affine @ [*at, 1] == pytest.approx(affine @ [60, 70, 80, 1])
    assert found.get_data_dtype() == np.uint8


def test_a_large_crop_is_thinned() -> None:
    mask = np.ones((200, 150, 120), bool)
    found = opened(volume("a", mask.astype(np.float32), {0: (mask, mask)}, np.eye(4)).image)
    assert np.prod(found.shape) <= MOST_VOXELS
    assert found.header.get_zooms()[0] == 2.0
