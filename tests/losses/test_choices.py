"""Deep supervision, weights from data, and refusals."""

import itertools

import pytest
import torch
from monai.data import MetaTensor
from monai.networks.nets import DynUNet

from medseg.errors import LabelError, MedsegError
from medseg.losses import NAMES, build, class_weights, count_voxels, weights_from_data

GENERATOR = torch.Generator().manual_seed(0)
LOGITS = torch.randn(2, 3, 8, 8, generator=GENERATOR)
LABELS = torch.randint(0, 3, (2, 1, 8, 8), generator=GENERATOR)


@pytest.mark.parametrize(("name", "regions"), list(itertools.product(NAMES, [False, True])))
def test_deep_supervision_is_the_weighted_mean_of_its_scales(name, regions):
    target = torch.cat([c == LABELS for c in range(3)], 1).long() if regions else LABELS
    coarse = LOGITS[..., ::2, ::2]
    loss = build(name, regions=regions)
    # "nearest-exact" at a factor of two takes the second of each pair of voxels.
    expected = (loss(LOGITS, target) + 0.5 * loss(coarse, target[..., 1::2, 1::2])) / 1.5
    torch.testing.assert_close(loss([LOGITS, coarse], target), expected)


def test_deep_supervision_takes_weights_of_its_own():
    loss = build("dice", deep_supervision=[1, 3])
    expected = 0.25 * loss(LOGITS, LABELS) + 0.75 * loss(-LOGITS, LABELS)
    torch.testing.assert_close(loss([LOGITS, -LOGITS], LABELS), expected)


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_dynunets_stacked_output_is_scored_in_training_and_the_plain_one_in_evaluation(spatial_dims):
    network = DynUNet(
        spatial_dims,
        1,
        2,
        [3] * 4,
        [1, 2, 2, 2],
        [2] * 3,
        filters=[4] * 4,
        deep_supervision=True,
        deep_supr_num=2,
    )
    x = torch.rand(1, 1, *[16] * spatial_dims, generator=GENERATOR)
    target = (x > 0.5).long()
    loss = build("dice_ce")
    stacked = network.train()(x)
    scales = list(stacked.unbind(1))
    torch.testing.assert_close(loss(stacked, target), loss(scales, target))
    assert len(scales) == 3
    assert torch.isfinite(loss(network.eval()(x), target))


def test_weights_for_another_number_of_scales_are_refused():
    with pytest.raises(MedsegError, match="for 2 scales"):
        build("dice", deep_supervision=[1, 0.5, 0.25])([LOGITS, LOGITS], LABELS)


def test_several_scales_are_refused_where_deep_supervision_is_off():
    with pytest.raises(MedsegError, match="2 scales of output"):
        build("dice", deep_supervision=False)([LOGITS, LOGITS], LABELS)


def test_a_meta_tensor_is_scored_like_a_tensor():
    assert type(build("dice_ce")(MetaTensor(LOGITS), MetaTensor(LABELS))) is torch.Tensor


def test_weights_of_the_batch_are_the_inverse_shares_with_mean_one():
    target = torch.zeros(1, 1, 4, 4)
    target[..., 0, :] = 1
    weighted = build("cross_entropy", weight=[0.5, 1.5])
    logits = torch.randn(1, 2, 4, 4, generator=GENERATOR)
    torch.testing.assert_close(
        build("cross_entropy", weight="batch")(logits, target), weighted(logits, target)
    )


def test_class_weights_give_every_class_the_same_total():
    counts = [900, 90, 10]
    totals = [c * w for c, w in zip(counts, class_weights(counts), strict=True)]
    assert totals == pytest.approx([totals[0]] * 3)
    assert sum(class_weights(counts)) == pytest.approx(3)


def test_class_weights_of_power_zero_are_ones_and_an_absent_class_has_none():
    assert class_weights([5, 0, 7], power=0) == [1, 0, 1]


def test_weights_from_data_count_every_case_and_leave_the_ignored_out():
    data = [{"label": torch.tensor([[0, 0, 0, 1]])}, {"label": torch.tensor([[255, 0, 2, 2]])}]
    assert count_voxels((case["label"] for case in data), 3, ignore_label=255) == [4, 1, 2]
    assert weights_from_data(data, 3, ignore_label=255) == class_weights([4, 1, 2])


def test_counting_refuses_a_value_that_is_no_class():
    with pytest.raises(LabelError, match="label value 255"):
        count_voxels([torch.tensor([0, 255])], 2)


NONSENSE = {
    "an unknown name": ({"name": "dyce"}, "dyce"),
    "an unknown option": ({"name": "dice", "gamma": 2}, "gamma"),
    "a background among regions": (
        {"name": "dice", "regions": True, "include_background": False},
        "none of which is a background",
    ),
    "ignoring the inside of regions": ({"name": "dice", "regions": True, "ignore_label": 1}, "inside"),
    "softmax without a background": ({"name": "cross_entropy", "include_background": False}, "background"),
    "negative weights": ({"name": "dice", "weight": [1, -1]}, "zero or more"),
    "no weight above zero": ({"name": "dice", "weight": [0, 0]}, "not all of them zero"),
    "a word for weights": ({"name": "dice", "weight": "inverse"}, "inverse"),
    "a factor too many": ({"name": "dice_ce", "mix": [1, 1, 1]}, "2 factors"),
    "another library's name": ({"name": "DiceCE"}, "did you mean 'dice_ce'"),
    "a root of order nought": ({"name": "focal_tversky", "gamma": 0}, "above zero"),
    "no error that weighs": ({"name": "tversky", "alpha": 0, "beta": 0}, "there is no loss"),
    "smoothing beyond even": ({"name": "dice_ce", "label_smoothing": 1.5}, "from 0 to 1"),
    "a word for a switch": ({"name": "dice", "batch": "yes"}, "true or false"),
    "a negative alpha": ({"name": "focal", "alpha": [0.5, -1]}, "one for each channel"),
    "scales without weight": ({"name": "dice", "deep_supervision": [0, 0]}, "per scale"),
    "a negative exponent": ({"name": "focal", "gamma": -1}, "gamma=-1"),
}


@pytest.mark.parametrize("title", NONSENSE)
def test_nonsense_is_refused_with_the_reason(title):
    options, reason = NONSENSE[title]
    with pytest.raises(MedsegError, match=reason):
        build(**options)


def test_softmax_over_one_channel_is_refused():
    with pytest.raises(MedsegError, match="softmax over one channel is always 1"):
        build("dice")(LOGITS[:, :1], LABELS)


@pytest.mark.parametrize("value", [-1, 3, 0.6], ids=["below", "above", "between"])
def test_a_label_that_is_no_class_is_refused(value):
    with pytest.raises(LabelError, match="whole numbers from 0 to 2"):
        build("dice_ce")(LOGITS, LABELS.float().index_fill(2, torch.tensor([0]), value))


def test_weights_for_another_number_of_classes_are_refused():
    with pytest.raises(MedsegError, match="2 class weights for a network with 3 outputs"):
        build("dice", weight=[1, 2])(LOGITS, LABELS)


def test_a_target_on_another_grid_is_refused():
    with pytest.raises(MedsegError, match="one channel per region"):
        build("dice", regions=True)(LOGITS, LABELS)


def test_a_loss_is_built_by_its_target_in_yaml():
    from monai.bundle import ConfigParser

    parser = ConfigParser({"loss": {"_target_": "medseg.losses.build", "name": "dice_ce", "regions": True}})
    assert torch.isfinite(parser.get_parsed_content("loss")(LOGITS, torch.zeros(2, 3, 8, 8)))
