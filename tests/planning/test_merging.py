import json

import highdicom as hd
import nibabel as nib
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.sr.codedict import codes
from scipy.spatial.transform import Rotation
from typer.testing import CliRunner

from medseg.cli.app import app
from medseg.data.manifest import read_manifest
from medseg.data.painting import Painting
from medseg.data.series import examine_series
from medseg.labels import Structure
from medseg.writers.dicom_seg import write_dicom_seg
from medseg.writers.rtstruct import write_rtstruct
from tests.dicom_files import ct

AFFINE = np.array([[-0.8, 0, 0, 30], [0, 0.8, 0, -20], [0, 0, 2.5, 5], [0, 0, 0, 1.0]])


def run(*arguments):
    return CliRunner().invoke(app, ["data", *map(str, arguments)])


def write(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, AFFINE), path)


def box(*slices):
    mask = np.zeros((16, 14, 10), np.uint8)
    mask[slices] = 1
    return mask


@pytest.fixture
def folder(tmp_path):
    """Five cases as TotalSegmentator has them: a tumour inside a liver, and a spleen that one case lacks."""
    rng = np.random.default_rng(0)
    for i in range(1, 6):
        write(tmp_path / f"s{i}" / "ct.nii.gz", rng.integers(-900, 900, (16, 14, 10)).astype(np.int16))
        own = tmp_path / f"s{i}" / "segmentations"
        write(own / "liver.nii.gz", box(slice(1, 9), slice(1, 9), slice(2, 8)))
        write(own / "liver_tumour.nii.gz", box(slice(3, 5), slice(3, 5), slice(3, 5 + i % 2)))
        if i < 5:
            write(own / "spleen.nii.gz", box(slice(11, 14), slice(2, 6), slice(2, 8)))
    return tmp_path


def test_scan_refuses_a_file_per_structure_and_names_the_command_that_merges(folder):
    ended = run("scan", folder)
    assert ended.exit_code == 2 or isinstance(ended.exception, Exception)
    assert "medseg data merge" in str(ended.exception)


def test_a_merged_folder_goes_through_check_split_and_fingerprint(folder, tmp_path):
    before = {p: p.read_bytes() for p in folder.rglob("*.nii.gz")}
    manifest = folder / "m.json"
    ended = run("merge", folder, "-o", manifest)
    assert ended.exit_code == 0, ended.output
    assert "liver_tumour and liver in 5 cases" in ended.output
    assert "spleen in 1 cases" in ended.output
    assert all(path.read_bytes() == content for path, content in before.items())
    known = read_manifest(manifest)
    assert known.labels == {"liver": 1, "liver_tumour": 2, "spleen": 3}
    first = nib.load(folder / known.items[0].label)
    labels = np.asarray(first.dataobj)
    np.testing.assert_array_equal(labels == 2, box(slice(3, 5), slice(3, 5), slice(3, 6)))
    np.testing.assert_array_equal(labels > 0, before_union(folder / "s1" / "segmentations"))
    np.testing.assert_allclose(first.affine, AFFINE, atol=1e-6)
    checked = run("check", manifest, "--data", folder, "--json", "--workers", 1)
    assert checked.exit_code == 0, checked.output
    assert run("split", manifest, "--folds", 2).exit_code == 0
    assert run("fingerprint", manifest, "--data", folder, "-o", tmp_path / "f", "--workers", 1).exit_code == 0


def before_union(folder):
    return np.any([np.asarray(nib.load(p).dataobj) for p in folder.glob("*.nii.gz")], axis=0)


def test_a_scan_after_the_merge_takes_the_merged_label_maps(folder):
    assert run("merge", folder).exit_code == 0
    ended = run("scan", folder, "-o", folder / "again.json")
    assert ended.exit_code == 0, ended.output
    assert read_manifest(folder / "again.json").items[0].label == "merged_labels/s1.nii.gz"


def test_label_maps_may_go_to_another_place(folder, tmp_path_factory):
    place = tmp_path_factory.mktemp("elsewhere") / "labels"
    ended = run("merge", folder, "--to", place, "-o", place.parent / "m.json")
    assert ended.exit_code == 0, ended.output
    assert not (folder / "merged_labels").exists()
    root = folder
    while root not in place.parents:
        root = root.parent
    case = read_manifest(place.parent / "m.json").items[0]
    assert (root / case.label).resolve() == (place / "s1.nii.gz").resolve()
    assert (root / case.image[0]).is_file()


def test_a_second_merge_asks_before_it_replaces(folder):
    assert run("merge", folder).exit_code == 0
    assert "--overwrite" in str(run("merge", folder).exception)
    assert run("merge", folder, "--overwrite").exit_code == 0


def test_a_mask_on_another_grid_costs_its_case_alone(folder):
    write(folder / "s2" / "segmentations" / "spleen.nii.gz", np.zeros((3, 3, 3), np.uint8))
    ended = run("merge", folder, "-o", folder / "m.json")
    assert ended.exit_code == 3
    assert "s2/segmentations/spleen.nii.gz has another grid" in ended.output
    assert [c.case for c in read_manifest(folder / "m.json").items] == ["s1", "s3", "s4", "s5"]


def test_masks_of_pictures_become_a_picture(tmp_path):
    for i in range(1, 4):
        for name, columns in (("images/p", 0), ("mask/left/p", 5), ("mask/right/p", 9)):
            array = np.full((12, 20), 99, np.uint8) if not columns else np.zeros((12, 20), np.uint8)
            array[2 + i, :3] = 30
            if columns:
                array[:] = 0
                array[3:9, columns : columns + 3] = 255
            path = tmp_path / f"{name}{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(path)
    assert run("merge", tmp_path).exit_code == 0
    merged = json.loads((tmp_path / "merged_labels" / "merged.json").read_text())
    assert merged["labels"] == {"left": 1, "right": 2}
    labels = np.asarray(Image.open(tmp_path / merged["cases"][0]["label"]))
    assert labels.shape == (12, 20)
    assert [int(labels[5, 6]), int(labels[5, 10]), int(labels[0, 0])] == [1, 2, 0]


def test_several_drawings_of_one_thing_are_refused(tmp_path):
    for i in range(1, 4):
        write(tmp_path / f"images/{i}.nii.gz", np.full((4, 4, 4), i, np.int16))
        for rater in (1, 2):
            write(tmp_path / f"labels/rater{rater}/{i}.nii.gz", np.eye(4, dtype=np.uint8)[..., None])
    assert "several times" in str(run("merge", tmp_path).exception)


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1), (2, 3, 1)])
def test_the_smallest_structure_keeps_the_voxels_in_whatever_order_they_come(order):
    masks = {1: np.arange(10) < 8, 2: np.arange(10) >= 5, 3: np.arange(10) == 6}
    painting = Painting((10,), 3)
    for number in order:
        painting.add(number, masks[number])
    assert painting.labels.tolist() == [1, 1, 1, 1, 1, 2, 3, 2, 2, 2]


LIVER, TUMOUR = Structure("liver", frozenset([1])), Structure("tumour", frozenset([2]))
OBLIQUE = Rotation.from_euler("xyz", [10, -20, 30], degrees=True).as_matrix()


def drawn_study(folder, write, turn, reverse):
    """A series with an object drawn on it, and the label map that the object was made of."""
    files = ct(folder / "study" / "series", turn=turn, reverse=reverse)
    image, _ = examine_series(files)
    labels = np.zeros(image.shape, np.uint8)
    labels[1:6, 2:7, 1:4] = 1
    labels[2:4, 3:5, 2] = 0
    labels[7:11, 3:5, 2:4] = 2
    write(folder / "study" / "object.dcm", labels, image.affine, source=files, structures=[LIVER, TUMOUR])
    return image, labels


@pytest.mark.filterwarnings("ignore:The number of bytes of compressed pixel data")
@pytest.mark.parametrize("turn", [np.eye(3), OBLIQUE], ids=["axial", "oblique"])
@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reversed"])
@pytest.mark.parametrize("write", [write_dicom_seg, write_rtstruct])
def test_objects_drawn_on_a_series_become_its_label_map(tmp_path, write, turn, reverse):
    image, labels = drawn_study(tmp_path, write, turn, reverse)
    assert "medseg data merge" in run("scan", tmp_path).output
    ended = run("merge", tmp_path, "-o", tmp_path / "m.json")
    assert ended.exit_code == 0, ended.output
    known = read_manifest(tmp_path / "m.json")
    assert known.labels == {"liver": 1, "tumour": 2}
    merged = nib.load(tmp_path / known.items[0].label)
    np.testing.assert_array_equal(np.asarray(merged.dataobj), labels)
    np.testing.assert_allclose(merged.affine, image.affine, atol=1e-4)
    told = run("check", tmp_path / "m.json", "--data", tmp_path, "--json", "--workers", 1).stdout
    found = {f["rule"] for f in json.loads(told)["findings"]}
    assert not found & {"grid", "shift", "orientation", "unreadable"}


def test_a_segmentation_without_its_empty_frames_lies_on_its_slices(tmp_path):
    files = ct(tmp_path / "series")
    labels = np.zeros((5, 10, 12), np.uint8)
    labels[3, 2:5, 4:9] = 1
    described = hd.seg.SegmentDescription(1, "liver", codes.SCT.Organ, codes.SCT.Liver, "MANUAL")
    about = ("1.2.3.4", 1, "1.2.3.5", 1, "m", "m", "1", "1")
    seg = hd.seg.Segmentation([pydicom.dcmread(f) for f in files], labels, "BINARY", [described], *about)
    seg.save_as(tmp_path / "seg.dcm")
    assert len(seg.PerFrameFunctionalGroupsSequence) == 1
    assert run("merge", tmp_path, "-o", tmp_path / "m.json").exit_code == 0
    merged = np.asarray(nib.load(tmp_path / read_manifest(tmp_path / "m.json").items[0].label).dataobj)
    image, _ = examine_series(files)
    place = int(np.argmin(np.abs((image.affine[2, 2] * np.arange(5) + image.affine[2, 3]) - 36)))
    assert merged[4:9, 2:5, place].all()
    assert merged.sum() == 15


def test_a_structure_drawn_on_another_grid_is_told(tmp_path):
    drawn_study(tmp_path, write_dicom_seg, np.eye(3), False)
    for file in (tmp_path / "study" / "series").iterdir():
        data = pydicom.dcmread(file)
        data.ImagePositionPatient = [float(v) + 0.2 for v in data.ImagePositionPatient]
        data.save_as(file)
    ended = run("merge", tmp_path)
    assert "none of the series it refers to" in str(ended.exception)
