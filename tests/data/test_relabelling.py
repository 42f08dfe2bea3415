"""What `relabel` of a manifest does to the values of a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medseg.data.label_maps import LabelMapFile
from medseg.data.relabelling import as_declared, as_predicted, renamed

LEFT_TO_RIGHT = {2: 1, 5: 2, 9: 3}


def file_of(values, affine=None):
    array = np.array([values], np.uint8)
    return LabelMapFile(Path("a.png"), array, affine, (1.0, 1.0), "", (), "")


def test_values_change_all_at_once_and_not_one_after_the_other():
    assert renamed(np.array([0, 2, 5, 9], np.uint8), LEFT_TO_RIGHT).tolist() == [0, 1, 2, 3]


def test_a_value_that_does_not_fit_the_files_type_widens_it():
    assert renamed(np.array([1], np.uint8), {1: 300}).tolist() == [300]


@pytest.mark.parametrize(
    ("relabel", "declared", "values", "expected"),
    [
        ({4: 3}, {1, 2, 3}, [1, 4], [1, 3]),
        ({4: 3}, {1, 2, 4}, [1, 4], [1, 4]),
        (LEFT_TO_RIGHT, {1, 2, 3}, [2, 5, 9], [1, 2, 3]),
        ({7: 0}, {1}, [1, 7], [1, 0]),
        ({}, {1}, [0, 255], [0, 1]),
        ({}, {1, 255}, [0, 255], [0, 255]),
        ({}, {1}, [0, 20, 255], [0, 20, 255]),
    ],
)
def test_a_reference_comes_in_the_numbers_that_are_declared(relabel, declared, values, expected):
    assert as_declared(file_of(values), relabel, declared).array.tolist() == [expected]


def test_white_of_a_volume_is_not_taken_for_one():
    assert as_declared(file_of([0, 255], np.eye(4)), {}, {1}).array.tolist() == [[0, 255]]


def test_a_prediction_keeps_the_numbers_that_are_declared():
    assert as_predicted(file_of([1, 2, 3, 5]), LEFT_TO_RIGHT, {1, 2, 3}).array.tolist() == [[1, 2, 3, 2]]
