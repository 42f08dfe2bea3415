from __future__ import annotations

import io
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from medseg.report.outlines import outline, png


def area(path: str) -> float:
    """The signed area within all loops of a path, holes counted negative."""
    total = 0.0
    for loop in path.split("Z")[:-1]:
        points = np.array([[float(v) for v in p.split()] for p in re.split("[ML]", loop) if p])
        x, y = points.T
        total += float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y)) / 2
    return total


def test_the_outline_of_a_pixel_is_its_square_in_mm() -> None:
    mask = np.zeros((3, 3), bool)
    mask[1, 2] = True
    corners = set(re.split("[MLZ]", outline(mask, (2.0, 0.5)))) - {""}
    assert corners == {"1 2", "1.5 2", "1.5 4", "1 4"}


def test_an_empty_mask_has_no_outline() -> None:
    assert outline(np.zeros((4, 4), bool)) == ""


@settings(max_examples=60, deadline=None)
@given(hnp.arrays(bool, st.tuples(st.integers(1, 8), st.integers(1, 8))))
def test_an_outline_encloses_as_many_pixels_as_the_mask_has_whatever_its_holes(mask: np.ndarray) -> None:
    assert area(outline(mask)) == pytest.approx(mask.sum())


@pytest.mark.parametrize("shape", [(7, 5), (4, 9, 3)])
def test_a_png_is_read_by_pillow_as_it_was(shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    assert (np.asarray(Image.open(io.BytesIO(png(pixels)))) == pixels).all()
