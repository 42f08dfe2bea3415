"""Pictures at the network's size and back."""

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, Invertd
from PIL import Image

from medseg.transforms import ResizePictured


def test_a_smaller_picture_is_what_pillow_makes_of_it():
    pixels = np.random.default_rng(0).integers(0, 256, (60, 90), dtype=np.uint8)
    made = ResizePictured("image", [20, 30])({"image": torch.from_numpy(pixels)[None].float()})["image"][0]
    pillow = Image.fromarray(pixels).resize((30, 20), Image.Resampling.BILINEAR)
    assert np.abs(made.numpy() - np.asarray(pillow, float)).max() < 1


def test_labels_take_the_nearest_pixel():
    label = torch.zeros(1, 50, 40, dtype=torch.uint8)
    label[:, 10:30, 10:30] = 255
    made = ResizePictured("label", [16, 16])({"label": label})["label"]
    assert made.dtype == torch.uint8
    assert set(torch.unique(made).tolist()) == {0, 255}


def test_scores_come_back_to_the_picture_s_own_size():
    preprocessing = Compose([ResizePictured(["image", "label"], [16, 16], allow_missing_keys=True)])
    case = preprocessing({"image": MetaTensor(torch.zeros(3, 61, 47))})
    case["pred"] = MetaTensor(torch.linspace(0, 1, 16).expand(2, 16, 16))
    back = Invertd("pred", preprocessing, orig_keys="image", nearest_interp=False)(case)["pred"]
    assert back.shape == (2, 61, 47)
    # linear between the middles of pixels, constant outside them
    place = ((np.arange(47) + 0.5) * 16 / 47 - 0.5).clip(0, 15) / 15
    np.testing.assert_allclose(back[0, 30].numpy(), place, atol=1e-5)
