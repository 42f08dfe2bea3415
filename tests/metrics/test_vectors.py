"""The 28 numeric vectors: pairs of masks whose scores are known in closed form."""

from __future__ import annotations

import numpy as np
import pytest

from medseg.errors import GeometryError
from medseg.metrics import score
from tests.metrics.masks import Labels, blobs, cube, points

INF = float("inf")
ISO = (1.0, 1.0, 1.0)


def of(
    prediction: Labels, reference: Labels, spacing: tuple[float, ...] = ISO, tau: float = 1.0
) -> dict[str, float]:
    """The metrics and the status of the structure 1."""
    found = score(prediction, reference, {"it": 1}, spacing, tolerances_mm=[tau])["it"]
    return {**found.metrics, "status": found.status}  # type: ignore[dict-item]


BOX = cube((12, 12, 12), (3, 3, 3), (8, 8, 8))
EMPTY = np.zeros_like(BOX)


def test_01_identical_masks_are_perfect() -> None:
    found = of(BOX, BOX)
    assert (found["dice"], found["hausdorff_mm"], found["hd95_mm"], found["assd_mm"]) == (1, 0, 0, 0)
    assert found["nsd_1mm"] == found["boundary_iou"] == found["boundary_f1_1mm"] == 1


def test_02_an_empty_prediction_is_missed_with_infinite_distances() -> None:
    found = of(EMPTY, BOX)
    assert (found["status"], found["dice"], found["nsd_1mm"]) == ("missed", 0, 0)
    assert found["hausdorff_mm"] == found["hd95_mm"] == found["assd_mm"] == INF


def test_03_an_empty_reference_is_a_false_alarm_with_infinite_distances() -> None:
    found = of(BOX, EMPTY)
    assert (found["status"], found["dice"], found["nsd_1mm"]) == ("false_alarm", 0, 0)
    assert found["hausdorff_mm"] == found["hd95_mm"] == found["assd_mm"] == INF


def test_04_two_empty_masks_are_undefined_and_never_perfect() -> None:
    found = of(EMPTY, EMPTY)
    assert found["status"] == "both_empty"
    assert np.isnan([found[m] for m in ("dice", "hausdorff_mm", "hd95_mm", "assd_mm", "nsd_1mm")]).all()


def test_05_the_same_single_voxel_is_perfect() -> None:
    one = points((5, 5, 5), (2, 3, 1))
    found = of(one, one)
    assert (found["dice"], found["hausdorff_mm"], found["nsd_1mm"]) == (1, 0, 1)


def test_06_single_voxels_3_4_12_apart_are_13_apart() -> None:
    found = of(points((20, 20, 20), (1, 1, 1)), points((20, 20, 20), (4, 5, 13)))
    assert found["hausdorff_mm"] == found["hd95_mm"] == found["assd_mm"] == found["centre_distance_mm"] == 13


def test_07_one_slice_of_5_mm_too_few_is_5_mm() -> None:
    found = of(
        cube((10, 10, 10), (2, 2, 2), (6, 6, 6)), cube((10, 10, 10), (2, 2, 2), (6, 6, 8)), (1.0, 1.0, 5.0)
    )
    assert found["dice"] == pytest.approx(0.8)
    assert found["hausdorff_mm"] == 10
    one = of(
        cube((10, 10, 10), (2, 2, 2), (6, 6, 4)), cube((10, 10, 10), (2, 2, 2), (6, 6, 5)), (1.0, 1.0, 5.0)
    )
    assert (one["hausdorff_mm"], one["dice"]) == (5, pytest.approx(0.8))


@pytest.mark.parametrize(("axis", "expected"), [(0, 2.0), (1, 3.0), (2, 5.0)])
def test_08_spacing_belongs_to_the_axis_of_its_place(axis: int, expected: float) -> None:
    shape = (9, 9, 9)
    moved = [4, 4, 4]
    moved[axis] += 1
    assert (
        of(points(shape, tuple(moved)), points(shape, (4, 4, 4)), (2.0, 3.0, 5.0))["hausdorff_mm"] == expected
    )


def test_09_a_shift_by_two_voxels_is_two_voxels() -> None:
    found = of(np.roll(BOX, 2, axis=1), BOX)
    assert (found["hausdorff_mm"], found["dice"]) == (2, pytest.approx(0.6))


def test_10_a_mask_on_the_border_has_its_surface_there() -> None:
    corner = cube((6, 6, 6), (0, 0, 0), (3, 3, 3))
    found = of(corner, cube((6, 6, 6), (0, 0, 0), (4, 3, 3)))
    assert found["hausdorff_mm"] == 1
    # 26 of 27 and 34 of 36 voxels are surface; 9 + 8 of them are 1 mm off.
    assert found["assd_mm"] == pytest.approx((9 + 1) / 60)


def test_11_a_mask_on_the_border_scores_as_in_the_middle() -> None:
    there, here = cube((6, 6, 6), (0, 0, 0), (3, 3, 3)), cube((9, 9, 9), (3, 3, 3), (6, 6, 6))
    bigger_there, bigger_here = cube((6, 6, 6), (0, 0, 0), (4, 3, 3)), cube((9, 9, 9), (3, 3, 3), (7, 6, 6))
    assert of(there, bigger_there)["assd_mm"] == of(here, bigger_here)["assd_mm"]


def test_12_all_foreground_in_both_is_perfect() -> None:
    full = np.ones((5, 6, 7), np.uint8)
    found = of(full, full)
    assert (found["dice"], found["hausdorff_mm"], found["nsd_1mm"]) == (1, 0, 1)


def test_13_all_foreground_against_a_cube_is_the_diagonal_between_their_corners() -> None:
    assert of(np.ones((30, 30, 30), np.uint8), cube((30, 30, 30), (10, 10, 10), (20, 20, 20)))[
        "hausdorff_mm"
    ] == pytest.approx(np.sqrt(300))


def test_14_a_distance_equal_to_the_tolerance_counts() -> None:
    assert of(np.roll(BOX, 2, axis=0), BOX, tau=2.0)["nsd_2mm"] == 1


def test_15_a_far_island_moves_the_hausdorff_distance_and_not_hd95() -> None:
    big = cube((40, 40, 40), (5, 5, 5), (25, 25, 25))
    island = big.copy()
    island[34, 34, 34] = 1
    found = of(island, big)
    assert found["hausdorff_mm"] == pytest.approx(np.sqrt(300))
    assert found["hd95_mm"] == 0


def test_16_swapped_labels_lose_each_and_keep_the_union() -> None:
    reference = cube((8, 8, 8), (1, 1, 1), (4, 4, 4)) + cube((8, 8, 8), (4, 4, 4), (7, 7, 7), 2)
    swapped = np.asarray([0, 2, 1], np.uint8)[reference]
    found = score(swapped, reference, {"one": 1, "two": 2, "both": (1, 2)}, ISO)
    assert (found["one"].metrics["dice"], found["two"].metrics["dice"]) == (0, 0)
    assert (found["both"].metrics["dice"], found["both"].metrics["hausdorff_mm"]) == (1, 0)
    lost = score(np.where(reference == 1, 2, 0).astype(np.uint8), reference, {"one": 1}, ISO)["one"]
    assert (lost.metrics["dice"], lost.metrics["hausdorff_mm"]) == (0, INF)


def test_17_enhancing_tumour_called_necrosis_keeps_whole_and_core() -> None:
    reference = cube((10, 10, 10), (1, 1, 1), (8, 8, 8), 2)
    reference[2:6, 2:6, 2:6] = 1
    reference[3:5, 3:5, 3:5] = 3
    prediction = np.where(reference == 3, 1, reference).astype(np.uint8)
    found = score(prediction, reference, {"WT": (1, 2, 3), "TC": (1, 3), "ET": (3,)}, ISO)
    assert [found[r].metrics["dice"] for r in ("WT", "TC", "ET")] == [1, 1, 0]
    assert (found["ET"].metrics["hausdorff_mm"], found["ET"].status) == (INF, "missed")


def test_18_a_label_outside_the_list_is_counted_and_scores_nothing() -> None:
    prediction = BOX.copy()
    prediction[0, 0, :3] = 9
    found = score(prediction, BOX, {"it": 1}, ISO)
    assert found["it"].metrics["dice"] == 1
    assert found.unknown == {"prediction": {9: 3}, "reference": {}}


@pytest.mark.parametrize("engine", ["numba", "scipy"])
def test_19_fortran_order_scores_as_c_order(engine: str) -> None:
    one, other = blobs((11, 13, 9), 1), blobs((11, 13, 9), 2)
    spacing = (0.7, 1.3, 2.9)
    expected = score(one, other, {"it": 1}, spacing, engine=engine)["it"].metrics  # type: ignore[arg-type]
    turned = score(np.asfortranarray(one), other, {"it": 1}, spacing, engine=engine)["it"].metrics  # type: ignore[arg-type]
    both = score(np.asfortranarray(one), np.asfortranarray(other), {"it": 1}, spacing)["it"].metrics
    assert turned == pytest.approx(expected, abs=1e-12)
    assert both == pytest.approx(expected, abs=1e-12)


def test_20_two_dimensions_work() -> None:
    found = of(cube((9, 9), (2, 2), (6, 6)), cube((9, 9), (2, 3), (6, 7)), (1.0, 2.0), tau=2.0)
    assert (found["hausdorff_mm"], found["dice"], found["nsd_2mm"]) == (2, 0.75, 1)


def test_21_a_hollow_prediction_has_an_inner_surface() -> None:
    full = cube((15, 15, 15), (2, 2, 2), (13, 13, 13))
    hollow = full.copy()
    hollow[4:11, 4:11, 4:11] = 0
    found = of(hollow, full)
    assert found["hausdorff_mm"] == 1  # The inner wall lies one voxel inside the outer one.
    assert found["dice"] == pytest.approx(2 * (11**3 - 7**3) / (2 * 11**3 - 7**3))


def test_22_two_pieces_of_which_one_is_missed() -> None:
    both = points((20, 5, 5), (2, 2, 2), (12, 2, 2))
    found = of(points((20, 5, 5), (2, 2, 2)), both)
    assert found["hausdorff_mm"] == 10
    assert found["assd_mm"] == pytest.approx(10 / 3)
    assert found["masd_mm"] == pytest.approx(2.5)
    assert found["hd95_mm"] == pytest.approx(9.5)


def test_23_two_shapes_raise() -> None:
    with pytest.raises(GeometryError, match="one shape"):
        of(BOX, BOX[1:])


def test_24_distances_are_symmetric() -> None:
    one, other = blobs((14, 12, 10), 3), blobs((14, 12, 10), 4)
    there, back = of(one, other), of(other, one)
    assert [there[m] for m in ("dice", "hausdorff_mm", "hd95_mm", "nsd_1mm")] == [
        back[m] for m in ("dice", "hausdorff_mm", "hd95_mm", "nsd_1mm")
    ]
    assert there["assd_mm"] == pytest.approx(back["assd_mm"], abs=1e-12)


def test_25_padding_changes_no_distance() -> None:
    one, other = blobs((12, 11, 10), 5), blobs((12, 11, 10), 6)
    bare, padded = of(one, other), of(np.pad(one, 3), np.pad(other, 3))
    names = [n for n in bare if n.endswith("mm") or n in ("dice", "boundary_iou")]
    assert [padded[n] for n in names] == pytest.approx([bare[n] for n in names], abs=1e-12)


def test_26_flipping_both_changes_nothing() -> None:
    one, other = blobs((12, 11, 10), 7), blobs((12, 11, 10), 8)
    plain, flipped = of(one, other), of(one[::-1, :, ::-1], other[::-1, :, ::-1])
    assert {k: v for k, v in flipped.items() if k != "status"} == pytest.approx(
        {k: v for k, v in plain.items() if k != "status"}, abs=1e-12
    )


def test_27_distances_scale_with_the_spacing() -> None:
    one, other = blobs((12, 11, 10), 9), blobs((12, 11, 10), 10)
    once, thrice = of(one, other, (1.0, 0.5, 2.0), tau=1), of(one, other, (3.0, 1.5, 6.0), tau=3)
    names = ("hausdorff_mm", "hd95_mm", "assd_mm", "masd_mm", "centre_distance_mm")
    assert [thrice[n] for n in names] == pytest.approx([3 * once[n] for n in names])
    assert thrice["nsd_3mm"] == once["nsd_1mm"]


def test_28_a_float32_pixdim_does_not_push_a_voxel_past_the_tolerance() -> None:
    spacing = (float(np.float32(0.8)),) * 3
    assert spacing[0] > 0.8
    assert of(np.roll(BOX, 1, axis=0), BOX, spacing, tau=0.8)["nsd_0.8mm"] == 1
