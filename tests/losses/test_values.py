"""Values against closed forms, MONAI and independent sums."""

import itertools
import math

import monai.losses
import pytest
import torch

from medseg.losses import build
from medseg.losses.registry import NAMES

CASE_2D = (torch.Generator().manual_seed(1), (2, 3, 9, 7))
CASE_3D = (torch.Generator().manual_seed(2), (2, 3, 6, 5, 4))


def labels_case(case):
    generator, shape = case[0].clone_state(), case[1]
    logits = torch.randn(shape, generator=generator)
    return logits, torch.randint(0, shape[1], (shape[0], 1, *shape[2:]), generator=generator)


def regions_case(case):
    generator, shape = case[0].clone_state(), case[1]
    return torch.randn(shape, generator=generator), (torch.rand(shape, generator=generator) > 0.6).long()


def test_uniform_cross_entropy_of_k_classes_is_log_k():
    loss = build("cross_entropy")(torch.zeros(1, 5, 4, 4), torch.randint(0, 5, (1, 1, 4, 4)))
    assert loss.item() == pytest.approx(math.log(5), rel=1e-6)


def test_focal_with_gamma_zero_is_cross_entropy_over_the_number_of_classes():
    logits, target = labels_case(CASE_3D)
    assert build("focal", gamma=0)(logits, target).item() == pytest.approx(
        build("cross_entropy")(logits, target).item() / 3, rel=1e-5
    )


def test_focal_of_a_half_sure_region_is_a_quarter_of_log_2():
    loss = build("focal", regions=True)(torch.zeros(1, 1, 4, 4), torch.ones(1, 1, 4, 4))
    assert loss.item() == pytest.approx(0.25 * math.log(2), rel=1e-5)


@pytest.mark.parametrize("name", ["dice", "tversky", "generalised_dice", "lovasz", "focal_tversky"])
def test_overlap_losses_of_a_perfect_answer_are_zero(name):
    target = torch.randint(0, 3, (2, 1, 8, 8), generator=torch.Generator().manual_seed(0))
    logits = 100 * torch.nn.functional.one_hot(target[:, 0], 3).movedim(-1, 1).float()
    assert build(name)(logits, target).item() == pytest.approx(0, abs=1e-4)


def test_dice_of_two_half_overlapping_squares_is_one_half():
    target, logits = torch.zeros(1, 1, 4, 4), torch.full((1, 1, 4, 4), -100.0)
    target[..., :2, :2] = 1
    logits[..., :2, 1:3] = 100
    assert build("dice", regions=True)(logits, target).item() == pytest.approx(0.5, abs=1e-5)


def test_tversky_of_one_missed_and_one_false_voxel_follows_its_formula():
    target = torch.tensor([1.0, 1, 1, 0]).view(1, 1, 2, 2)
    logits = torch.tensor([9.0, 9, -9, 9]).view(1, 1, 2, 2) * 20
    loss = build("tversky", regions=True, alpha=0.2, beta=0.8)(logits, target)
    assert loss.item() == pytest.approx(1 - 2 / (2 + 0.2 + 0.8), abs=1e-5)


def test_focal_tversky_is_the_root_of_tversky_for_one_region():
    logits, target = regions_case((torch.Generator().manual_seed(4), (1, 1, 5, 5)))
    assert build("focal_tversky", regions=True, gamma=2)(logits, target).item() == pytest.approx(
        math.sqrt(build("tversky", regions=True)(logits, target).item()), rel=1e-5
    )


def test_lovasz_of_a_hard_answer_is_one_minus_jaccard():
    target = torch.tensor([1.0, 1, 1, 0, 0, 0]).view(1, 1, 2, 3)
    logits = 100 * torch.tensor([1.0, 1, -1, 1, -1, -1]).view(1, 1, 2, 3)
    assert build("lovasz", regions=True)(logits, target).item() == pytest.approx(1 - 2 / 4, abs=1e-6)


def test_lovasz_is_the_mean_of_the_jaccard_loss_over_all_thresholds_of_the_error():
    """The extension of a set function is its integral over the level sets (Bach 2013, definition 3.1)."""
    target = torch.tensor([1.0, 0, 1, 0, 0, 1]).view(1, 1, 2, 3)
    logits = torch.tensor([0.3, -1.2, -0.4, 0.9, -2.0, 1.7]).view(1, 1, 2, 3)
    errors = (target - logits.sigmoid()).abs().flatten()
    thresholds = (torch.arange(20000) + 0.5) / 20000
    wrong = errors[None] > thresholds[:, None]
    lost = (wrong & target.flatten().bool()).sum(1)
    jaccard_loss = (wrong.sum(1)) / (3 + (wrong.sum(1) - lost))
    assert build("lovasz", regions=True)(logits, target).item() == pytest.approx(
        jaccard_loss.mean().item(), abs=2e-4
    )


def test_boundary_of_a_known_strip_is_the_hand_sum():
    """Row 0 0 1 1 0: signed distances 2, 1, 0, 0, 1; probability one on the first voxel only."""
    target = torch.tensor([0.0, 0, 1, 1, 0]).view(1, 1, 1, 5)
    logits = torch.tensor([1.0, -1, -1, -1, -1]).view(1, 1, 1, 5) * 100
    assert build("boundary", regions=True)(logits, target).item() == pytest.approx(2 / 5, abs=1e-6)


def test_hausdorff_of_a_known_strip_is_the_hand_sum():
    """Row 0 0 1 against 1 0 0: distances to either border, each squared, where the two differ."""
    target = torch.tensor([0.0, 0, 1]).view(1, 1, 1, 3)
    logits = torch.tensor([1.0, -1, -1]).view(1, 1, 1, 3) * 100
    field_of_target, field_of_answer = [2, 1, 1], [1, 1, 2]
    expected = sum(field_of_target[i] ** 2 + field_of_answer[i] ** 2 for i in (0, 2)) / 3
    assert build("hausdorff", regions=True)(logits, target).item() == pytest.approx(expected, abs=1e-5)


SOFTMAX = {"to_onehot_y": True, "softmax": True}
WEIGHT = torch.tensor([0.5, 1.0, 3.0])
MONAI_LABELS = {
    "dice": ({}, monai.losses.DiceLoss(**SOFTMAX)),
    "dice of the batch": ({"batch": True}, monai.losses.DiceLoss(**SOFTMAX, batch=True)),
    "dice squared": ({"squared_pred": True}, monai.losses.DiceLoss(**SOFTMAX, squared_pred=True)),
    "dice weighted": ({"weight": [0.5, 1, 3]}, monai.losses.DiceLoss(**SOFTMAX, weight=WEIGHT)),
    "dice no background": (
        {"include_background": False},
        monai.losses.DiceLoss(**SOFTMAX, include_background=False),
    ),
    "dice ignoring": ({"ignore_label": 2}, monai.losses.DiceLoss(**SOFTMAX, ignore_index=2)),
    "dice_ce": ({}, monai.losses.DiceCELoss(**SOFTMAX)),
    "dice_ce weighted": ({"weight": [0.5, 1, 3]}, monai.losses.DiceCELoss(**SOFTMAX, weight=WEIGHT)),
    "dice_ce mixed": ({"mix": [0.3, 2]}, monai.losses.DiceCELoss(**SOFTMAX, lambda_dice=0.3, lambda_ce=2)),
    "focal": ({}, monai.losses.FocalLoss(to_onehot_y=True, use_softmax=True)),
    "focal weighted": (
        {"weight": [0.5, 1, 3], "gamma": 1.5},
        monai.losses.FocalLoss(to_onehot_y=True, use_softmax=True, weight=WEIGHT, gamma=1.5),
    ),
    "generalised_dice": ({}, monai.losses.GeneralizedDiceLoss(**SOFTMAX)),
    "tversky": ({"alpha": 0.1, "beta": 0.9}, monai.losses.TverskyLoss(**SOFTMAX, alpha=0.1, beta=0.9)),
    "boundary": ({}, monai.losses.BoundaryLoss(**SOFTMAX)),
    "hausdorff": (
        {"include_background": False},
        monai.losses.HausdorffDTLoss(**SOFTMAX, include_background=False),
    ),
}


@pytest.mark.parametrize("case", [CASE_2D, CASE_3D], ids=["2D", "3D"])
@pytest.mark.parametrize("title", MONAI_LABELS)
def test_labels_equal_monai(title, case):
    options, theirs = MONAI_LABELS[title]
    logits, target = labels_case(case)
    ours = build(title.split()[0], **options)(logits, target)
    torch.testing.assert_close(ours, theirs(logits, target), rtol=1e-5, atol=1e-6)


MONAI_REGIONS = {
    "dice": monai.losses.DiceLoss(sigmoid=True),
    "focal": monai.losses.FocalLoss(),
    "dice_focal": monai.losses.DiceFocalLoss(sigmoid=True),
    "generalised_dice": monai.losses.GeneralizedDiceLoss(sigmoid=True),
    "tversky": monai.losses.TverskyLoss(sigmoid=True, alpha=0.3, beta=0.7),
    "boundary": monai.losses.BoundaryLoss(sigmoid=True),
    "hausdorff": monai.losses.HausdorffDTLoss(sigmoid=True, include_background=True),
    "cross_entropy": torch.nn.BCEWithLogitsLoss(),
}


@pytest.mark.parametrize("case", [CASE_2D, CASE_3D], ids=["2D", "3D"])
@pytest.mark.parametrize("name", MONAI_REGIONS)
def test_regions_equal_monai(name, case):
    logits, target = regions_case(case)
    ours = build(name, regions=True)(logits, target)
    torch.testing.assert_close(ours, MONAI_REGIONS[name](logits, target.float()), rtol=1e-5, atol=1e-6)


GRID = list(itertools.product(NAMES, [False, True]))


@pytest.mark.parametrize(("name", "regions"), GRID)
def test_what_is_ignored_changes_neither_value_nor_gradient(name, regions):
    logits, target = regions_case(CASE_2D) if regions else labels_case(CASE_2D)
    loss = build(name, regions=regions, ignore_label=255, weight=[1, 2, 3])
    target[:, :, 2:4] = 255
    a = logits.clone().requires_grad_()
    b = logits.clone()
    b[:, :, 2:4] += 7
    value = loss(a, target)
    value.backward()
    assert a.grad[:, :, 2:4].abs().max() == 0
    assert a.grad.abs().max() > 0
    torch.testing.assert_close(loss(b, target), value.detach(), rtol=1e-5, atol=1e-6)


VOXELWISE_AND_AREA = [n for n in NAMES if "boundary" not in n and "hausdorff" not in n]


@pytest.mark.parametrize(("name", "regions"), list(itertools.product(VOXELWISE_AND_AREA, [False, True])))
def test_ignoring_a_margin_equals_cutting_it_off(name, regions):
    logits, target = regions_case(CASE_3D) if regions else labels_case(CASE_3D)
    marked = target.clone()
    marked[..., -1] = 99
    loss = build(name, regions=regions, ignore_label=99, weight=[1, 2, 0.5])
    torch.testing.assert_close(loss(logits, marked), loss(logits[..., :-1], target[..., :-1]))


@pytest.mark.parametrize(("name", "regions"), GRID)
@pytest.mark.parametrize("weight", [None, [0.0, 1, 2], "batch"], ids=["plain", "weights", "batch"])
def test_an_empty_or_wholly_ignored_target_gives_a_finite_loss_and_gradient(name, regions, weight):
    loss = build(name, regions=regions, ignore_label=255, weight=weight)
    shape = (2, 3 if regions else 1, 6, 6)
    for target in (torch.zeros(shape), torch.full(shape, 255.0)):
        logits = torch.randn(2, 3, 6, 6, generator=torch.Generator().manual_seed(3)).requires_grad_()
        value = loss(logits, target)
        value.backward()
        assert torch.isfinite(value)
        assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize(("name", "regions"), GRID)
def test_half_precision_gives_the_value_of_single_precision(name, regions):
    logits, target = regions_case(CASE_3D) if regions else labels_case(CASE_3D)
    half = (logits * 20).half()
    loss = build(name, regions=regions)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(half, target)
    torch.testing.assert_close(value, loss(half.float(), target))
    assert value.dtype == torch.float32


@pytest.mark.parametrize(("name", "regions"), GRID)
def test_extreme_logits_give_a_finite_loss_and_gradient(name, regions):
    logits, target = regions_case(CASE_2D) if regions else labels_case(CASE_2D)
    extreme = (logits.sign() * 60000).half().requires_grad_()
    value = build(name, regions=regions)(extreme, target)
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(extreme.grad).all()


@pytest.mark.parametrize(("name", "regions"), GRID)
def test_gradients_are_those_of_finite_differences(name, regions):
    shape = (2, 3, 3, 4)
    generator = torch.Generator().manual_seed(5)
    logits = torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()
    target = torch.randint(0, 2 if regions else 3, (2, 3 if regions else 1, 3, 4), generator=generator)
    target[0, :, 0, 0] = 9
    loss = build(name, regions=regions, weight=[1, 2, 3], ignore_label=9)
    # One random direction rather than each voxel's: as strict, and quick.
    assert torch.autograd.gradcheck(lambda x: loss(x, target), logits, eps=1e-6, atol=1e-5, fast_mode=True)
