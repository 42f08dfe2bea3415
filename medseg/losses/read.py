"""Turns a network's output and a target into what every loss term reads."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch.nn import functional as F

from medseg.errors import LabelError, MedsegError

IGNORED = -100
"""What torch's cross-entropy passes over unless told otherwise."""


@dataclass(frozen=True)
class Scored:
    """One scale of one batch, as the terms read it.

    Attributes:
        logits: (B, C, *S), at least single precision.
        target: (B, C, *S), 0 or 1 in the logits' type; 0 in every channel of an ignored voxel.
        number: (B, *S), the true class of each voxel, `IGNORED` where it is ignored; None for regions.
        valid: (B, 1, *S), 0 where a voxel is ignored, or None where all count.
        weight: (C,), or None.
        regions: True where channels are independent sigmoids.
        include_background: False where channel 0 is left out of everything but cross-entropy.
    """

    logits: torch.Tensor
    target: torch.Tensor
    number: torch.Tensor | None
    valid: torch.Tensor | None
    weight: torch.Tensor | None
    regions: bool
    include_background: bool

    @cached_property
    def log_probabilities(self) -> torch.Tensor:
        """Logarithm of the softmax."""
        return self.logits.log_softmax(1)

    @cached_property
    def probabilities(self) -> torch.Tensor:
        """Softmax or sigmoid of the logits, 0 in ignored voxels."""
        if self.regions:
            p = self.logits.sigmoid()
        elif "log_probabilities" in self.__dict__:
            # Cross-entropy came first; its logarithms are the cheaper half of the way.
            p = self.log_probabilities.exp()
        else:
            p = self.logits.softmax(1)
        return p if self.valid is None else p * self.valid

    def foreground(self) -> slice:
        """The channels that count outside cross-entropy."""
        return slice(None) if self.include_background else slice(1, None)

    def counted_weight(self) -> torch.Tensor | None:
        """The weights of those channels."""
        return None if self.weight is None else self.weight[self.foreground()]


def scored(
    output: torch.Tensor,
    target: torch.Tensor,
    *,
    regions: bool,
    weight: torch.Tensor | str | None,
    ignore_label: int | None,
    include_background: bool,
) -> Scored:
    """What the terms read, from one scale's logits and the target on the same grid.

    Raises:
        MedsegError: shapes that do not fit, or a number of weights that is not the number of channels.
        LabelError: a target with a value that is no class of the network.
    """
    logits = output if output.dtype == torch.float64 else output.float()
    _check_shapes(logits, target, regions)
    number, one_hot, valid = _classes(target, logits, regions, ignore_label)
    weights = _batch_weights(one_hot) if isinstance(weight, str) else weight
    if weights is not None and len(weights) != logits.shape[1]:
        raise MedsegError(
            f"{len(weights)} class weights for a network with {logits.shape[1]} outputs",
            "one weight per output channel, the background's first",
            "correct weight",
        )
    weights = None if weights is None else weights.to(logits)
    return Scored(logits, one_hot, number, valid, weights, regions, include_background)


def _check_shapes(logits: torch.Tensor, target: torch.Tensor, regions: bool) -> None:
    channels = logits.shape[1] if regions else 1
    expected = (logits.shape[0], channels, *logits.shape[2:])
    if tuple(target.shape) != expected:
        kind = "one channel per region" if regions else "one channel of class numbers"
        raise MedsegError(
            f"a target of shape {tuple(target.shape)} for an output of shape {tuple(logits.shape)}",
            f"a target of shape {expected} ({kind})",
            "turn the label map into regions, or set regions"
            if regions or target.shape[1] > 1
            else "resample the target to the output's grid",
        )
    if not regions and logits.shape[1] == 1:
        raise MedsegError(
            "one output channel with regions=False",
            "two channels or more: softmax over one channel is always 1",
            "set regions=True, or give the network a channel for the background",
        )


def _classes(
    target: torch.Tensor, logits: torch.Tensor, regions: bool, ignore_label: int | None
) -> tuple[torch.Tensor | None, torch.Tensor, torch.Tensor | None]:
    """`number`, `target` and `valid` of `Scored`."""
    ignored = None if ignore_label is None else (target == ignore_label).any(1, keepdim=True)
    if ignored is not None:
        target = target.masked_fill(ignored, 0)
    _check_values(target, 2 if regions else logits.shape[1])
    valid = None if ignored is None else (~ignored).to(logits)
    if regions:
        one_hot = target.to(logits)
        return None, one_hot if valid is None else one_hot * valid, valid
    number, one_hot = target.long()[:, 0], _one_hot(target, logits)
    if ignored is None or valid is None:
        return number, one_hot, None
    return number.masked_fill(ignored[:, 0], IGNORED), one_hot * valid, valid


def _one_hot(target: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    n_classes = logits.shape[1]
    if n_classes > 8:
        return torch.zeros_like(logits).scatter_(1, target.long(), 1.0)
    # For few classes comparing bytes takes two thirds of the time of scattering.
    classes = torch.arange(n_classes, dtype=torch.uint8, device=target.device)
    return (target.to(torch.uint8) == classes.view(-1, *[1] * (target.ndim - 2))).to(logits)


def _check_values(target: torch.Tensor, n_values: int) -> None:
    if target.numel() == 0 or target.dtype == torch.bool:
        return
    if n_values == 2 and target.is_floating_point():
        # 0 for 0 and 1 alone, and NaN for NaN, which is one pass less than below.
        rest = torch.addcmul(target, target, target, value=-1)
        if all(float(v) == 0 for v in rest.aminmax()):
            return
    low, high = (float(v) for v in target.aminmax())
    # NaN fails the first comparison.
    fits = low >= 0 and high < n_values
    whole = not fits or not target.is_floating_point() or float(target.frac().max()) == 0
    if not fits or not whole:
        raise LabelError(
            f"target values from {low:g} to {high:g}" + ("" if whole else ", not all of them whole numbers"),
            f"whole numbers from 0 to {n_values - 1}",
            "correct the labels, the number of outputs, or ignore_label",
        )


def _batch_weights(one_hot: torch.Tensor) -> torch.Tensor:
    """Inverse of each channel's share of this batch, mean one over those that occur; 1 for the others."""
    counts = one_hot.sum([d for d in range(one_hot.ndim) if d != 1])
    occurs = counts > 0
    inverse = torch.where(occurs, 1 / counts.clamp(min=1), torch.zeros_like(counts))
    mean = inverse.sum() / occurs.sum().clamp(min=1)
    return torch.where(
        occurs, inverse / mean.clamp(min=torch.finfo(counts.dtype).tiny), torch.ones_like(counts)
    )


def to_grid(target: torch.Tensor, size: torch.Size) -> torch.Tensor:
    """The target on a coarser or finer grid by nearest neighbour, its values unchanged."""
    if target.shape[2:] == size:
        return target
    return F.interpolate(target.float(), size=tuple(size), mode="nearest-exact")
