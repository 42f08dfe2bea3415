"""Terms that are a mean over voxels: cross-entropy and focal."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.losses.focal_loss import sigmoid_focal_loss, softmax_focal_loss
from torch.nn import functional as F

from medseg.losses.read import Scored


def cross_entropy(scored: Scored, label_smoothing: float = 0.0) -> torch.Tensor:
    """Mean of -log p of the true class (torch's, over the voxels' weights), or of the regions' binary one.

    Zero where every voxel is ignored.
    """
    if scored.regions:
        smooth = scored.target * (1 - label_smoothing) + 0.5 * label_smoothing
        loss = F.binary_cross_entropy_with_logits(scored.logits, smooth, reduction="none")
        return _mean(scored, loss, scored.weight)
    number = scored.target.argmax(1)
    loss = F.cross_entropy(
        scored.logits, number, weight=scored.weight, reduction="none", label_smoothing=label_smoothing
    )
    share = torch.ones_like(loss) if scored.weight is None else scored.weight[number]
    if scored.valid is not None:
        loss, share = loss * scored.valid[:, 0], share * scored.valid[:, 0]
    return loss.sum() / share.sum().clamp(min=torch.finfo(share.dtype).tiny)


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
