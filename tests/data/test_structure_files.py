import pytest

from medseg.data.structure_files import are_raters, structure_files

N = range(1, 4)
# A layout: its files for case i, and the structures that they make.
LAYOUTS = {
    "TotalSegmentator": (
        lambda i: (
            [f"s{i:04d}/ct.nii.gz"]
            + [f"s{i:04d}/segmentations/{o}.nii.gz" for o in ("liver", "rib_left_1", "vertebrae_T1")]
        ),
        ["liver", "rib_left_1", "vertebrae_T1"],
    ),
    "Montgomery": (
        lambda i: (
            [f"CXR_png/MCUCXR_{i:04d}_0.png"]
            + [f"ManualMask/{s}Mask/MCUCXR_{i:04d}_0.png" for s in ("left", "right")]
        ),
        ["left", "right"],
    ),
    "HaN-Seg": (
        lambda i: (
            [f"HaN/set_1/case_{i:02d}/case_{i:02d}_IMG_{m}.nrrd" for m in ("CT", "MR_T1")]
            + [
                f"HaN/set_1/case_{i:02d}/case_{i:02d}_OAR_{o}.seg.nrrd"
                for o in ("A_Carotid_L", "Bone_Mandible")
            ]
        ),
        ["A_Carotid_L", "Bone_Mandible"],
    ),
    "nnU-Net with suffixes": (
        lambda i: [
            f"imagesTr/c{i}_0000.nii.gz",
            f"labelsTr/c{i}_liver.nii.gz",
            f"labelsTr/c{i}_spleen.nii.gz",
        ],
        ["liver", "spleen"],
    ),
    "numbers that are also cases": (
        lambda i: [f"images/{i}.nii.gz", f"labels/rib_1/{i}.nii.gz", f"labels/rib_2/{i}.nii.gz"],
        ["rib_1", "rib_2"],
    ),
    "IDRiD": (
        lambda i: [
            f"1. Original Images/a. Training Set/IDRiD_{i:02d}.jpg",
            f"2. Groundtruths/a. Training Set/1. Microaneurysms/IDRiD_{i:02d}_MA.tif",
            f"2. Groundtruths/a. Training Set/2. Hard Exudates/IDRiD_{i:02d}_EX.tif",
        ],
        ["Hard_Exudates_EX", "Microaneurysms_MA"],
    ),
    "BIDS": (
        lambda i: (
            [f"sub-{i:02d}/anat/sub-{i:02d}_T1w.nii.gz"]
            + [f"derivatives/m/sub-{i:02d}/anat/sub-{i:02d}_label-{o}_mask.nii.gz" for o in ("GM", "WM")]
        ),
        ["GM", "WM"],
    ),
}


def by_name(path):
    """As if files named after an organ held label maps."""
    return any(word in path for word in ("heart", "lung"))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_structures_of_each_case_are_found_by_their_names(layout):
    files, names = LAYOUTS[layout]
    found = structure_files([p for i in N for p in files(i)], by_name)
    assert found.names == names
    assert [sorted(own) for own in found.files.values() if own] == [names] * len(N)
    assert found.lost == []


def test_each_structure_goes_to_its_own_case():
    files, _ = LAYOUTS["numbers that are also cases"]
    found = structure_files([p for i in N for p in files(i)], by_name)
    for i, case in zip(N, found.cases, strict=True):
        assert case.image == (f"images/{i}.nii.gz",)
        assert found.files[case.case] == {f"rib_{n}": f"labels/rib_{n}/{i}.nii.gz" for n in (1, 2)}


def test_files_that_no_name_calls_label_maps_are_told_by_what_they_hold():
    paths = [f"{i}/{name}.nii.gz" for i in N for name in ("data", "heart", "lung_l", "lung_r")]
    assert structure_files(paths, by_name).names == ["heart", "lung_l", "lung_r"]


def test_the_same_name_in_training_and_test_is_two_cases():
    kinds = [f"{s}/images/1.png" for s in ("train", "test")]
    masks = [f"{s}/masks/{o}/1.png" for s in ("train", "test") for o in ("cup", "disc")]
    found = structure_files(kinds + masks, by_name)
    assert sorted((c.split, *found.files[c.case].values()) for c in found.cases) == [
        ("test", "test/masks/cup/1.png", "test/masks/disc/1.png"),
        ("training", "train/masks/cup/1.png", "train/masks/disc/1.png"),
    ]


@pytest.mark.parametrize(
    "paths",
    [
        [p for i in N for p in (f"images/{i}.png", f"labels/{i}.png")],
        [p for i in N for p in (f"p{i}/t1.nii", f"p{i}/flair.nii", f"p{i}/seg.nii", f"p{i}/brain_mask.nii")],
        [p for i in N for p in (f"{i}/images/{i}.png", *(f"{i}/masks/{i}{n}f{n}c.png" for n in range(5)))],
    ],
    ids=["one each", "a mask of the brain beside the label map", "an instance each"],
)
def test_one_label_map_per_case_and_instances_are_no_structures(paths):
    assert structure_files(paths, by_name) is None


def test_drawings_of_several_people_are_no_structures():
    assert are_raters(["rater1", "rater2"])
    assert are_raters(["1stHO", "2ndHO"])
    assert not are_raters(["left", "right"])
