"""The fingerprint holds the numbers that a plan needs, and its page shows them."""

import json

import nibabel as nib
import numpy as np
import pytest

from medseg.data import Case, Manifest, read_manifest
from medseg.data.phantoms import write_phantoms
from medseg.errors import ManifestError, OutputError
from medseg.planning.fingerprint import fingerprint, quantiles
from medseg.planning.page import write_fingerprint


@pytest.fixture(scope="module")
def boxes(tmp_path_factory):
    """Three cases whose numbers are known: boxes of 8 and of 27 voxels in 4 mm3 each, one case without."""
    folder = tmp_path_factory.mktemp("boxes")
    items = []
    for n, edge in enumerate((2, 3, 0)):
        image, label = np.zeros((10, 12, 14), np.float32), np.zeros((10, 12, 14), np.uint8)
        image[1:9, 1:9, 1:9] = 10
        label[2 : 2 + edge, 2 : 2 + edge, 2 : 2 + edge] = 1
        label[8, 8, 8] = edge > 2
        image[label == 1] = 100
        for kind, array in (("image", image), ("label", label)):
            nib.save(nib.Nifti1Image(array, np.diag([1.0, 2.0, 2.0, 1])), folder / f"{n}_{kind}.nii")
        items.append(Case(f"c{n}", f"p{n}", (f"{n}_image.nii",), f"{n}_label.nii"))
    items.append(Case("held", "p9", ("no.nii",), split="test"))
    known = Manifest("boxes", "1", ("MR",), {"box": 1}, items=tuple(items))
    return fingerprint(known, folder, workers=1)


def test_grids_and_structures_are_counted_in_mm(boxes):
    grid, box = boxes.summary["grid"], boxes.summary["structures"][0]
    assert [axis["50"] for axis in grid["shape"]] == [10, 12, 14]
    assert [axis["50"] for axis in grid["extent_mm"]] == [10, 24, 28]
    assert grid["orientations"] == {"RAS": 3}
    assert box["n_cases"] == 2
    assert (box["volume_mm3"]["0"], box["volume_mm3"]["100"]) == (32, 112)
    assert (box["components"]["0"], box["components"]["100"]) == (1, 2)
    assert box["voxel_share"] == pytest.approx(36 / (3 * 10 * 12 * 14), rel=1e-4)


def test_intensities_are_those_of_the_foreground(boxes):
    channel = boxes.summary["channels"][0]
    assert channel["foreground"]["50"]["50"] == 100
    assert channel["image"]["50"]["50"] == 10


def test_cost_is_bytes_and_windows(boxes):
    cost = boxes.summary["cost"]
    assert cost["memory_bytes"] == 3 * 10 * 12 * 14 * 5
    assert cost["windows_per_case"]["50"] == 1
    assert cost["median_spacing_mm"] == [1, 2, 2]


def test_the_test_split_is_left_out(boxes):
    assert boxes.summary["n_cases"] == 3
    assert boxes.summary["n_unreadable"] == 0


def test_json_and_page_are_written_once(boxes, tmp_path):
    as_json, page = write_fingerprint(boxes, tmp_path)
    assert json.loads(as_json.read_text())["n_cases"] == 3
    text = page.read_text()
    assert text.count("<img") == 3
    assert text.count("<svg") > 6
    assert "http" not in text
    with pytest.raises(OutputError, match="exists"):
        write_fingerprint(boxes, tmp_path)
    assert write_fingerprint(boxes, tmp_path, overwrite=True) == (as_json, page)


def test_pictures_have_a_fingerprint_too(tmp_path):
    known = read_manifest(write_phantoms(tmp_path, 3, size=32, dimensions=2))
    found = fingerprint(known, tmp_path, workers=1)
    assert (found.summary["dimensions"], found.summary["has_grid"]) == (2, False)
    assert [c["name"] for c in found.summary["channels"]] == ["red", "green", "blue"]


def test_nothing_readable_is_an_error(tmp_path):
    known = Manifest("m", "1", ("MR",), {"x": 1}, items=(Case("a", "a", ("a.nii",)),))
    with pytest.raises(ManifestError, match="none of 1"):
        fingerprint(known, tmp_path)


def test_quantiles_of_nothing_are_nothing():
    assert quantiles([]) == {}
    assert quantiles([1, 2, 3])["50"] == 2
