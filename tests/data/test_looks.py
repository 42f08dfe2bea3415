"""An image in another unit is told where the others share one, and only there."""

from dataclasses import replace

import numpy as np
import pytest

from medseg.data.looks import look_findings
from medseg.data.profile import thumb
from medseg.data.profiles import CaseProfile, ChannelProfile
from medseg.data.reading import Image


def profile(number, scale, spacing=1.0):
    rng = np.random.default_rng(number)
    array = scale * (np.indices((8, 8, 8)).sum(0) + rng.normal(0, 1, (8, 8, 8)))
    quantiles = np.percentile(array, (0, 1, 5, 25, 50, 75, 95, 99, 100)).tolist()
    small = thumb(Image(array, np.eye(4), "NIfTI"), array)
    channel = ChannelProfile(f"{number}.nii", f"{number}", False, False, quantiles, 0.0, small)
    known = CaseProfile(f"{number}", f"{number}", "training", shape=[8, 8, 8], has_grid=True)
    return replace(known, channels=[channel], spacing_mm=[spacing] * 3)


@pytest.mark.parametrize(
    ("scales", "accused"),
    [
        ([1, 1, 1, 1000, 1, 1, 1, 1, 1, 1], ["3"]),
        ([1, 2, 1, 0.5, 1, 2, 1, 1, 1, 1], []),
        ([1, 1, 1, 1000, 1, 1000, 1, 1, 1, 10], []),
        ([1, 1000, 1, 1, 1], []),
    ],
)
def test_another_unit_is_told_where_the_others_share_one(scales, accused):
    found = look_findings([profile(n, s) for n, s in enumerate(scales)])
    assert [(f.rule, f.case) for f in found] == [("outlier-image", case) for case in accused]


def test_an_image_that_is_turned_is_unlike_the_others():
    cases = [profile(n, 1) for n in range(10)]
    turned = profile(4, -1)
    assert [f.case for f in look_findings([*cases[:4], turned, *cases[5:]])] == ["4"]
    assert look_findings(cases) == []


def test_a_scan_in_centimetres_is_told_and_scans_of_several_spacings_are_not():
    spacings = (1.0, 0.8, 1.2, 0.1, 1.0, 2.5, 1.0, 0.9, 1.1)
    found = look_findings([profile(n, 1, s) for n, s in enumerate(spacings)])
    assert [(f.rule, f.case) for f in found] == [("outlier-extent", "3")]
