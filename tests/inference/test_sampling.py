"""What MONAI's Spacing makes of voxels that are exactly 0, against our own resampling."""

from __future__ import annotations

from pathlib import Path

import monai.transforms as mt
import nibabel as nib
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medseg.inference.engine import slab_axis
from medseg.inference.head import Head, head_of, network_grid, prepared
from medseg.inference.scan import ScanInMemory, open_scan
from tests.toy_bundle import RAS_WORLD

SPACINGS = st.tuples(*[st.sampled_from([0.5, 0.8, 0.9375, 1.0, 1.2, 2.0, 3.0])] * 3)
BRAIN = [
    mt.CropForegroundd("image", source_key="image", margin=2, allow_smaller=True),
    mt.NormalizeIntensityd("image", nonzero=True, channel_wise=True),
]


def write_brain(path: Path, shape: tuple[int, ...], affine: np.ndarray, seed: int = 0) -> Path:
    """Noise in the middle half, exactly 0 around it."""
    array = np.zeros(shape, np.float32)
    inside = tuple(slice(n // 4, -(n // 4)) for n in shape)
    array[inside] = np.random.default_rng(seed).uniform(1, 1000, array[inside].shape)
    nib.save(nib.Nifti1Image(array, affine), path)
    return path


def spaced(pixdim: list[float], *tail: object, **options: object) -> mt.Compose:
    return mt.Compose(
        [
            mt.LoadImaged("image", reader="NibabelReader"),
            mt.EnsureChannelFirstd("image"),
            mt.Orientationd("image", axcodes="RAS", labels=None),
            mt.Spacingd("image", pixdim=pixdim, **options),
            *tail,
        ]
    )


def ours(preprocessing: mt.Compose, path: Path) -> torch.Tensor:
    head, scan = head_of(preprocessing, "image"), open_scan([path])
    assert isinstance(head, Head)
    grid = network_grid(head, scan, path)
    assert grid is not None
    source, axis = prepared(head, scan, grid).source, slab_axis(prepared(head, scan, grid).way)
    return source.rows(axis, 0, source.shape[axis])


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=st.tuples(*[st.integers(12, 40)] * 3),
    spacing=SPACINGS,
    pixdim=SPACINGS,
    flips=st.tuples(*[st.sampled_from([-1, 1])] * 3),
    order=st.permutations(range(3)),
    seed=st.integers(0, 99),
)
def test_zero_is_zero_where_it_is_for_monai(tmp_path, shape, spacing, pixdim, flips, order, seed):
    affine = np.eye(4)
    affine[:3, :3] = np.diag(np.multiply(spacing, flips))[list(order)]
    affine[:3, 3] = np.random.default_rng(seed).uniform(-200, 200, 3).round(3)
    path = write_brain(tmp_path / "brain.nii", shape, affine, seed)
    plain = spaced(list(pixdim))
    expected = plain({"image": str(path)})["image"].as_tensor()
    got = ours(plain, path)
    torch.testing.assert_close(got, expected, rtol=1e-6, atol=1e-6)
    assert torch.equal(got != 0, expected != 0)


@pytest.mark.parametrize("orientation", [[1, 1, 1], [-1, -1, 1]])
def test_a_brain_normalised_within_its_skull_is_monais(tmp_path: Path, orientation: list[int]) -> None:
    path = write_brain(tmp_path / "brain.nii", (40, 44, 31), np.diag([*orientation, 1.0]))
    whole = spaced([2.0, 2.0, 2.0], *BRAIN)
    expected = whole({"image": str(path)})["image"].as_tensor()
    torch.testing.assert_close(ours(whole, path), expected, rtol=1e-5, atol=1e-5)
    # The trap itself: between the brain and nothing MONAI finds next to nothing, and not zero.
    spaced_alone = spaced([2.0, 2.0, 2.0])({"image": str(path)})["image"]
    assert int(((spaced_alone > 0) & (spaced_alone < 1e-6)).sum()) > 100


def test_a_scan_within_a_thousandth_of_the_spacing_is_left_as_it_is(tmp_path: Path) -> None:
    path = write_brain(tmp_path / "brain.nii", (20, 22, 18), np.diag([1.0004, 1.0004, 1.0004, 1.0]))
    whole = spaced([1.0, 1.0, 1.0], *BRAIN)
    assert torch.equal(ours(whole, path), whole({"image": str(path)})["image"].as_tensor())


@pytest.mark.parametrize(
    ("affine", "tail", "options"),
    [
        (RAS_WORLD, BRAIN, {}),
        (np.diag([1.2, 1.2, 1.2, 1.0]), [], {"padding_mode": "zeros"}),
    ],
)
def test_what_cannot_be_told_axis_by_axis_is_left_to_monai(tmp_path, affine, tail, options):
    path = write_brain(tmp_path / "brain.nii", (20, 22, 18), affine)
    head = head_of(spaced([1.5, 1.5, 1.5], *tail, **options), "image")
    assert network_grid(head, ScanInMemory(path), path) is None
