"""Terms that are a mean over voxels: cross-entropy and focal."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.losses.focal_loss import sigmoid_focal_loss, softmax_focal_loss
from torch.nn import functional as F

from medseg.losses.read import IGNORED, Scored


def cross_entropy(scored: Scored, label_smoothing: float = 0.0) -> torch.Tensor:
    """Mean of -log p of the true class (torch's, over the voxels' weights), or of the regions' binary one.

    Zero where every voxel is ignored.
    """
    if scored.number is None:
        return _mean(scored, _binary(scored, label_smoothing), scored.weight)
    logits, number, weight = scored.logits, scored.number, scored.weight
    if label_smoothing > 0:
        total = F.cross_entropy(
            logits, number, weight, ignore_index=IGNORED, reduction="sum", label_smoothing=label_smoothing
        )
    else:
        total = F.nll_loss(scored.log_probabilities, number, weight, ignore_index=IGNORED, reduction="sum")
    return total / _share(scored)


def _share(scored: Scored) -> torch.Tensor | int:
    """The sum of the weights of the voxels that count."""
    if scored.weight is None and scored.valid is None:
        return scored.target[:, 0].numel()
    counts = scored.target.sum([0, *range(2, scored.target.ndim)])
    share = counts.sum() if scored.weight is None else (counts * scored.weight).sum()
    return share.clamp(min=torch.finfo(share.dtype).tiny)


def _binary(scored: Scored, label_smoothing: float) -> torch.Tensor:
    """torch's binary cross-entropy with logits per voxel, for targets of 0 and 1 alone, in half its time."""
    # log(1 + exp(-x)) inside and log(1 + exp(x)) outside are one softplus, exact at either end.
    against = torch.addcmul(scored.logits, scored.logits, scored.target, value=-2)
    loss = F.softplus(against)
    return loss if label_smoothing == 0 else loss - 0.5 * label_smoothing * against


def focal(scored: Scored, gamma: float = 2.0, alpha: float | Sequence[float] | None = None) -> torch.Tensor:
    """Mean over voxels and channels of (1-p)^gamma times cross-entropy (Lin 2017, equation 5); MONAI's.

    Softmax for labels, sigmoid for regions. `alpha`: MONAI's; a weight per channel, or alpha for the
    foreground and 1 - alpha for the background.
    """
    terms = sigmoid_focal_loss if scored.regions else softmax_focal_loss
    factor = torch.as_tensor(alpha).to(scored.logits) if isinstance(alpha, Sequence) else alpha
    loss = terms(scored.logits, scored.target, gamma, factor)[:, scored.foreground()]
    return _mean(scored, loss, scored.counted_weight())


def _mean(scored: Scored, loss: torch.Tensor, weight: torch.Tensor | None) -> torch.Tensor:
    """Mean over what is not ignored; weights multiply and do not divide, as in MONAI."""
    if weight is not None:
        loss = loss * weight.view(1, -1, *[1] * (loss.ndim - 2))
    if scored.valid is None:
        return loss.mean()
    return (loss * scored.valid).sum() / (scored.valid.sum() * loss.shape[1]).clamp(min=1)
