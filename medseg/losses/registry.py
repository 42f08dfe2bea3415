"""Builds any loss by its name, and refuses what makes no sense with the reason."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from functools import partial
from typing import Any, Literal

import torch

from medseg.errors import MedsegError
from medseg.losses import distance, overlap, voxelwise
from medseg.losses.loss import Loss
from medseg.losses.read import Scored

Term = Callable[..., torch.Tensor]

TERMS: Mapping[str, Term] = {
    "cross_entropy": voxelwise.cross_entropy,
    "focal": voxelwise.focal,
    "dice": overlap.dice,
    "generalised_dice": overlap.generalised_dice,
    "tversky": overlap.tversky,
    "focal_tversky": overlap.focal_tversky,
    "lovasz": overlap.lovasz,
    "boundary": distance.boundary,
    "hausdorff": distance.hausdorff,
}

_SUMS: Mapping[str, tuple[str, ...]] = {
    "dice_ce": ("dice", "cross_entropy"),
    "dice_focal": ("dice", "focal"),
    "generalised_dice_focal": ("generalised_dice", "focal"),
    "dice_boundary": ("dice", "boundary"),
    "dice_hausdorff": ("dice", "hausdorff"),
}

_OTHER_SPELLINGS: Mapping[str, str] = {
    "ce": "cross_entropy",
    "generalized_dice": "generalised_dice",
    "generalized_dice_focal": "generalised_dice_focal",
}

NAMES: tuple[str, ...] = (*TERMS, *_SUMS)
"""Every name that `build` takes."""


def build(
    name: str,
    *,
    regions: bool = False,
    weight: Sequence[float] | Literal["batch"] | None = None,
    ignore_label: int | None = None,
    include_background: bool = True,
    deep_supervision: bool | Sequence[float] = True,
    mix: Sequence[float] | None = None,
    **options: Any,
) -> Loss:
    """The loss of that name, for a network's raw outputs (logits) and a target of the same grid.

    Args:
        name: one of `NAMES`; `ce` and the American spellings are understood too.
        regions: False: softmax over C exclusive classes, target (B, 1, *S) of whole numbers 0 to C-1.
            True: a sigmoid for each of R regions that may overlap, target (B, R, *S) of 0 and 1.
        weight: one factor per class or region, used as MONAI and torch do (cross-entropy of labels is
            divided by the sum of the voxels' weights, everything else is not); ``"batch"``: the inverse of
            each class's share of the batch. From a data set: `weights_from_data`.
        ignore_label: voxels with this value (in regions: in any channel) count neither in
            value nor in gradient.
        include_background: False leaves class 0 out of the overlap, focal and distance terms.
        deep_supervision: True takes a list of scales or DynUNet's stacked (B, K, C, *S) as well as a plain
            tensor, and weighs them 1, 1/2, 1/4 ... (sum one); numbers are weights of your own; False
            refuses several scales.
        mix: a factor for each part of a sum such as ``dice_ce``; ones unless given.
        options: what the terms take: ``squared_pred``, ``batch``, ``smooth`` (overlap terms), ``alpha``,
            ``beta``, ``gamma`` (Tversky and focal), ``label_smoothing`` (cross-entropy),
            ``exponent`` (Hausdorff).

    Raises:
        MedsegError: an unknown name or option, or a combination that makes no sense, with the reason.

    >>> loss = build("dice_ce")
    >>> round(float(loss(torch.zeros(1, 2, 4, 4), torch.zeros(1, 1, 4, 4))), 4)  # (1/3 + 1) / 2 + log 2
    1.3598
    """
    name = _known(name)
    parts = _SUMS.get(name, (name,))
    _refuse_nonsense(
        parts,
        regions=regions,
        weight=weight,
        ignore_label=ignore_label,
        include_background=include_background,
    )
    factors = _mix(name, parts, mix)
    # The last part first: cross-entropy's logarithms serve Dice's softmax too.
    terms = [
        (factor, _with_options(part, options))
        for part, factor in reversed(list(zip(parts, factors, strict=True)))
        if factor > 0
    ]
    _refuse_unknown_options(name, parts, options)
    if not isinstance(deep_supervision, bool):
        _refuse_bad_weights("deep_supervision", [float(w) for w in deep_supervision], "scale")
    return Loss(
        terms,
        regions=regions,
        weight=weight,
        ignore_label=ignore_label,
        include_background=include_background,
        deep_supervision=deep_supervision,
    )


def _known(name: str) -> str:
    """The name as `NAMES` has it."""
    spelt = _OTHER_SPELLINGS.get(str(name), str(name))
    if spelt not in NAMES:
        close = get_close_matches(spelt.lower(), NAMES, n=1, cutoff=0.5)
        raise MedsegError(
            f"loss {name!r}",
            f"one of {', '.join(NAMES)}",
            f"did you mean {close[0]!r}?" if close else "choose one of these names",
        )
    return spelt


def _with_options(part: str, options: Mapping[str, Any]) -> Callable[[Scored], torch.Tensor]:
    return partial(TERMS[part], **{k: v for k, v in options.items() if k in _takes(part)})


def _takes(part: str) -> dict[str, Any]:
    parameters = inspect.signature(TERMS[part]).parameters
    return {name: p.default for name, p in parameters.items() if name != "scored"}


def _mix(name: str, parts: Sequence[str], mix: Sequence[float] | None) -> Sequence[float]:
    factors = [1.0] * len(parts) if mix is None else list(mix)
    if len(factors) != len(parts) or not all(f >= 0 for f in factors) or not any(factors):
        raise MedsegError(
            f"mix {factors} for loss {name!r}",
            f"{len(parts)} factors of zero or more, not all zero, for {' + '.join(parts)}",
            "give one factor for each part",
        )
    return factors


def _refuse_unknown_options(name: str, parts: Sequence[str], options: Mapping[str, Any]) -> None:
    known = sorted({option for part in parts for option in _takes(part)})
    for option, value in options.items():
        if option not in known:
            raise MedsegError(
                f"option {option!r} for loss {name!r}",
                f"one of {', '.join(known)}" if known else "no option",
                f"leave it out: {' and '.join(parts)} would not use it",
            )
        _refuse_bad_option(option, value, parts)
    if "alpha" in known and "beta" in known and options.get("alpha") == options.get("beta") == 0:
        raise MedsegError(
            "alpha=0 and beta=0",
            "one of them above zero",
            "raise alpha to weigh false voxels, beta to weigh missed ones: with neither there is no loss",
        )


def _refuse_bad_option(option: str, value: Any, parts: Sequence[str]) -> None:
    if option in ("batch", "squared_pred"):
        fits, expected = isinstance(value, bool), "true or false"
    elif option == "label_smoothing":
        fits, expected = _is_number(value) and value <= 1, "a number from 0 to 1"
    elif option == "gamma" and "focal_tversky" in parts:
        fits, expected = (
            _is_number(value) and value > 0,
            "a finite number above zero, whose inverse is a power",
        )
    elif option == "alpha" and "focal" in parts:
        several = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
        fits = value is None or (len(several) > 0 and all(_is_number(v) for v in several))
        expected = "a finite number of zero or more, or one for each channel"
    else:
        fits, expected = _is_number(value), "a finite number of zero or more"
    if not fits:
        raise MedsegError(f"{option}={value!r}", expected, f"correct {option}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf


def _refuse_nonsense(
    parts: Sequence[str],
    *,
    regions: bool,
    weight: Sequence[float] | str | None,
    ignore_label: int | None,
    include_background: bool,
) -> None:
    if regions and not include_background:
        raise MedsegError(
            "include_background=False with regions=True",
            "regions, none of which is a background",
            "leave include_background out",
        )
    if regions and ignore_label in (0, 1):
        raise MedsegError(
            f"ignore_label={ignore_label} with regions=True",
            "a value other than 0 and 1, which mean outside and inside",
            "mark voxels to be ignored with another value, for example 255",
        )
    if not include_background and parts == ("cross_entropy",):
        raise MedsegError(
            "include_background=False with cross_entropy",
            "every class in the softmax, the background too",
            "give the background a weight of 0 instead, or choose dice_ce",
        )
    if isinstance(weight, str) and weight != "batch":
        raise MedsegError(f"weight={weight!r}", "numbers, or 'batch'", "correct weight")
    if weight is not None and not isinstance(weight, str):
        _refuse_bad_weights("weight", [float(w) for w in weight], "class")


def _refuse_bad_weights(name: str, weight: Sequence[float], each: str) -> None:
    if not weight or not all(0 <= w < math.inf for w in weight) or not any(weight):
        raise MedsegError(
            f"{name}={list(weight)}",
            "finite numbers of zero or more, not all of them zero",
            f"give one such number per {each}",
        )
