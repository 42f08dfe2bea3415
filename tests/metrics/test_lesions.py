"""Lesion-wise rules against a plain second implementation, and the one-to-one rules in closed form."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from medseg.metrics import score
from tests.metrics.masks import Labels, blobs, points

EVERY_NEIGHBOUR = np.ones((3, 3, 3))
FACES_AND_EDGES = ndimage.generate_binary_structure(3, 2)


def _plain_brats_2023(
    prediction: Labels, reference: Labels, spacing: tuple[float, ...], dilation: int, smallest: float
) -> tuple[float, float, int, int, int]:
    """The official steps one after another on whole volumes: Dice, HD95, TP, FP, FN."""
    p_labels, n_p = ndimage.label(prediction, EVERY_NEIGHBOUR)
    joined, n_r = ndimage.label(
        ndimage.binary_dilation(reference, FACES_AND_EDGES, iterations=dilation), EVERY_NEIGHBOUR
    )
    dices, distances, touched, tp, fn = [], [], set(), 0, 0
    for number in range(1, n_r + 1):
        lesion = (joined == number) & (reference > 0)
        wide = ndimage.binary_dilation(lesion, FACES_AND_EDGES, iterations=dilation)
        partners = set(np.unique(p_labels[wide])) - {0}
        touched |= partners
        if lesion.sum() * np.prod(spacing) <= smallest:
            continue
        both = np.isin(p_labels, sorted(partners)) & (p_labels > 0)
        dices.append(2 * (both & lesion).sum() / (both.sum() + lesion.sum()))
        found = score(both.astype(np.uint8), lesion.astype(np.uint8), {"it": 1}, spacing, how="deepmind")[
            "it"
        ]
        distances.append(min(found.metrics["hd95_mm"], 374.0))
        tp, fn = tp + bool(partners), fn + (not partners)
    fp = n_p - len(touched)
    n = len(dices) + fp
    if n == 0:
        return 1.0, 0.0, tp, fp, fn
    return sum(dices) / n, (sum(distances) + 374.0 * fp) / n, tp, fp, fn


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(
    ("preset", "dilation", "smallest"), [("brats2023", 3, 50.0), ("brats2023_met", 1, 2.0)]
)
def test_lesion_wise_scores_equal_a_plain_second_implementation(
    seed: int, preset: str, dilation: int, smallest: float
) -> None:
    spacing = (1.0, 1.2, 0.9)
    prediction = blobs((34, 30, 26), seed, level=0.11, smooth=1.5)
    reference = blobs((34, 30, 26), seed + 50, level=0.11, smooth=1.5) | np.roll(prediction, 1, 0)
    reference[:, :, 13:] = 0
    found = score(prediction, reference, {"ET": 1}, spacing, how=preset)["ET"].metrics
    expected = _plain_brats_2023(prediction, reference, spacing, dilation, smallest)
    names = ("lesion_dice", "lesion_hd95_mm", "lesion_tp", "lesion_fp", "lesion_fn")
    assert [found[n] for n in names] == pytest.approx(expected, abs=1e-9)


def test_one_stray_voxel_adds_a_lesion_of_dice_0_and_374_mm() -> None:
    reference = np.zeros((40, 20, 20), np.uint8)
    reference[4:10, 4:10, 4:10] = 1
    prediction = reference | points(reference.shape, (35, 15, 15))
    found = score(prediction, reference, {"ET": 1}, (1.0, 1.0, 1.0), how="brats2023")["ET"].metrics
    assert (found["lesion_dice"], found["lesion_hd95_mm"]) == (0.5, 187.0)
    assert (found["lesion_tp"], found["lesion_fp"], found["lesion_f1"]) == (1, 1, pytest.approx(2 / 3))


def test_two_empty_masks_score_1_and_0_by_the_official_rules() -> None:
    empty = np.zeros((8, 8, 8), np.uint8)
    found = score(empty, empty, {"ET": 1}, (1.0, 1.0, 1.0), how="brats2023")["ET"].metrics
    assert (found["lesion_dice"], found["lesion_hd95_mm"]) == (1.0, 0.0)


def test_lesions_up_to_50_mm3_are_left_out_and_their_partners_are_not_invented() -> None:
    small = np.zeros((20, 20, 20), np.uint8)
    small[5:7, 5:10, 5:10] = 1
    found = score(small, small, {"ET": 1}, (1.0, 1.0, 1.0), how="brats2023")["ET"]
    assert found.metrics["lesion_n_reference"] == found.metrics["lesion_fp"] == 0
    assert [lesion["kind"] for lesion in found.lesions] == ["too_small"]
    bigger = score(small, small, {"ET": 1}, (1.0, 1.0, 1.01), how="brats2023")["ET"].metrics
    assert bigger["lesion_n_reference"] == 1


def test_one_to_one_partners_give_panoptic_quality_as_the_product_of_its_parts() -> None:
    reference = np.zeros((30, 10, 10), np.uint8)
    for start in (2, 12, 22):
        reference[start : start + 4, 2:6, 2:6] = 1
    prediction = np.zeros_like(reference)
    prediction[2:6, 2:6, 2:6] = 1
    prediction[13:17, 2:6, 2:6] = 1
    prediction[8:9, 8:9, 8:9] = 1
    found = score(prediction, reference, {"it": 1}, (1.0, 1.0, 1.0), how="medseg_lesions")["it"].metrics
    assert (found["lesion_tp"], found["lesion_fp"], found["lesion_fn"]) == (2, 1, 1)
    assert found["segmentation_quality"] == pytest.approx((1 + 3 / 5) / 2)
    assert found["recognition_quality"] == found["lesion_f1"] == pytest.approx(2 / 3)
    assert found["panoptic_quality"] == pytest.approx(0.8 * 2 / 3)
    assert found["lesion_dice"] == pytest.approx((1 + 0.75) / 4)


def _half_found(preset: str) -> dict:
    reference = np.zeros((30, 10, 10), np.uint8)
    reference[2:6, 2:6, 2:6] = 1
    reference[20:24, 2:6, 2:6] = 1
    half = reference.copy()
    half[15:] = 0
    return dict(score(half, reference, {"ET": 1}, (1.0, 1.0, 1.0), how=preset)["ET"].metrics)


def test_brats_2026_averages_the_pairs_alone_but_for_metastases_where_a_lost_lesion_costs_373_mm() -> None:
    names = ("lesion_dice", "lesion_hd95_mm", "lesion_nsd", "lesion_fn")
    assert [_half_found("brats2026")[n] for n in names] == [1.0, 0.0, 1.0, 1]
    assert [_half_found("brats2026_mets")[n] for n in names] == [0.5, 186.5, 0.5, 1]


def test_brats_2026_pairs_for_the_largest_sum_where_falling_dice_would_lose_a_lesion() -> None:
    reference, prediction = np.zeros((60, 9, 9), np.uint8), np.zeros((60, 9, 9), np.uint8)
    reference[0:20, 2:6, 2:6] = reference[22:40, 2:6, 2:6] = 1
    # One piece over most of both, and one over the end of the first alone.
    prediction[8:32, 2:6, 2:6] = prediction[0:7, 2:6, 2:6] = 1
    best = score(prediction, reference, {"ET": 1}, (1.0,) * 3, how="brats2026")["ET"].metrics
    falling = score(prediction, reference, {"ET": 1}, (1.0,) * 3, how="medseg_lesions")["ET"].metrics
    assert (best["lesion_tp"], falling["lesion_tp"]) == (2, 1)


def test_where_no_lesion_meets_another_the_penalised_distance_is_finite() -> None:
    one, other = points((9, 9, 9), (1, 1, 1)), points((9, 9, 9), (7, 7, 7))
    found = score(one, other, {"ET": 1}, (1.0, 1.0, 1.0), how="brats2026")["ET"]
    assert found.metrics["lesion_hd95_mm"] == float("inf")
    assert found.penalised["lesion_hd95_mm"] == 373.0
