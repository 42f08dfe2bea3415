"""What the engine needs to know of a bundle, found in its MONAI inferer and post-processing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from monai.inferers import SliceInferer, SlidingWindowInferer

from medseg.errors import BundleError, GeometryError
from medseg.inference.decision import Decision
from medseg.inference.inferer import LabelMapInferer
from medseg.inference.mirrored import MirroredWindowInferer
from medseg.inference.plan import Plan
from medseg.inference.windows import Windows

NEUTRAL = {"EnsureTyped", "ToTensord", "CastToTyped"}


@dataclass(frozen=True)
class Understood:
    """A bundle in the engine's terms.

    Attributes:
        plan: windows and decision.
        rest: steps of the post-processing that follow the decision and work on label maps.
    """

    plan: Plan
    rest: tuple[Any, ...]

    def skipping(self, below: Any) -> Understood:
        """The same, but windows with no voxel above ``below`` after preprocessing are background unseen.

        Args:
            below: the bundle's ``skip_below``; None changes nothing.

        Raises:
            BundleError: it is no number.
        """
        if below is None:
            return self
        if isinstance(below, bool) or not isinstance(below, (int, float)):
            raise BundleError(
                f"skip_below: {below!r}", "a number on the scale of preprocessed voxels", "mend the config"
            )
        windows = replace(self.plan.windows, skip_below=float(below))
        return replace(self, plan=replace(self.plan, windows=windows))


def understood(inferer: Any, postprocessing: Any, preprocessing: Any = None) -> Understood:
    """The plan that gives the labels of this inferer and this post-processing.

    Raises:
        GeometryError: they do something else than window, activation, Invertd and AsDiscreted in that order,
            or the preprocessing stretches the scan.
    """
    _check_preprocessing(list(getattr(preprocessing, "transforms", ()) or ()))
    steps = list(getattr(postprocessing, "transforms", ()) or ())
    if isinstance(inferer, LabelMapInferer):
        return Understood(inferer.plan, tuple(steps))
    windows, slice_axis = _windows(inferer)
    decision, rest = _decision(steps)
    if not isinstance(inferer, MirroredWindowInferer):
        return Understood(Plan(windows, decision, slice_axis=slice_axis), rest)
    if decision.activation != "none":
        raise _unknown("Activationsd after MirroredWindowInferer, which gives probabilities")
    decision = replace(decision, activation=inferer.decision.activation)
    return Understood(Plan(windows, decision, inferer.mirroring), rest)


def _check_preprocessing(steps: Sequence[Any]) -> None:
    if any(type(step).__name__ == "ResizePictured" for step in steps):
        raise _unknown("ResizePictured")


def _unknown(found: str) -> GeometryError:
    return GeometryError(
        found,
        "a sliding window, Activationsd, Invertd and AsDiscreted",
        "`medseg predict --engine stock` runs the bundle's own way",
    )


def _windows(inferer: Any) -> tuple[Windows, int | None]:
    if type(inferer) not in (SlidingWindowInferer, MirroredWindowInferer, SliceInferer):
        raise _unknown(f"inferer {type(inferer).__name__}")
    is_plain = inferer.padding_mode in ("constant",) and not inferer.with_coord
    if not is_plain or isinstance(inferer.roi_size, int):
        raise _unknown("padding, coordinates or roi_size that the engine does not know")
    overlap = inferer.overlap if isinstance(inferer.overlap, (int, float)) else tuple(inferer.overlap)
    sigma = inferer.sigma_scale
    sigma = sigma if isinstance(sigma, (int, float)) else tuple(sigma)
    roi = [0 if n is None else int(n) for n in inferer.roi_size]
    slice_axis = None
    if isinstance(inferer, SliceInferer):
        slice_axis = int(inferer.spatial_dim)
        roi = inferer.orig_roi_size if hasattr(inferer, "orig_roi_size") else roi
        roi = [*roi]
        if len(roi) == 2:
            roi.insert(slice_axis, 1)
    mode = str(getattr(inferer.mode, "value", inferer.mode))
    windows = Windows(tuple(roi), overlap, mode, sigma, int(inferer.sw_batch_size), float(inferer.cval))
    return windows, slice_axis


def _decision(steps: Sequence[Any]) -> tuple[Decision, tuple[Any, ...]]:
    activation, is_inverted, is_late = "none", False, False
    for i, step in enumerate(steps):
        name = type(step).__name__
        if name == "Activationsd":
            activation = _activation(step)
            is_late = is_inverted
        elif name == "Invertd":
            _check_invertd(step)
            is_inverted = True
        elif name == "AsDiscreted" and is_inverted:
            threshold = _threshold(step)
            if is_late:
                # After interpolation a monotone activation only moves the threshold.
                activation, threshold = "none", _before(activation, threshold)
            numbers, rest = _painted(steps[i + 1 :], threshold)
            return Decision(activation, threshold, numbers), rest  # type: ignore[arg-type]
        elif name not in NEUTRAL:
            break
    raise _unknown(f"postprocessing {[type(step).__name__ for step in steps]}")


def _painted(steps: Sequence[Any], threshold: float | None) -> tuple[tuple[int, ...] | None, tuple[Any, ...]]:
    """The number of each region, where the steps begin with painting them, and the steps after it."""
    if threshold is not None and steps and type(steps[0]).__name__ == "RegionsToLabelsd":
        return tuple(int(number) for number in steps[0].numbers.values()), tuple(steps[1:])
    return None, tuple(steps)


def _activation(step: Any) -> str:
    softmax, sigmoid = bool(step.softmax[0]), bool(step.sigmoid[0])
    if step.other[0] is not None or softmax == sigmoid:
        raise _unknown("Activationsd with neither or both of softmax and sigmoid")
    return "softmax" if softmax else "sigmoid"


def _check_invertd(step: Any) -> None:
    if step.nearest_interp[0]:
        raise _unknown("Invertd with nearest_interp on scores")


def _threshold(step: Any) -> float | None:
    argmax, threshold = bool(step.argmax[0]), step.threshold[0]
    extra = [step.to_onehot[0], step.rounding[0]]
    if any(value is not None for value in extra) or argmax == (threshold is not None):
        raise _unknown("AsDiscreted with more than argmax or threshold")
    return None if argmax else float(threshold)


def _before(activation: str, threshold: float | None) -> float | None:
    if threshold is None:
        return None
    if activation == "softmax":
        raise _unknown("a threshold on softmax after Invertd")
    return float(np.log(threshold) - np.log1p(-threshold)) if activation == "sigmoid" else threshold
