from __future__ import annotations

import numpy as np
import pytest

from medseg.metrics import score
from medseg.report import Scan
from medseg.report.slices import eight_bit, largest_distance, worst_slice


def ball_pair() -> tuple[np.ndarray, np.ndarray]:
    """A box, and the same box with a far spur at the patient's right front of one axial slice."""
    reference = np.zeros((30, 40, 10), bool)
    reference[10:15, 10:20, 2:8] = True
    prediction = reference.copy()
    prediction[15:25, 19, 5] = True
    return reference, prediction


def test_the_slice_with_the_most_wrong_voxels_is_shown() -> None:
    shown = worst_slice(Scan(*ball_pair(), (1.0, 1.0, 1.0)))
    assert shown.where == "axial slice 6 of 10"
    assert (shown.reference ^ shown.prediction).sum() == 10


def test_the_patients_right_is_on_the_left_and_the_front_at_the_top() -> None:
    shown = worst_slice(Scan(*ball_pair(), (1.0, 1.0, 1.0)))
    rows, columns = np.nonzero(shown.prediction & ~shown.reference)
    reference_rows, reference_columns = np.nonzero(shown.reference)
    assert shown.sides == ("R", "L", "A", "P")
    # The spur has the largest x (right) and y (front) of the box.
    assert columns.max() < reference_columns.min()
    assert (rows == reference_rows.min()).all()


def test_the_arrow_is_the_largest_distance_between_the_outlines_in_mm() -> None:
    shown = worst_slice(Scan(*ball_pair(), (0.5, 1.0, 1.0)))
    assert shown.arrow_mm == pytest.approx(5.0)
    assert shown.arrow is not None
    (row, column), (row_to, column_to) = shown.arrow
    assert (row, abs(column - column_to)) == (row_to, 10)


def test_the_arrow_shows_the_largest_distance_of_the_volume_and_its_slices() -> None:
    reference, prediction = ball_pair()
    prediction[12, 15, 2:10] = True
    shown = worst_slice(Scan(reference, prediction, (0.5, 1.0, 9.0)))
    # Two slices above the top of the box, 9 mm each, against 5 mm in the plane with the most wrong voxels.
    assert (shown.arrow_mm, shown.arrow_slices, shown.is_across) == (18.0, (10, 8), True)
    assert shown.arrow is not None
    assert shown.arrow[0] == shown.arrow[1]
    assert worst_slice(Scan(reference, reference, (1.0, 1.0, 1.0))).arrow is None


def test_the_arrow_is_there_where_one_mask_is_not_in_the_slice_and_equals_the_hausdorff_distance() -> None:
    reference, prediction = np.zeros((30, 40, 10), bool), np.zeros((30, 40, 10), bool)
    reference[10:15, 10:20, 2:4] = True
    prediction[12:25, 15:36, 6:8] = True
    shown = worst_slice(Scan(reference, prediction, (0.5, 1.0, 1.5)))
    assert not (shown.reference.any() and shown.prediction.any())
    found = score(prediction.astype(np.uint8), reference.astype(np.uint8), {"it": 1}, (0.5, 1.0, 1.5))
    assert shown.arrow_mm == pytest.approx(found["it"].metrics["hausdorff_mm"])
    assert shown.arrow is not None
    assert all(0 <= at < n for end in shown.arrow for at, n in zip(end, shown.reference.shape, strict=True))


def test_thick_slices_are_looked_at_from_the_front() -> None:
    shown = worst_slice(Scan(*ball_pair(), (1.0, 4.0, 1.0)))
    assert shown.where.startswith("coronal")
    assert shown.sides == ("R", "L", "S", "I")


def test_a_single_slice_is_shown_whole_whatever_its_axis() -> None:
    mask = np.zeros((1, 20, 20), bool)
    mask[0, 5:9, 5:9] = True
    assert worst_slice(Scan(mask, mask, (3.0, 1.0, 1.0))).where == "sagittal slice 1 of 1"


def test_a_picture_is_shown_as_it_lies_with_its_colours() -> None:
    mask = np.zeros((60, 50), bool)
    mask[40:, 5:9] = True
    image = np.random.default_rng(0).integers(0, 256, (60, 50, 3)).astype(np.uint8)
    shown = worst_slice(Scan(mask, mask, (1.0, 1.0), image, has_units=False))
    assert shown.sides == ("", "", "", "")
    assert shown.reference[-1].any()
    assert shown.image.shape[2] == 3


def test_a_scan_of_unknown_orientation_names_no_side() -> None:
    shown = worst_slice(Scan(*ball_pair(), (1.0, 1.0, 1.0), is_oriented=False))
    assert shown.sides == ("", "", "", "")
    assert shown.where == "slice 6 of 10"


def test_no_distance_where_a_mask_is_empty_or_both_are_the_same() -> None:
    mask = np.ones((3, 3), bool)
    assert largest_distance(mask, np.zeros((3, 3), bool), (1, 1)) is None
    assert largest_distance(mask, mask, (1, 1)) is None


def test_grey_values_fill_eight_bits_and_nan_is_dark() -> None:
    image = np.linspace(-1000, 3000, 1000).reshape(10, 100)
    image[0, 50] = np.nan
    shown = eight_bit(image)
    assert (shown.min(), shown.max(), shown[0, 50]) == (0, 255, 0)
