"""Phantoms are seeded, nested, on differing grids, and say that they are synthetic."""

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from medseg.data import read_manifest
from medseg.data.phantoms import write_phantoms
from medseg.data.synthesis import phantom, phantom_picture
from medseg.errors import MedsegError, OutputError


def test_one_seed_gives_one_phantom_and_another_seed_another():
    assert np.array_equal(phantom(3, 24).image, phantom(3, 24).image)
    assert not np.array_equal(phantom(3, 24).label_map, phantom(4, 24).label_map)


def test_the_regions_are_nested_and_none_is_empty():
    from scipy import ndimage

    label_map = phantom(5, 48).label_map
    whole, core = label_map > 0, np.isin(label_map, (1, 3))
    assert np.all(np.bincount(label_map.ravel(), minlength=4) > 0)
    assert not np.any(ndimage.binary_dilation(label_map == 1) & (label_map == 0))
    assert whole.sum() > core.sum() > (label_map == 3).sum() > 0


def test_each_channel_shows_what_it_shows_in_patients():
    made = phantom(7, 48)
    t1, t1ce, t2, flair = (
        channel[made.label_map == n].mean() for channel, n in zip(made.image, (3, 3, 2, 2), strict=True)
    )
    tissue = [
        channel[(made.label_map == 0) & (made.image[0] > np.median(made.image[0]))].mean()
        for channel in made.image
    ]
    assert t1ce > tissue[1]
    assert t2 > tissue[2]
    assert flair > tissue[3]
    assert t1 < t1ce


@pytest.mark.parametrize("orientation", ["RAS", "LPS", "PIR", "SAL"])
def test_a_phantom_lies_on_the_same_place_in_every_orientation(orientation):
    spacing = (1.0, 1.5, 2.0)
    plain, turned = phantom(1, 24, 1, spacing), phantom(1, 24, 1, spacing, orientation)
    assert "".join(nib.aff2axcodes(turned.affine)) == orientation
    back = nib.as_closest_canonical(nib.Nifti1Image(turned.label_map, turned.affine))
    assert np.array_equal(np.asarray(back.dataobj), plain.label_map)
    assert np.allclose(back.affine, plain.affine)


def test_written_phantoms_are_a_manifest_with_three_splits_that_says_synthetic(tmp_path):
    manifest = read_manifest(write_phantoms(tmp_path, 5, size=16))
    assert [c.split for c in manifest.items] == ["training"] * 3 + ["validation", "test"]
    assert "synthetic" in manifest.name
    assert "Synthetic phantom" in manifest.description
    assert all((tmp_path / path).is_file() for c in manifest.items for _, path, _ in c.files())


def test_written_phantoms_differ_in_spacing_and_orientation_and_image_and_label_share_a_grid(tmp_path):
    manifest = read_manifest(write_phantoms(tmp_path, 8, size=16))
    grids = [[nib.load(tmp_path / path) for _, path, _ in c.files()] for c in manifest.items]
    assert len({nib.aff2axcodes(g[0].affine) for g in grids}) == 4
    assert len({tuple(np.sort(g[0].header.get_zooms())) for g in grids}) == 4
    assert all(np.array_equal(g[0].affine, n.affine) and g[0].shape == n.shape for g in grids for n in g)


def test_the_same_seed_writes_the_same_bytes(tmp_path):
    write_phantoms(tmp_path / "a", 3, 9, size=12, channels=1)
    write_phantoms(tmp_path / "b", 3, 9, size=12, channels=1)
    files = sorted(p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*.*"))
    assert len(files) == 7
    assert all((tmp_path / "a" / f).read_bytes() == (tmp_path / "b" / f).read_bytes() for f in files)


def test_pictures_are_rgb_with_masks_of_0_and_255(tmp_path):
    manifest = read_manifest(write_phantoms(tmp_path, 3, size=32, dimensions=2))
    picture, mask = (np.asarray(Image.open(tmp_path / p)) for _, p, _ in manifest.items[0].files())
    assert picture.shape == (32, 32, 3)
    assert set(np.unique(mask)) == {0, 255}
    assert manifest.relabel == {255: 1}
    assert np.array_equal(phantom_picture(1)[1], phantom_picture(1)[1])


def test_phantoms_refuse_what_they_cannot_be(tmp_path):
    with pytest.raises(MedsegError):
        phantom(0, 4)
    with pytest.raises(MedsegError):
        write_phantoms(tmp_path, 2)
    with pytest.raises(MedsegError):
        write_phantoms(tmp_path, 3, dimensions=4)
    write_phantoms(tmp_path, 3, size=8)
    with pytest.raises(OutputError):
        write_phantoms(tmp_path, 3, size=8)
