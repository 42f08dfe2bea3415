"""Normalisations that keep float32's digits where a runtime sums a whole window in one go."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F


class SteadyNorm(torch.nn.Module):
    """The same numbers as InstanceNorm or GroupNorm in eval mode, by the mean of means of lines.

    OpenVINO sums all voxels of a channel one after the other in float32. Where they are alike, as in the
    background of a scan, each addition is rounded the same way: with 48x48x48 voxels it was off by 1e-5 of
    the result, a hundred times torch's error. A mean along one axis after the other sums few at a time.
    """

    def __init__(self, norm: torch.nn.GroupNorm | torch.nn.modules.instancenorm._InstanceNorm) -> None:
        super().__init__()
        self.n_groups = norm.num_groups if isinstance(norm, torch.nn.GroupNorm) else None
        self.eps, self.weight, self.bias = norm.eps, norm.weight, norm.bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalised scores of shape (batch, channel, …)."""
        shape = (1, -1, *[1] * (x.ndim - 2))
        centred = x - self._of_groups(_mean(x))
        scale = torch.rsqrt(self._of_groups(_mean(centred * centred)) + self.eps)
        if self.weight is None:
            return centred * scale
        return centred * (scale * self.weight.view(shape)) + self.bias.view(shape)

    def _of_groups(self, means: torch.Tensor) -> torch.Tensor:
        """The mean of each channel's group; reshaping the large tensors would reorder their values."""
        if self.n_groups is None:
            return means
        grouped = means.flatten(1).unflatten(1, (self.n_groups, -1))
        return grouped.mean(2, keepdim=True).expand_as(grouped).reshape(means.shape)


def _mean(x: torch.Tensor) -> torch.Tensor:
    """Over all axes from the third on, the last one first.

    That one by pooling: OpenVINO would take one mean of means for a mean of all, and sum in one go again.
    """
    pool = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[x.ndim - 3]
    lines = pool(x, (*[1] * (x.ndim - 3), x.shape[-1]))
    return lines.mean(tuple(range(2, x.ndim)), keepdim=True)


def steady(network: torch.nn.Module) -> torch.nn.Module:
    """A copy of the network with its normalisations by instance and group as `SteadyNorm`."""
    return _replaced(copy.deepcopy(network).eval())


def _replaced(module: torch.nn.Module) -> torch.nn.Module:
    if isinstance(module, torch.nn.GroupNorm):
        return SteadyNorm(module)
    # With running statistics there is nothing to sum.
    if isinstance(module, torch.nn.modules.instancenorm._InstanceNorm) and not module.track_running_stats:
        return SteadyNorm(module)
    for name, child in module.named_children():
        setattr(module, name, _replaced(child))
    return module
