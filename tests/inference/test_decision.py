"""Thresholds and winners at the edge of float precision."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from medseg.errors import BundleError
from medseg.inference import LabelMapInferer, MirroredWindowInferer
from medseg.inference.corners import native_codes
from medseg.inference.decision import Decision, lowest_score
from medseg.inference.native import native_labels
from medseg.inference.wayback import axis_map


def sigmoid(score: float) -> float:
    """In float64."""
    return float(1 / (1 + np.exp(-np.float64(score))))


@settings(deadline=None, derandomize=True)
@given(threshold=st.floats(1e-6, 1.0))
def test_scores_reach_a_threshold_from_the_lowest_on_and_none_below_does(threshold: float) -> None:
    lowest = lowest_score(threshold)
    assert sigmoid(lowest) >= threshold
    assert sigmoid(float(np.nextafter(np.float32(lowest), np.float32(-np.inf)))) < threshold


@pytest.mark.parametrize("decision", [Decision("none", 0.1), Decision("sigmoid", 0.5), Decision("none", 0.7)])
def test_corners_that_all_lie_on_the_threshold_hold_in_between(decision: Decision) -> None:
    value = 0.0 if decision.activation == "sigmoid" else float(np.float32(decision.threshold))
    scores = torch.full((1, 5, 4, 3), value)
    axes = [axis_map(np.arange(0, n - 1, 0.37), a, n, box=(0.0, n - 1.0)) for a, n in enumerate((5, 4, 3))]
    expected = int(decision.activation == "sigmoid" or value >= decision.threshold)
    for skip in (True, False):
        assert (native_labels(scores, axes, decision, skip_agreeing=skip) == expected).all()


def test_more_regions_than_a_code_has_bits_for_are_refused() -> None:
    axes = [axis_map(np.arange(3), a, 3, box=(0.0, 2.0)) for a in range(3)]
    assert native_labels(torch.ones(14, 3, 3, 3), axes, Decision("sigmoid", 0.5)).max() == 2**14 - 1
    with pytest.raises(BundleError, match="at most 14 regions"):
        native_labels(torch.ones(15, 3, 3, 3), axes, Decision("sigmoid", 0.5))


@settings(max_examples=20, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 999),
    decision=st.sampled_from([Decision("softmax"), Decision("sigmoid", 0.4), Decision("none", 0.1)]),
    shift=st.sampled_from([0.0, -1.3, 0.7]),
)
def test_compiled_labels_are_those_of_torch_beside_a_void_too(
    seed: int, decision: Decision, shift: float
) -> None:
    scores = torch.randn((3, 6, 5, 4), generator=torch.Generator().manual_seed(seed))
    axes = [
        axis_map(np.arange(shift, n + 0.4, 0.61), 2 - a, n, box=(-np.inf, np.inf))
        for a, n in enumerate((6, 5, 4))
    ]
    codes = native_codes(scores, axes, decision, skip_agreeing=False)
    expected = decision.table(3)[codes.permute(2, 1, 0).numpy()]
    np.testing.assert_array_equal(native_labels(scores, axes, decision), expected)


@pytest.mark.parametrize(
    "made",
    [
        lambda: Decision("relu"),
        lambda: LabelMapInferer([4, 4, 4], activation="relu"),
        lambda: MirroredWindowInferer([4, 4, 4], mirror_axes=[0], activation="relu"),
    ],
)
def test_an_activation_that_is_not_known_is_refused_wherever_it_is_named(made: Callable[[], object]) -> None:
    with pytest.raises(BundleError, match="relu"):
        made()
