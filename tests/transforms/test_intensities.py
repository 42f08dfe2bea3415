import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose
from scipy.ndimage import gaussian_filter

from medseg import transforms as tr
from medseg.errors import LabelError, TrainingError
from medseg.transforms.channels import hue_turned
from medseg.transforms.flips import exchanged
from medseg.transforms.intensities import blurred

IMAGE = torch.from_numpy(np.random.default_rng(0).normal(size=(3, 12, 10, 8)).astype(np.float32))
RGB = torch.rand(3, 6, 6, generator=torch.Generator().manual_seed(0))
ALL = [
    tr.RandNoised("image", prob=1.0, std=(0.1, 0.1)),
    tr.RandBlurd("image", prob=1.0),
    tr.RandContrastd("image", prob=1.0),
    tr.RandBrightnessd("image", prob=1.0),
    tr.RandGammad("image", prob=1.0),
    tr.RandBiasd("image", prob=1.0),
    tr.RandLowResolutiond("image", prob=1.0, zoom=(0.5, 0.5)),
    tr.RandChannelDropoutd("image", prob=1.0, each=1.0),
]
NAMES = [type(transform).__name__ for transform in ALL]


@pytest.mark.parametrize("transform", ALL, ids=NAMES)
def test_it_changes_the_image_repeats_with_the_seed_and_leaves_its_input_alone(transform):
    before = IMAGE.clone()
    first = transform.set_random_state(7)({"image": IMAGE})["image"]
    again = transform.set_random_state(7)({"image": IMAGE})["image"]
    assert torch.equal(first, again)
    assert torch.equal(IMAGE, before)
    assert not torch.equal(first, before)
    assert (first.shape, first.dtype) == (before.shape, before.dtype)
    assert bool(torch.isfinite(first).all())


@pytest.mark.parametrize("transform", ALL, ids=NAMES)
def test_with_no_chance_the_image_is_left_as_it_is(transform):
    chance, transform.prob = transform.prob, 0.0
    try:
        assert transform({"image": IMAGE})["image"] is IMAGE
    finally:
        transform.prob = chance


@pytest.mark.parametrize("transform", ALL[:-1], ids=NAMES[:-1])
def test_a_constant_image_stays_finite(transform):
    assert bool(torch.isfinite(transform({"image": torch.ones(1, 6, 6)})["image"]).all())


def test_an_image_keeps_its_place_in_space():
    image = MetaTensor(IMAGE, affine=torch.diag(torch.tensor([2.0, 2.0, 3.0, 1.0])))
    assert torch.equal(tr.RandBlurd("image", prob=1.0)({"image": image})["image"].affine, image.affine)


def test_noise_has_the_standard_deviation_that_was_asked_for():
    noisy = tr.RandNoised("image", prob=1.0, std=(0.5, 0.5)).set_random_state(0)(
        {"image": torch.zeros(1, 50, 50, 50)}
    )
    assert float(noisy["image"].std()) == pytest.approx(0.5, rel=0.01)


@pytest.mark.parametrize("sigma", [0.4, 0.8, 1.5])
def test_a_blur_is_scipys_gaussian(sigma):
    radius = max(1, int(np.ceil(3 * sigma)))
    expected = np.stack([gaussian_filter(c, sigma, mode="nearest", radius=radius) for c in IMAGE.numpy()])
    assert np.allclose(blurred(IMAGE, sigma).numpy(), expected, atol=1e-5)


def test_a_blur_of_an_image_plane_is_scipys_too():
    expected = gaussian_filter(RGB[0].numpy(), 0.7, mode="nearest", radius=3)
    assert np.allclose(blurred(RGB, 0.7)[0].numpy(), expected, atol=1e-5)


def test_gamma_of_a_ramp_is_its_power():
    ramp = torch.linspace(2, 4, 9)[None, None]
    done = tr.RandGammad("image", prob=1.0, gamma=(2.0, 2.0))({"image": ramp})["image"]
    assert torch.allclose(done, 2 + 2 * ((ramp - 2) / 2) ** 2)


def test_inverted_gamma_is_the_power_of_the_negative():
    ramp = torch.linspace(0, 1, 9)[None, None]
    done = tr.RandGammad("image", prob=1.0, gamma=(2.0, 2.0), inverted=1.0)({"image": ramp})["image"]
    assert torch.allclose(done, 1 - (1 - ramp) ** 2)


def test_contrast_keeps_the_mean_and_never_leaves_the_range():
    lower = tr.RandContrastd("image", prob=1.0, factor=(0.5, 0.5))({"image": IMAGE})["image"]
    assert torch.allclose(lower.mean((1, 2, 3)), IMAGE.mean((1, 2, 3)), atol=1e-5)
    assert torch.allclose(lower.std((1, 2, 3)), 0.5 * IMAGE.std((1, 2, 3)), atol=1e-5)
    higher = tr.RandContrastd("image", prob=1.0, factor=(2.0, 2.0))({"image": IMAGE})["image"]
    assert float(higher.max()) == pytest.approx(float(IMAGE.max()))


def test_a_bias_field_is_smooth_and_within_its_strength():
    ones = torch.ones(1, 16, 16, 16)
    ones[0, 0, 0, 0] = 0.0  # the darkest voxel counts as zero
    done = tr.RandBiasd("image", prob=1.0, strength=0.3).set_random_state(0)({"image": ones})["image"]
    field = done[0].flatten()[1:].log()
    assert float(field.abs().max()) <= 0.3
    assert float(done[0, 1:].diff(dim=0).abs().max()) < 0.08


def test_low_resolution_of_half_has_blocks_of_two_before_interpolation():
    image = torch.zeros(1, 8, 8)
    image[0, 1::2, 1::2] = 4.0
    done = tr.RandLowResolutiond("image", prob=1.0, zoom=(0.5, 0.5))({"image": image})["image"]
    assert torch.allclose(done, torch.full_like(done, 4.0))


def test_dropout_never_takes_every_channel():
    drop = tr.RandChannelDropoutd("image", prob=1.0, each=1.0, value=-1.0).set_random_state(0)
    left = [(drop({"image": IMAGE})["image"] != -1.0).flatten(1).all(1).sum().item() for _ in range(20)]
    assert left == [1] * 20


def test_colour_jitter_keeps_to_the_range_and_needs_three_channels():
    jitter = tr.RandColourJitterd("image", prob=1.0, brightness=0.5, contrast=0.5, saturation=0.5, hue=0.5)
    done = jitter.set_random_state(0)({"image": RGB})["image"]
    assert 0 <= float(done.min()) <= float(done.max()) <= 1
    with pytest.raises(TrainingError, match="an image of 1 channels"):
        jitter({"image": RGB[:1]})


def test_a_third_of_the_circle_makes_red_green_and_a_whole_one_changes_nothing():
    red = torch.tensor([1.0, 0.2, 0.2])[:, None, None]
    assert hue_turned(red, 1 / 3).flatten().tolist() == pytest.approx([0.2, 1.0, 0.2], abs=1e-5)
    assert torch.allclose(hue_turned(RGB, 1.0), RGB, atol=1e-5)


def test_no_turn_of_the_hue_leaves_a_grey_image_grey():
    grey = torch.full((3, 2, 2), 0.4)
    assert torch.allclose(hue_turned(grey, 0.37), grey)


NAMED = {"background": 0, "left kidney": 1, "right kidney": 2, "spine": 3}


def body():
    """A synthetic phantom: left kidney at high x, right kidney at low x, the spine between."""
    label = torch.zeros(1, 9, 4, 4, dtype=torch.uint8)
    label[0, 7, 1:3], label[0, 1, 1:3], label[0, 4, 2] = 1, 2, 3
    return {"label": label, "image": label.float() * 10}


def test_a_mirrored_phantom_has_its_left_and_right_labels_exchanged():
    flip = tr.RandFlipPairsd(
        ["image", "label"], pairs=[["left kidney", "right kidney"]], labels=NAMED, prob=1.0
    )
    done, case = flip(body()), body()
    assert torch.equal(done["label"], case["label"])  # it is symmetric: mirrored, it is itself
    assert torch.equal(done["image"], torch.flip(case["image"], [1]))
    assert done["image"][0, 7, 1, 0] == 20  # what was the right kidney's intensity is now on the left


def test_an_asymmetric_phantom_is_exchanged_where_it_now_lies():
    case = body()
    case["label"][0, 8, 0, 0] = 1
    done = tr.RandFlipPairsd(["label"], pairs=[[1, 2]], prob=1.0)(case)["label"]
    assert done[0, 0, 0, 0] == 2
    assert (done == 2).sum() == (case["label"] == 1).sum()


def test_flipping_twice_is_no_flip():
    flip = tr.RandFlipPairsd(["label"], pairs=[[1, 2]], prob=1.0)
    case = {"label": torch.randint(0, 4, (1, 5, 5), dtype=torch.uint8)}
    assert torch.equal(flip(flip(case))["label"], case["label"])


def test_exchanging_leaves_other_labels_alone():
    assert exchanged(torch.tensor([0, 1, 2, 3]), [(1, 2)]).tolist() == [0, 2, 1, 3]


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([["left lung", "spine"]], "left lung"),
        ([[1, 2, 3]], "two of"),
        ([[1, 2], [2, 3]], "one pair at most"),
    ],
)
def test_a_wrong_pair_is_told(pairs, message):
    with pytest.raises(LabelError, match=message):
        tr.RandFlipPairsd(["label"], pairs=pairs, labels=NAMED)


def test_a_recipe_in_a_list_is_seeded_as_a_whole():
    recipe = Compose([tr.RandPatchd("image", (4, 4, 4), rotate=0.3, elastic=1.0), *ALL])
    first = recipe.set_random_state(11)({"image": IMAGE})["image"]
    assert torch.equal(recipe.set_random_state(11)({"image": IMAGE})["image"], first)
    assert not torch.equal(recipe({"image": IMAGE})["image"], first)
