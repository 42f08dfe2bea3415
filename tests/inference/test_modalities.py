"""Scans whose channels have files of their own."""

from pathlib import Path

import pytest

from medseg.errors import DataError
from medseg.inference import scans_in
from medseg.inference.modalities import by_words

SEQUENCES = ["FLAIR", "T1", "T1ce", "T2"]


def touched(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


@pytest.mark.parametrize(
    "names",
    [
        ["x_flair.nii.gz", "x_t1.nii.gz", "x_t1ce.nii.gz", "x_t2.nii.gz"],
        ["x-t2f.nii.gz", "x-t1n.nii.gz", "x-t1c.nii.gz", "x-t2w.nii.gz"],
    ],
    ids=["BraTS 2018", "BraTS 2023"],
)
def test_files_of_a_case_are_joined_in_the_order_of_the_channels(names):
    files = [Path("a") / name for name in reversed(names)]
    assert by_words(files, SEQUENCES) == {(Path("a"), "x"): [Path("a") / name for name in names]}


def test_a_missing_sequence_is_named():
    with pytest.raises(DataError, match="x in a has no T1ce"):
        by_words([Path(f"a/x_{word}.nii") for word in ("flair", "t1", "t2")], SEQUENCES)


def test_folders_of_cases_become_scans_and_label_maps_are_left_out(tmp_path):
    touched(
        tmp_path, *(f"p{i}/p{i}_{w}.nii.gz" for i in (1, 2) for w in ("flair", "t1", "t1ce", "t2", "seg"))
    )
    found = scans_in(tmp_path, SEQUENCES)
    assert [row["case"] for row in found] == ["p1", "p2"]
    assert [Path(file).name for file in found[0]["image"]] == [
        *("p1_flair.nii.gz", "p1_t1.nii.gz", "p1_t1ce.nii.gz", "p1_t2.nii.gz")
    ]


def test_a_file_with_all_channels_is_a_scan_by_itself(tmp_path):
    touched(tmp_path, "BRATS_001.nii.gz")
    assert scans_in(tmp_path, SEQUENCES) == [{"image": str(tmp_path / "BRATS_001.nii.gz")}]


def test_a_folder_of_photographs_gives_them_without_their_masks(tmp_path):
    touched(tmp_path, "a.jpg", "b.JPEG", "a_segmentation.png", "notes.txt")
    assert [Path(row["image"]).name for row in scans_in(tmp_path)] == ["a.jpg", "b.JPEG"]
