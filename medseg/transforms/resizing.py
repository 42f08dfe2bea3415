"""Pictures brought to the network's size and back, without the false patterns of plain interpolation."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import InvertibleTransform, MapTransform
from monai.utils import ensure_tuple
from torch.nn.functional import interpolate

from medseg.transforms.tensors import plain


class ResizePictured(MapTransform, InvertibleTransform):
    """Resizes pictures to one size, whatever their own; ``Invertd`` brings scores back to the picture's size.

    Made smaller, each pixel is a weighted mean of all that it covers (as Pillow's ``resize`` with bilinear
    filter), so that hairs of one pixel don't turn into dots; MONAI's ``Resized`` blurs with a Gaussian, which
    takes seconds at 24 megapixels. Labels take the nearest pixel. Scores come back by linear interpolation.

    Args:
        keys: of images with shape (channel, x, y) or (channel, x, y, z).
        size: pixels along each axis.
        label_keys: those of `keys` that hold labels.
    """

    def __init__(
        self,
        keys: KeysCollection,
        size: Sequence[int],
        *,
        label_keys: KeysCollection = "label",
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.size, self.label_keys = [int(n) for n in size], set(ensure_tuple(label_keys))

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The case at the network's size."""
        case = dict(data)
        for key in self.key_iterator(case):
            image = case[key]
            own = [int(n) for n in image.shape[1:]]
            pixels = resized(plain(image), self.size, nearest=key in self.label_keys)
            meta = image.meta if isinstance(image, MetaTensor) else None
            done = image.applied_operations if isinstance(image, MetaTensor) else None
            case[key] = MetaTensor(pixels, meta=meta, applied_operations=done)
            self.push_transform(case[key], orig_size=own)
        return case

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The case at its own size again."""
        case = dict(data)
        for key in self.key_iterator(case):
            own = self.pop_transform(case[key])["orig_size"]
            pixels = resized(plain(case[key]), own, nearest=key in self.label_keys)
            case[key] = MetaTensor(
                pixels, meta=case[key].meta, applied_operations=case[key].applied_operations
            )
        return case


def resized(image: torch.Tensor, size: Sequence[int], *, nearest: bool = False) -> torch.Tensor:
    """An image of shape (channel, x, y[, z]) at another size; pixels are areas, so the borders coincide."""
    wanted = [int(n) for n in size]
    if list(image.shape[1:]) == wanted:
        return image
    if nearest:
        return interpolate(image.float()[None], wanted, mode="nearest-exact")[0].to(image.dtype)
    linear = "trilinear" if len(wanted) == 3 else "bilinear"
    # torch 2.13 knows antialiasing in 2D only.
    return interpolate(
        image.float()[None], wanted, mode=linear, align_corners=False, antialias=len(wanted) == 2
    )[0]
