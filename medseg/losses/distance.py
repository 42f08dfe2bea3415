"""Terms that weigh a voxel by its distance to the true border: boundary and Hausdorff.

Distances are in voxels of the patch. Both need another term beside them early in training: they are flat
where a structure is far off (`dice_boundary`, `dice_hausdorff`).
"""

from __future__ import annotations

import torch
from monai.losses import BoundaryLoss, HausdorffDTLoss

from medseg.losses.read import Scored


def boundary(scored: Scored) -> torch.Tensor:
    """Mean of probability times signed distance to the true border (Kervadec 2019, equation 5); MONAI's.

    Negative inside, so the best value is below zero. A class that fills none or all of a case gives 0.
    """
    p, target = scored.probabilities, scored.target
    channels = scored.foreground()
    per_class: torch.Tensor = BoundaryLoss(reduction="none")(p[:, channels], target[:, channels])
    return _weighted_mean(scored, per_class)


def hausdorff(scored: Scored, exponent: float = 2.0) -> torch.Tensor:
    """Squared error times (distance to either border)^exponent (Karimi 2019, equation 8); MONAI's.

    A border that does not exist adds 0, so an empty target leaves the distances of the prediction alone.
    """
    p, target = scored.probabilities, scored.target
    channels = scored.foreground()
    loss = HausdorffDTLoss(alpha=exponent, include_background=True, reduction="none")
    per_class: torch.Tensor = loss(p[:, channels], target[:, channels])
    return _weighted_mean(scored, per_class.flatten(1))


def _weighted_mean(scored: Scored, per_class: torch.Tensor) -> torch.Tensor:
    weight = scored.counted_weight()
    return per_class.mean() if weight is None else (per_class * weight).mean()
