"""A validation's references: their files' own voxels, numbers as the manifest declares them."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import DataLoader, MetaTensor
from monai.transforms import (
    AsDiscreted,
    Compose,
    EnsureChannelFirstd,
    Invertd,
    LoadImaged,
    Orientationd,
    Spacingd,
)
from PIL import Image

from medseg.data import PictureReader
from medseg.errors import DataError, LabelError, TrainingError
from medseg.training import CachedDataset, MeanDice
from medseg.training.references import untouched

LABELS = {"background": 0, "left": 1, "right": 2}
OBLIQUE = np.array([[-0.7, 0.2, 0.1, 9], [0.2, 1.1, -0.3, 8], [0.0, 0.4, 2.5, 7], [0, 0, 0, 1.0]])
# Spacing and Orientation want straight axes.
OBLIQUE[:3, :3] = np.linalg.qr(OBLIQUE[:3, :3])[0] @ np.diag([0.7, 1.1, 2.5])


def save(path, array, affine=OBLIQUE):
    nib.save(nib.Nifti1Image(array, affine), path)
    return str(path)


def case(folder, label, affine=OBLIQUE, label_affine=None, **more):
    chance = np.random.default_rng(0)
    image = chance.normal(size=(7, 9, 6)).astype(np.float32)
    return {
        "case": "one",
        "image": save(folder / "image.nii.gz", image, affine),
        "label": save(folder / "label.nii.gz", label, affine if label_affine is None else label_affine),
        **more,
    }


def preprocessing(spacing=1.0):
    keys, more = ["image", "label"], {"allow_missing_keys": True}
    return Compose(
        [
            LoadImaged(keys=keys, reader="NibabelReader", **more),
            EnsureChannelFirstd(keys=keys, **more),
            Orientationd(keys=keys, axcodes="RAS", labels=None, **more),
            Spacingd(keys=keys, pixdim=[spacing] * 3, mode=["bilinear", "nearest"], **more),
        ]
    )


@pytest.fixture
def label():
    return np.random.default_rng(1).integers(0, 3, (7, 9, 6)).astype(np.uint8)


def test_an_untouched_label_is_the_files_own_and_the_image_is_the_networks(tmp_path, label):
    row = case(tmp_path, label)
    data = CachedDataset([row], preprocessing(), labels=LABELS, label_untouched=True)
    np.testing.assert_array_equal(data[0]["label"][0], label)
    np.testing.assert_allclose(data[0]["label"].affine, nib.load(row["image"]).affine)
    assert data[0]["image"].shape[1:] != label.shape


def test_a_label_map_with_its_axes_in_another_order_lies_on_the_scans_voxels(tmp_path, label):
    turn = np.array([[0, 0, -1.0, 5], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
    turned = label.transpose(1, 2, 0)[:, :, ::-1]
    turn[0, 3] = label.shape[0] - 1
    row = case(tmp_path, turned, label_affine=OBLIQUE @ turn)
    # The scan has the shape of `label`; what is stored has another.
    data = CachedDataset([row], preprocessing(), labels=LABELS, label_untouched=True)
    np.testing.assert_array_equal(data[0]["label"][0], label)


def test_a_label_map_beside_its_scan_stops_the_run_with_the_cases_name(tmp_path, label):
    moved = OBLIQUE.copy()
    moved[0, 3] += 3
    with pytest.raises(DataError, match=r"case one: .*same origin"):
        CachedDataset(
            [case(tmp_path, label, label_affine=moved)],
            preprocessing(),
            labels=LABELS,
            label_untouched=True,
        )


def test_a_label_that_is_not_declared_stops_the_run_with_the_cases_name(tmp_path, label):
    label[0, 0, 0] = 7
    with pytest.raises(LabelError, match="case one: label values 7"):
        CachedDataset([case(tmp_path, label)], preprocessing(), labels=LABELS, label_untouched=True)


@pytest.mark.parametrize("is_untouched", [False, True])
@pytest.mark.parametrize("in_files", [False, True])
def test_relabel_is_applied_to_the_label_maps_of_training_and_of_validation(
    tmp_path, label, is_untouched, in_files
):
    values = np.array([0, 2, 9], np.uint8)[label]  # 2 is one structure in the file, another when declared
    row = case(tmp_path, values, np.eye(4), relabel={2: 1, 9: 2})
    cache = str(tmp_path / "cache") if in_files else None
    data = CachedDataset([row], preprocessing(), labels=LABELS, label_untouched=is_untouched, cache_dir=cache)
    np.testing.assert_array_equal(data[0]["label"][0], label)
    assert "relabel" not in data[0]


def test_a_value_that_relabel_does_not_name_stops_the_run(tmp_path, label):
    values = np.array([0, 2, 9], np.uint8)[label]
    with pytest.raises(LabelError, match="case one: label values 9"):
        CachedDataset([case(tmp_path, values, relabel={2: 1})], preprocessing(), labels=LABELS)


def test_a_mask_is_looked_at_where_image_and_label_have_a_reader_each(tmp_path):
    steps = [LoadImaged(keys=key, reader=PictureReader(colours=key == "image")) for key in ("image", "label")]
    Image.new("RGB", (4, 3)).save(tmp_path / "image.png")
    Image.new("I;16", (4, 3), 300).save(tmp_path / "label.png")
    row = {"case": "one", "image": str(tmp_path / "image.png"), "label": str(tmp_path / "label.png")}
    with pytest.raises(LabelError, match="case one: label values 300"):
        CachedDataset([row], Compose([*steps, EnsureChannelFirstd(keys=["image", "label"])]))


def test_a_pictures_mask_lies_as_monai_reads_pictures_and_255_is_one(tmp_path):
    mask = np.zeros((3, 4), np.uint8)
    mask[1, 3] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    label = untouched({"case": "one", "label": str(tmp_path / "mask.png")}, None, {"lesion": 1})
    np.testing.assert_array_equal(label[0], (mask.T == 255).astype(np.uint8))


def score(row, network, spacing, *, is_untouched):
    """The validation's Dice of a case, by the wiring of a bundle."""
    before = preprocessing(spacing)
    data = CachedDataset([row], before, labels=LABELS, label_untouched=is_untouched)
    decision = AsDiscreted(keys="pred", argmax=True)
    back = Invertd(keys="pred", transform=before, orig_keys="image", nearest_interp=False)
    (batch,) = DataLoader(data, batch_size=1)
    item = {key: batch[key][0] for key in ("image", "label")}
    item["pred"] = MetaTensor(network(item["image"]), meta=item["image"].meta)
    metric = MeanDice(LABELS)
    metric.update([Compose([back, decision])(item) if is_untouched else decision(item)])
    return metric.compute()


def scores_of(image):
    return torch.cat([image * 0, image - 0.2, -image - 0.2])


def test_on_straight_scans_of_the_networks_spacing_both_ways_give_one_score(tmp_path, label):
    row = case(tmp_path, label, np.eye(4))
    new, old = (score(row, scores_of, 1.0, is_untouched=way) for way in (True, False))
    assert new == old
    assert 0.1 < new < 0.9


def test_elsewhere_the_score_is_that_of_the_files_voxels(tmp_path, label):
    row = case(tmp_path, label)
    new, old = (score(row, scores_of, 1.0, is_untouched=way) for way in (True, False))
    assert new != old


def test_a_prediction_that_is_not_brought_back_is_refused(label):
    reference = MetaTensor(
        torch.from_numpy(label)[None], meta={"is_untouched": True, "filename_or_obj": "label.nii.gz"}
    )
    mirrored = MetaTensor(torch.from_numpy(label)[None], affine=torch.diag(torch.tensor([-1.0, 1, 1, 1])))
    for wrong in (mirrored, mirrored[:, 1:]):
        with pytest.raises(TrainingError, match=r"label\.nii\.gz has .*Invertd"):
            MeanDice(LABELS).update([{"pred": wrong, "label": reference}])
