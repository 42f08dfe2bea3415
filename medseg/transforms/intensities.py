"""What scanners do to intensities: noise, blur, contrast, gamma, bias field, low resolution.

Each draws one strength per visit, uniform between limits, and leaves shape and type as they are.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, RandomizableTransform
from torch.nn.functional import interpolate, pad

from medseg.transforms.splines import smooth_field
from medseg.transforms.tensors import like, plain

Range = Sequence[float]


class RandIntensityd(RandomizableTransform, MapTransform):
    """What the transforms of this room share: a chance, and a change of each image of shape (channel, …)."""

    def __init__(self, keys: KeysCollection, prob: float) -> None:
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, prob)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The case with its images changed, or as it was."""
        item = dict(data)
        self.randomize(None)
        if self._do_transform:
            for key in self.key_iterator(item):
                item[key] = like(self.changed(plain(item[key])), item[key])
        return item

    def changed(self, image: torch.Tensor) -> torch.Tensor:
        """Another tensor of the same shape and type."""
        raise NotImplementedError


class RandNoised(RandIntensityd):
    """Adds Gaussian noise whose standard deviation is uniform in `std`."""

    def __init__(self, keys: KeysCollection, prob: float = 0.1, std: Range = (0.0, 0.1)) -> None:
        super().__init__(keys, prob)
        self.std = tuple(std)

    def changed(self, image: torch.Tensor) -> torch.Tensor:
        """The image with noise."""
        seed = int(self.R.randint(2**31 - 1))
        noise = torch.randn(image.shape, generator=torch.Generator().manual_seed(seed), dtype=image.dtype)
        return torch.add(image, noise, alpha=self.R.uniform(*self.std))


class RandBlurd(RandIntensityd):
    """Blurs by a Gaussian whose standard deviation in voxels is uniform in `sigma`."""

    def __init__(self, keys: KeysCollection, prob: float = 0.1, sigma: Range = (0.5, 1.0)) -> None:
        super().__init__(keys, prob)
        self.sigma = tuple(sigma)

    def changed(self, image: torch.Tensor) -> torch.Tensor:
        """The blurred image; its edge continues outwards."""
        return blurred(image, self.R.uniform(*self.sigma))


def blurred(image: torch.Tensor, sigma: float) -> torch.Tensor:
    """The image under a Gaussian that is cut at 3 sigma and sums to 1; one axis after another."""
    radius = max(1, math.ceil(3 * sigma))
    weights = np.exp(-0.5 * (np.arange(radius + 1) / max(sigma, 1e-6)) ** 2)
    weights /= weights[0] + 2 * weights[1:].sum()
    for axis in range(1, image.ndim):
        n = image.shape[axis]
        around = [0, 0] * (image.ndim - 1 - axis) + [radius, radius]
        wide = pad(image[None], around + [0, 0] * (axis - 1), mode="replicate")[0]
        total = wide.narrow(axis, radius, n) * float(weights[0])
        for step in range(1, radius + 1):
            weight = float(weights[step])
            total.add_(wide.narrow(axis, radius - step, n), alpha=weight)
            total.add_(wide.narrow(axis, radius + step, n), alpha=weight)
        image = total
    return image


class RandContrastd(RandIntensityd):
    """Stretches each channel about its mean by a factor, and keeps it within the range it had."""

    def __init__(self, keys: KeysCollection, prob: float = 0.15, factor: Range = (0.75, 1.25)) -> None:
        super().__init__(keys, prob)
        self.factor = tuple(factor)

    def changed(self, image: torch.Tensor) -> torch.Tensor:
        """The image with another contrast."""
        axes = tuple(range(1, image.ndim))
        mean, factor = image.mean(axes, keepdim=True), self.R.uniform(*self.factor)
        stretched = torch.lerp(mean.expand_as(image), image, factor)
        return stretched.clamp(image.amin(axes, keepdim=True), image.amax(axes, keepdim=True))


class RandBrightnessd(RandIntensityd):
    """Multiplies all channels by one factor."""

    def __init__(self, keys: KeysCollection, prob: float = 0.15, factor: Range = (0.75, 1.25)) -> None:
        super().__init__(keys, prob)
        self.factor = tuple(factor)

    def changed(self, image: torch.Tensor) -> torch.Tensor:
        """The image with another brightness."""
        return image * self.R.uniform(*self.factor)


class RandGammad(RandIntensityd):
    """Takes each channel, scaled to 0 to 1, to the power gamma and back to its range; 1 leaves it alone."""

    def __init__(
        self, keys: KeysCollection, prob: float = 0.3, gamma: Range = (0.7, 1.5), inverted: float = 0.0
    ) -> None:
        super().__init__(keys, prob)
        self.gamma, self.inverted = tuple(gamma), inverted

    def changed(self, image: torch.Tensor) -> torch.Tensor:
        """The image with another gamma; with the chance `inverted` on the image turned upside down."""
        axes = tuple(range(1, image.ndim))
        low, high = image.amin(axes, keepdim=True), image.amax(axes, keepdim=True)
        span = (high - low).clamp_min(torch.finfo(image.dtype).tiny)
        gamma, is_inverted = self.R.uniform(*self.gamma), self.R.random() < self.inverted
        share = (image - low) / span
        share = 1 - (1 - share) ** gamma if is_inverted else share**gamma
        return share * span + low


class RandBiasd(RandIntensityd):
    """Multiplies by a smooth field, as a coil does, from ``exp(-strength)`` to ``exp(strength)``.

    The darkest voxel of each channel counts as zero, so that images with negative values are treated alike.
    """

    def __init__(self, keys: KeysCollection, prob: float = 0.15, strength: float = 0.3) -> None:
        super().__init__(keys, prob)
        self.strength = strength

    def changed(self, image: torch.Tensor) -> torch.Tensor:
        """The image under a bias field; all channels under the same one."""
        axes = tuple(range(1, image.ndim))
        control = self.R.uniform(-self.strength, self.strength, (1, *[5] * len(axes)))
        low = image.amin(axes, keepdim=True)
        return (image - low) * smooth_field(control, image.shape[1:]).exp().to(image.dtype) + low


class RandLowResolutiond(RandIntensityd):
    """Takes away detail: to a coarser grid by nearest neighbour, and back by linear interpolation.

    The recipe of nnU-Net (Isensee 2021, doi:10.1038/s41592-020-01008-z, supplementary note 2).
    """

    def __init__(self, keys: KeysCollection, prob: float = 0.25, zoom: Range = (0.5, 1.0)) -> None:
        super().__init__(keys, prob)
        self.zoom = tuple(zoom)

    def changed(self, image: torch.Tensor) -> torch.Tensor:
        """The image as a coarser scanner would have shown it."""
        zoom = self.R.uniform(*self.zoom)
        coarse = [max(1, round(n * zoom)) for n in image.shape[1:]]
        mode = {2: "bilinear", 3: "trilinear"}[image.ndim - 1]
        small = interpolate(image[None], size=coarse, mode="nearest-exact")
        return interpolate(small, size=image.shape[1:], mode=mode, align_corners=False)[0]
