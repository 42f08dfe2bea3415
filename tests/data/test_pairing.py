"""Names of public data sets, and of habits seen in the wild: every image gets its own label map or none."""

import pytest

from medseg.data.bids import bids_cases, looks_like_bids
from medseg.data.pairing import pair
from medseg.data.words import words_of

CONTRASTS = ("flair", "t1", "t1ce", "t2")
# Layout: names of the cases; images per case; label map; what else lies there for each case.
NAMED = {
    "LiTS": (["0", "10"], ["volume-{0}.nii"], "segmentation-{0}.nii", []),
    "KiTS": (["07", "11"], ["case_{0}/imaging.nii.gz"], "case_{0}/segmentation.nii.gz", []),
    "KiTS 2023": (
        ["07", "11"],
        ["case_{0}/imaging.nii.gz"],
        "case_{0}/segmentation.nii.gz",
        ["case_{0}/instances/kidney_instance-1_annotation-1.nii.gz"],
    ),
    "FLARE, one channel": (
        ["0000", "0001"],
        ["imagesTr/F_Tr_{0}_0000.nii.gz"],
        "labelsTr/F_Tr_{0}.nii.gz",
        [],
    ),
    "BTCV": (["0001", "0002"], ["Training/img/img{0}.nii.gz"], "Training/label/label{0}.nii.gz", []),
    "PROMISE12": (["00", "01"], ["Case{0}.mhd"], "Case{0}_segmentation.mhd", []),
    "SegTHOR": (["01", "02"], ["Patient_{0}/Patient_{0}.nii.gz"], "Patient_{0}/GT.nii.gz", []),
    "M&Ms": (["A0S9", "B1"], ["Labeled/{0}/{0}_sa.nii.gz"], "Labeled/{0}/{0}_sa_gt.nii.gz", []),
    "CAMUS": (["1_2CH_ED", "1_4CH_ES"], ["db/p1/p{0}.nii.gz"], "db/p1/p{0}_gt.nii.gz", []),
    "MM-WHS": (["1001", "1002"], ["ct_train/ct_train_{0}_image.nii"], "ct_train/ct_train_{0}_label.nii", []),
    "HECKTOR": (["1", "2"], ["imagesTr/C-{0}__CT.nii", "imagesTr/C-{0}__PT.nii"], "labelsTr/C-{0}.nii", []),
    "iSeg": (["1", "2"], ["s-{0}-T1.img", "s-{0}-T2.img"], "s-{0}-label.img", []),
    "IBSR": (
        ["01", "02"],
        ["I_{0}/I_{0}_ana.nii.gz"],
        "I_{0}/I_{0}_seg_ana.nii.gz",
        ["I_{0}/I_{0}_ana_brainmask.nii.gz"],
    ),
    "MRBrainS": (
        ["1", "2"],
        ["TrainingData/{0}/T1.nii", "TrainingData/{0}/T1_IR.nii"],
        "TrainingData/{0}/LabelsForTraining.nii",
        [],
    ),
    "BraTS 2020": (
        ["001", "002"],
        [f"BraTS20_Training_{{0}}/BraTS20_Training_{{0}}_{c}.nii" for c in CONTRASTS],
        "BraTS20_Training_{0}/BraTS20_Training_{0}_seg.nii",
        [],
    ),
    "BraTS 2023": (
        ["00001-000", "00001-001"],
        [f"BraTS-GLI-{{0}}/BraTS-GLI-{{0}}-{c}.nii.gz" for c in ("t2f", "t1n", "t1c", "t2w")],
        "BraTS-GLI-{0}/BraTS-GLI-{0}-seg.nii.gz",
        [],
    ),
    "DRIVE": (
        ["21", "22"],
        ["training/images/{0}_training.tif"],
        "training/1st_manual/{0}_manual1.gif",
        ["training/mask/{0}_training_mask.gif"],
    ),
    "ISIC 2017": (
        ["0000", "0001"],
        ["Training_Data/ISIC_{0}.jpg"],
        "Training_Part1_GroundTruth/ISIC_{0}_segmentation.png",
        ["Training_Data/ISIC_{0}_superpixels.png"],
    ),
    "Kvasir": (["cjua", "cjub"], ["Kvasir-SEG/images/{0}.jpg"], "Kvasir-SEG/masks/{0}.jpg", []),
    "GlaS": (["testA_1", "train_1"], ["Warwick/{0}.bmp"], "Warwick/{0}_anno.bmp", []),
    "BUSI": (["(1)", "(2)"], ["benign/benign {0}.png"], "benign/benign {0}_mask.png", []),
    "HC18": (["000", "001"], ["training_set/{0}_HC.png"], "training_set/{0}_HC_Annotation.png", []),
    "PASCAL VOC": (["a", "b"], ["JPEGImages/{0}.jpg"], "SegmentationClass/{0}.png", []),
    "photo and mask of one name": (["a", "b"], ["d/{0}.jpg"], "d/{0}.png", []),
    "3D Slicer": (["1", "2"], ["case{0}/case{0}.nrrd"], "case{0}/Segmentation.seg.nrrd", []),
    "dash label": (["1", "2"], ["c{0}.nrrd"], "c{0}-label.nrrd", []),
    "dot label": (["1", "2"], ["c{0}.nii.gz"], "c{0}.label.nii.gz", []),
    "msk": (["1", "2"], ["img/c{0}.nii.gz"], "msk/c{0}.nii.gz", []),
    "numbers padded otherwise": (["1", "10"], ["images/0{0}.nii"], "labels/{0}.nii", []),
    "other prefixes": (["1", "10"], ["images/img_{0}.nii"], "labels/lab_{0}.nii", []),
    "a project with a role word": (
        ["1", "2"],
        ["liver_seg_x/images/{0}.nii"],
        "liver_seg_x/labels/{0}.nii",
        [],
    ),
    "a name with a role word": (["1", "2"], ["images/mask_study_{0}.nii"], "labels/mask_study_{0}.nii", []),
    "sites, patients, visits": (["A/P1/visit1", "B/P1/visit1"], ["{0}/t1.nii"], "{0}/lesion_mask.nii", []),
    "sites below the roles": (["A/1", "B/1"], ["images/{0}.nii"], "labels/{0}.nii", []),
    "sites above the roles": (["A", "B"], ["{0}/images/1.nii"], "{0}/labels/1.nii", []),
    "channels without known names": (["a", "b"], ["{0}/inphase.nii", "{0}/outphase.nii"], "{0}/seg.nii", []),
    "upper case": (["A", "B"], ["PAT{0}/IMAGE.NII.GZ"], "PAT{0}/MASK.NII.GZ", []),
    "other alphabets and spaces": (
        ["患者 二", "Müller (3)"],
        ["Fälle/Bild {0}.nii"],
        "Fälle/Bild {0} label.nii",
        [],
    ),
    "mixed endings": (["1.nii", "2.nii.gz"], ["imagesTr/a_{0}"], "labelsTr/a_{0}", []),
}


@pytest.mark.parametrize("layout", NAMED)
def test_every_image_gets_its_own_label_map(layout):
    names, images, label, others = NAMED[layout]
    patterns = [*images, label, *others]
    found = pair(sorted(p.format(n) for n in names for p in patterns))
    wanted = {tuple(sorted(i.format(n) for i in images)): label.format(n) for n in names}
    assert {tuple(sorted(c.image)): c.label for c in found.cases} == wanted
    assert len({c.case for c in found.cases}) == len(names)
    assert found.problem == ""
    assert bool(found.notes) is bool(others)


@pytest.mark.parametrize(
    "names",
    [
        ["images/anna.nii", "labels/q7.nii", "images/bert.nii", "labels/z2.nii"],
        [f"s{n}/{p}.nii" for n in (1, 2) for p in ("ct", "segmentations/liver", "segmentations/spleen")],
        [f"{p}/{n}.nii" for n in (1, 2) for p in ("images", "labels/rater1", "labels/rater2")],
        [f"CXR/{n}.png" for n in (1, 2)]
        + [f"Manual/{s}Mask/{n}.png" for n in (1, 2) for s in ("left", "right")],
        ["labels/1.nii", "labels/2.nii"],
    ],
)
def test_what_cannot_be_paired_without_doubt_is_a_problem(names):
    assert pair(names).problem


def test_a_case_without_a_channel_is_left_out_and_told():
    names = [f"c{n}/{c}.nii" for n in (1, 2, 3) for c in ("flair", "t1", "seg")]
    names.remove("c3/t1.nii")
    found = pair(names)
    assert [len(c.image) for c in found.cases] == [2, 2]
    assert found.notes == [
        "1 cases without the usual channels (FLAIR, T1) left out, first c3/flair.nii (FLAIR)"
    ]


def test_a_copy_in_another_format_is_no_second_channel():
    names = [f"{r}/{n}.nii.gz" for n in (1, 2, 3) for r in ("images", "labels")]
    found = pair([*names, "images/1.nii"])
    assert {c.image for c in found.cases} == {(f"images/{n}.nii.gz",) for n in (1, 2, 3)}
    assert "images/1.nii" in found.notes[0]


def test_a_label_map_of_another_name_alone_with_its_image_is_taken():
    names = [f"B_{n}/B_{n}_{c}.nii" for n in (1, 2, 3) for c in ("flair", "t1", "seg")]
    names[-1] = "B_3/W39_1998.09.19_Segm.nii"
    found = pair(names)
    assert {c.label for c in found.cases} == {
        "B_1/B_1_seg.nii",
        "B_2/B_2_seg.nii",
        "B_3/W39_1998.09.19_Segm.nii",
    }


def test_a_lonely_label_map_in_a_folder_with_one_image_is_taken_and_told():
    names = ["a/1.nii", "a/1_seg.nii", "a/2.nii", "a/2_seg.nii", "b/x.nii", "b/truth_y.nii"]
    found = pair(names)
    assert {c.image[0]: c.label for c in found.cases}["b/x.nii"] == "b/truth_y.nii"
    assert "taken as the label map" in found.notes[0]


def test_folders_whose_names_differ_in_their_signs_alone_are_several_cases():
    found = pair([f"{f}/{n}.nii" for f in ("a b", "a_b", "a-b", "a.b") for n in ("image", "label")])
    assert {(c.image, c.label) for c in found.cases} == {
        ((f"{f}/image.nii",), f"{f}/label.nii") for f in ("a b", "a_b", "a-b", "a.b")
    }
    assert len({c.case for c in found.cases}) == 4


def test_the_same_names_below_numbered_folders_are_paired_within_each():
    files = [f"set_{v}/{tree}/frame{f:03}.png" for v in (1, 2) for f in range(3) for tree in ("left", "gt/a")]
    for case in pair(files).cases:
        assert case.label == case.image[0].replace("left", "gt/a")


def test_a_case_is_called_by_its_number_also_where_the_folder_has_it_too():
    batches = {1: (1, 2), 2: (30,)}
    files = [f"Batch {b}/{r}-{n}.nii" for b, own in batches.items() for n in own for r in ("volume", "seg")]
    assert {c.case for c in pair(files).cases} == {"1", "2", "30"}


@pytest.mark.parametrize(
    ("files", "cases"),
    [
        (
            "BraTS20_Training_00{0}/BraTS20_Training_00{0}_{1}.nii",
            {"BraTS20_Training_001": "BraTS20_Training_001", "BraTS20_Training_002": "BraTS20_Training_002"},
        ),
        (
            "x/BraTS-GLI-00001-00{0}/BraTS-GLI-00001-00{0}-{1}.nii",
            {"BraTS-GLI-00001-001": "BraTS-GLI-00001", "BraTS-GLI-00001-002": "BraTS-GLI-00001"},
        ),
        ("dataset/case_{0}/{1}.nii", {"case_1": "case_1", "case_2": "case_2"}),
    ],
)
def test_a_case_has_its_folders_name_and_not_its_first_channels(files, cases):
    found = pair([files.format(n, c) for n in (1, 2) for c in ("t2f", "t1c", "seg")]).cases
    assert {c.case: c.patient for c in found} == cases
    assert {len(c.image) for c in found} == {2}


def test_a_word_for_label_maps_in_the_folder_above_all_files_makes_none():
    names = [f"Dataset_with_GT/{k}/{k} ({n}){s}.png" for k in "ab" for n in (1, 2) for s in ("", "_mask")]
    found = pair(names)
    assert [c.label for c in found.cases] == [c.image[0].replace(".png", "_mask.png") for c in found.cases]
    assert len(found.cases) == 4


def test_one_image_and_one_label_map_are_a_case():
    assert [(c.image, c.label) for c in pair(["image.nii", "label.nii"]).cases] == [
        (("image.nii",), "label.nii")
    ]


@pytest.mark.parametrize(
    ("names", "patients"),
    [
        (["TCGA_4_1/TCGA_4_1_{0}{1}.tif", "TCGA_5_2/TCGA_5_2_{0}{1}.tif"], {"TCGA_4_1", "TCGA_5_2"}),
        (["p{0}/pre{1}.nii", "p{0}/post{1}.nii"], {"p1", "p2"}),
        (["s/p1/visit1/t{0}{1}.nii", "s/p1/visit2/t{0}{1}.nii", "s/p2/visit1/t{0}{1}.nii"], None),
        (["ct_train/ct_train_{0}{1}.nii"], {"ct_train_1", "ct_train_2"}),
        (["v_{0}/frame_001{1}.png", "v_{0}/frame_002{1}.png"], {"v_1", "v_2"}),
    ],
)
def test_patients_are_told_by_folders_and_visits(names, patients):
    files = [n.format(k, s) for n in names for k in (1, 2) for s in ("", "_mask")]
    found = {c.patient for c in pair(files).cases}
    assert found == patients if patients else all("visit" not in p for p in found)


def bids(derived, *raw):
    images = [p.format(s, r) for p in (derived, *raw) for s in ("01", "02") for r in (1, 2)]
    assert looks_like_bids(images)
    return bids_cases(sorted(set(images)))


def test_bids_is_matched_by_its_entities():
    label = "derivatives/x/sub-{0}/ses-{1}/sub-{0}_ses-{1}_space-orig_label-lesion_mask.nii.gz"
    found = bids(label, "sub-{0}/ses-{1}/anat/sub-{0}_ses-{1}_T1w.nii.gz")
    assert sorted((c.case, c.patient, c.image[0][-23:-7], c.label) for c in found.cases)[1] == (
        "sub-01_ses-2",
        "sub-01",
        "sub-01_ses-2_T1w",
        label.format("01", 2),
    )
    assert found.notes == []


def test_bids_takes_the_contrast_that_the_label_map_names_or_all_that_are_shared():
    one = bids(
        "derivatives/x/sub-{0}/sub-{0}_run-{1}_T1w_seg-manual.nii",
        "sub-{0}/sub-{0}_run-{1}_T1w.nii",
        "sub-{0}/sub-{0}_run-{1}_T2w.nii",
    )
    all_of_them = bids(
        "derivatives/sub-{0}_run-{1}_msk.nii",
        "sub-{0}/sub-{0}_run-{1}_dwi.nii",
        "sub-{0}/sub-{0}_run-{1}_adc.nii",
    )
    assert (one.channels, all_of_them.channels) == (["T1"], ["ADC", "DWI"])


def test_bids_takes_the_images_of_the_label_maps_folder_and_tells_what_it_leaves():
    found = bids(
        "derivatives/x/sub-{0}/anat/sub-{0}_run-{1}_space-T1w_label-lesion_mask.nii",
        "sub-{0}/anat/sub-{0}_run-{1}_T1w.nii",
        "sub-{0}/anat/sub-{0}_run-{1}_FLAIR.nii",
        "sub-{0}/dwi/sub-{0}_run-{1}_dwi.nii",
    )
    assert found.channels == ["T1"]
    assert [n for n in found.notes if n.startswith("4 images of another contrast")]


def test_bids_prefers_structures_to_the_mask_of_the_brain_and_takes_no_derived_image():
    found = bids(
        "derivatives/f/sub-{0}_run-{1}_dseg.nii",
        "sub-{0}/sub-{0}_run-{1}_T1w.nii",
        "derivatives/f/sub-{0}_run-{1}_desc-brain_mask.nii",
        "derivatives/f/sub-{0}_run-{1}_desc-preproc_T1w.nii",
        "derivatives/f/sub-{0}_run-{1}_label-GM_probseg.nii",
    )
    assert all(c.label.endswith("_dseg.nii") and c.image[0].startswith("sub-") for c in found.cases)
    assert len(found.cases) == 4


def test_words_are_parted_where_they_tell_a_role():
    assert words_of("LabelsForTraining") == ["Labels", "For", "Training"]
    assert words_of("img0001.brainmask") == ["img", "0001", "brain", "mask"]
    assert words_of("BraTS2021_imagesTs") == ["BraTS2021", "imagesTs"]
