"""Mirror images whose left structures become right ones."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, RandomizableTransform
from monai.utils import ensure_tuple

from medseg.errors import LabelError
from medseg.transforms.tensors import like, plain


class RandFlipPairsd(RandomizableTransform, MapTransform):
    """Mirrors image and label map, and exchanges the labels of left and right structures.

    A mirrored left kidney is a right one: without the exchange a network learns that either may be on either
    side (the oldest complaint about nnU-Net's mirroring). Only for the axis that runs from left to right; in
    RAS orientation that is axis 0.

    Args:
        keys: what is mirrored.
        label_keys: those of `keys` that hold label maps of shape (1, x, y[, z]).
        pairs: of structures, by name as in `labels`, or by number.
        labels: name to number; needed where pairs are named.
        spatial_axis: the axis from left to right.
        prob: of a flip.

    Raises:
        LabelError: a pair names something that `labels` doesn't, isn't two, or shares a member with another.
    """

    def __init__(
        self,
        keys: KeysCollection,
        label_keys: KeysCollection = "label",
        *,
        pairs: Sequence[Sequence[str | int]],
        labels: Mapping[str, int] | None = None,
        spatial_axis: int = 0,
        prob: float = 0.5,
    ) -> None:
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, prob)
        self.label_keys = set(ensure_tuple(label_keys))
        self.pairs = _numbered(pairs, labels or {})
        self.spatial_axis = spatial_axis

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The case or its mirror image."""
        item = dict(data)
        self.randomize(None)
        if self._do_transform:
            for key in self.key_iterator(item):
                flipped = torch.flip(plain(item[key]), [self.spatial_axis + 1])
                if key in self.label_keys:
                    flipped = exchanged(flipped, self.pairs)
                item[key] = like(flipped, item[key])
        return item


def exchanged(label: torch.Tensor, pairs: Sequence[tuple[int, int]]) -> torch.Tensor:
    """A label map with the two numbers of each pair exchanged."""
    result = label.clone()
    for left, right in pairs:
        result[label == left] = right
        result[label == right] = left
    return result


def _numbered(pairs: Sequence[Sequence[str | int]], labels: Mapping[str, int]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for pair in pairs:
        unknown = [member for member in pair if isinstance(member, str) and member not in labels]
        if len(pair) != 2 or unknown:
            raise LabelError(
                f"the pair {list(pair)}",
                f"two of {', '.join(labels) or 'the label numbers'}",
                "correct `pairs`, or give `labels`",
            )
        left, right = (labels[m] if isinstance(m, str) else int(m) for m in pair)
        found.append((left, right))
    members = [member for pair in found for member in pair]
    if len(set(members)) < len(members):
        raise LabelError(f"pairs {found}", "each structure in one pair at most", "correct `pairs`")
    return found
