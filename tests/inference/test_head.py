"""Preprocessing plane by plane against MONAI's own transforms."""

from __future__ import annotations

from pathlib import Path

import monai.transforms as mt
import numpy as np
import pytest
import torch

from medseg.errors import DataError, GeometryError
from medseg.inference.engine import slab_axis
from medseg.inference.head import head_of, network_grid, prepared
from medseg.inference.inferer import way_of
from medseg.inference.scan import open_scan
from tests.toy_bundle import RAS_WORLD, write_scan

ORIENTATIONS = {
    "oblique": RAS_WORLD,
    "LPS": np.diag([-0.9, -0.9, 2.5, 1.0]),
    "IPR": np.array([[0, 0, 1.3, 5], [0, -1.0, 0, 0], [-2.0, 0, 0, 7], [0, 0, 0, 1]]),
    "same spacing": np.diag([1.5, -1.5, 1.5, 1.0]),
}
TAILS = {
    "pointwise": [mt.ScaleIntensityRanged("image", 900, 1500, 0, 1, clip=True)],
    "whole": [
        mt.SpatialPadd("image", spatial_size=[40, 8, 40]),
        mt.NormalizeIntensityd("image"),
    ],
}


@pytest.mark.parametrize("on_disk", [False, True])
@pytest.mark.parametrize("tail", TAILS)
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_slabs_hold_what_monai_would_give(tmp_path: Path, orientation: str, tail: str, on_disk: bool) -> None:
    path = write_scan(tmp_path / "scan.nii.gz", (23, 26, 17), affine=ORIENTATIONS[orientation])
    steps = [
        mt.LoadImaged("image", reader="NibabelReader"),
        mt.EnsureChannelFirstd("image"),
        mt.Orientationd("image", axcodes="RAS", labels=None),
        mt.Spacingd("image", pixdim=[1.5, 1.5, 1.5]),
    ]
    whole = mt.Compose([*steps, *TAILS[tail]])
    expected = whole({"image": str(path)})["image"]
    head, read = head_of(whole, "image"), open_scan([path], on_disk=on_disk, scratch=tmp_path)
    scan = prepared(head, read, network_grid(head, read, path))
    axis = slab_axis(scan.way)
    n = scan.source.shape[axis]
    parts = [
        scan.source.rows(axis, 0, n - 3),
        scan.source.rows(axis, n - 6, n)[(slice(None),) * (axis + 1) + (slice(3, 6),)],
    ]
    torch.testing.assert_close(torch.cat(parts, axis + 1), expected.as_tensor(), rtol=1e-5, atol=1e-5)
    for mine, theirs in zip(scan.way.axes, way_of(expected).axes, strict=True):
        np.testing.assert_array_equal(mine.below, theirs.below)


def test_a_cut_stream_is_told_and_not_filled_with_zeros(tmp_path: Path) -> None:
    path = write_scan(tmp_path / "scan.nii.gz")
    path.write_bytes(path.read_bytes()[:-400])
    with pytest.raises(DataError):
        open_scan([path], on_disk=True, scratch=tmp_path)


def test_channels_on_different_grids_are_refused(tmp_path: Path) -> None:
    files = [write_scan(tmp_path / "a.nii"), write_scan(tmp_path / "b.nii", affine=np.eye(4))]
    with pytest.raises(GeometryError, match="one grid"):
        open_scan(files)


def test_files_become_channels_in_their_order(tmp_path: Path) -> None:
    files = [write_scan(tmp_path / "a.nii", seed=1), write_scan(tmp_path / "b.nii", seed=2)]
    scan = open_scan(files)
    assert scan.n_channels == 2
    np.testing.assert_array_equal(scan.plane(1, 3), open_scan(files[1:]).plane(0, 3))
