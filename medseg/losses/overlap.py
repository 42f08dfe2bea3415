"""Terms that compare areas: Dice, generalised Dice, Tversky, focal Tversky and Lovász."""

from __future__ import annotations

import torch
from monai.losses import DiceLoss, GeneralizedDiceLoss, TverskyLoss

from medseg.losses.read import Scored


def dice(
    scored: Scored, squared_pred: bool = False, batch: bool = False, smooth: float = 1e-5
) -> torch.Tensor:
    """1 - Dice per class and case (per class over the batch where `batch`), averaged; MONAI's `DiceLoss`.

    `smooth` is added above and below: a class that is in neither gives 0. `squared_pred` squares the
    denominator (Milletari 2016).
    """
    p, target = _areas(scored)
    loss = DiceLoss(
        squared_pred=squared_pred, batch=batch, smooth_nr=smooth, smooth_dr=smooth, reduction="none"
    )
    per_class: torch.Tensor = loss(p, target).reshape(-1, p.shape[1])
    return _weighted_mean(per_class, scored.counted_weight())


def generalised_dice(scored: Scored, batch: bool = False, smooth: float = 1e-5) -> torch.Tensor:
    """1 - Dice of all classes at once, each over its squared volume (Sudre 2017); MONAI's.

    A class that does not occur gets the largest weight of those that do. Class weights multiply.
    """
    loss = _WeightedGeneralizedDice(batch=batch, smooth_nr=smooth, smooth_dr=smooth)
    loss.class_weight = scored.counted_weight()
    value: torch.Tensor = loss(*_areas(scored))
    return value


class _WeightedGeneralizedDice(GeneralizedDiceLoss):
    """MONAI's with a factor per class, in the one place where its own weights are made."""

    class_weight: torch.Tensor | None = None

    def w_func(self, grnd: torch.Tensor) -> torch.Tensor:
        """MONAI's inverse squared volume times the class weight; 0 stays 0 for an absent class."""
        w: torch.Tensor = super().w_func(grnd)
        if self.class_weight is None:
            return w
        return torch.where(self.class_weight > 0, w * self.class_weight, torch.zeros_like(w))


def tversky(
    scored: Scored, alpha: float = 0.3, beta: float = 0.7, batch: bool = False, smooth: float = 1e-5
) -> torch.Tensor:
    """1 - TP / (TP + alpha FP + beta FN), averaged; MONAI's `TverskyLoss` (Salehi 2017).

    The defaults weigh a missed voxel over a false one, the paper's best; at 1/2 and 1/2 it is Dice.
    """
    return _weighted_mean(_tversky_per_class(scored, alpha, beta, batch, smooth), scored.counted_weight())


def focal_tversky(
    scored: Scored,
    alpha: float = 0.3,
    beta: float = 0.7,
    gamma: float = 4 / 3,
    batch: bool = False,
    smooth: float = 1e-5,
) -> torch.Tensor:
    """Mean of (1 - Tversky index)^(1/gamma) (Abraham 2019, equation 4)."""
    per_class = _tversky_per_class(scored, alpha, beta, batch, smooth)
    # The root's slope is infinite at 0; a perfect class must not spoil the others' gradient.
    return _weighted_mean(per_class.clamp(min=1e-7) ** (1 / gamma), scored.counted_weight())


def _tversky_per_class(scored: Scored, alpha: float, beta: float, batch: bool, smooth: float) -> torch.Tensor:
    loss = TverskyLoss(
        alpha=alpha, beta=beta, batch=batch, smooth_nr=smooth, smooth_dr=smooth, reduction="none"
    )
    value: torch.Tensor = loss(*_areas(scored))
    return value


def lovasz(scored: Scored, batch: bool = True) -> torch.Tensor:
    """The Lovász extension of 1 - Jaccard (Berman 2018, algorithm 1) over the classes that occur, averaged.

    Errors are |target - probability|, so that a hard prediction's loss is exactly 1 - Jaccard. `batch`
    takes all voxels of the batch as one image, the paper's default; 0 where no class occurs.
    """
    p, target = _areas(scored)
    groups = [(p, target)] if batch else list(zip(p.split(1), target.split(1), strict=True))
    weight = scored.counted_weight()
    losses = []
    for case_p, case_target in groups:
        fg = case_target.transpose(0, 1).flatten(1)
        errors = (fg - case_p.transpose(0, 1).flatten(1)).abs()
        present = (fg.sum(1) > 0).to(p)
        per_class = _lovasz_extension(errors, fg) * present
        per_class = per_class if weight is None else per_class * weight
        losses.append(per_class.sum() / present.sum().clamp(min=1))
    return torch.stack(losses).mean()


def _lovasz_extension(errors: torch.Tensor, fg: torch.Tensor) -> torch.Tensor:
    """Per row: sorted errors times the growth of the Jaccard loss as each voxel is got wrong."""
    errors, order = errors.sort(dim=1, descending=True)
    fg = fg.gather(1, order)
    total = fg.sum(1, keepdim=True)
    jaccard = 1 - (total - fg.cumsum(1)) / (total + (1 - fg).cumsum(1))
    growth = torch.cat([jaccard[:, :1], jaccard[:, 1:] - jaccard[:, :-1]], 1)
    return (errors * growth).sum(1)


def _areas(scored: Scored) -> tuple[torch.Tensor, torch.Tensor]:
    channels = scored.foreground()
    return scored.probabilities[:, channels], scored.target[:, channels]


def _weighted_mean(per_class: torch.Tensor, weight: torch.Tensor | None) -> torch.Tensor:
    """MONAI's way: weights multiply, the mean is plain. Last axis: classes."""
    return per_class.mean() if weight is None else (per_class * weight).mean()
