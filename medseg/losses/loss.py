"""One module that any named loss is: terms, their factors, and the scales of deep supervision."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import nn

from medseg.errors import MedsegError
from medseg.losses.read import Scored, scored, to_grid


class Loss(nn.Module):
    """A sum of terms over one or several scales; `build` makes it.

    Takes logits (B, C, *S), a list of such from fine to coarse, or a stack (B, K, C, *S) as MONAI's DynUNet
    gives in training; and one target. Half precision is computed in single precision, double in double.
    """

    weight: torch.Tensor | None

    def __init__(
        self,
        terms: Sequence[tuple[float, Callable[[Scored], torch.Tensor]]],
        *,
        regions: bool = False,
        weight: Sequence[float] | str | None = None,
        ignore_label: int | None = None,
        include_background: bool = True,
        deep_supervision: bool | Sequence[float] = True,
    ) -> None:
        super().__init__()
        self.terms = tuple(terms)
        self.regions, self.ignore_label, self.include_background = regions, ignore_label, include_background
        self.weight_from_batch = isinstance(weight, str)
        given = (
            None
            if weight is None or isinstance(weight, str)
            else torch.as_tensor(weight, dtype=torch.float64)
        )
        self.register_buffer("weight", given, persistent=False)
        self.deep_supervision = deep_supervision

    def forward(self, output: torch.Tensor | Sequence[torch.Tensor], target: torch.Tensor) -> torch.Tensor:
        """A scalar; the weighted mean over scales where there are several."""
        target = target.as_subclass(torch.Tensor)
        scales = self._scales(output, target)
        factors = self._scale_weights(len(scales))
        # Under autocast softmax and sums would otherwise be free to fall back to half precision.
        with torch.autocast(target.device.type, enabled=False):
            values = [f * self._one_scale(o, target) for o, f in zip(scales, factors, strict=True) if f > 0]
        return torch.stack(values).sum()

    def _one_scale(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        read = scored(
            output.as_subclass(torch.Tensor),
            to_grid(target, output.shape[2:]),
            regions=self.regions,
            weight="batch" if self.weight_from_batch else self.weight,
            ignore_label=self.ignore_label,
            include_background=self.include_background,
        )
        return torch.stack([factor * term(read) for factor, term in self.terms]).sum()

    def _scales(
        self, output: torch.Tensor | Sequence[torch.Tensor], target: torch.Tensor
    ) -> list[torch.Tensor]:
        if isinstance(output, torch.Tensor):
            scales = list(output.unbind(1)) if output.ndim == target.ndim + 1 else [output]
        else:
            scales = list(output)
        if not scales or (len(scales) > 1 and self.deep_supervision is False):
            raise MedsegError(
                f"{len(scales)} scales of output",
                "one scale, because deep_supervision is off",
                "build the network without deep supervision, or the loss with it",
            )
        return scales

    def _scale_weights(self, n: int) -> list[float]:
        if isinstance(self.deep_supervision, bool):
            weights = [0.5**i for i in range(n)]
        else:
            weights = [float(w) for w in self.deep_supervision] if n > 1 else [1.0]
            if len(weights) != n:
                raise MedsegError(
                    f"deep_supervision={weights} for {n} scales",
                    f"{n} weights",
                    "give one weight for each scale that the network returns",
                )
        return [w / sum(weights) for w in weights]
