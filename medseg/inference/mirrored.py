"""MONAI's sliding window, with every window seen from its mirrored sides too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from monai.inferers import SlidingWindowInferer

from medseg.errors import BundleError
from medseg.inference.averaging import Mirroring, averaged
from medseg.inference.decision import Decision


class MirroredWindowInferer(SlidingWindowInferer):
    """Mean probabilities of a network over mirrored views, blended from windows as MONAI does.

    To a network that was trained with flips a mirrored scan is one more scan, and the mean of its opinions
    errs less than one of them; it costs ``2 ** len(mirror_axes)`` networks. It returns probabilities,
    so the post-processing begins with ``Invertd`` and ``AsDiscreted``, without ``Activationsd``. ``medseg
    predict`` gives the same labels by its own engine.

    Args:
        roi_size: window in voxels or pixels.
        mirror_axes: axes of space that are mirrored, in all combinations.
        activation: ``softmax``, ``sigmoid``, or ``none`` for a network that gives probabilities.
        left_right_axis: the mirrored axis on which left becomes right.
        swapped_channels: pairs of channels that swap with it.
        sw_batch_size, overlap, mode, sigma_scale, padding_mode, cval: as for ``SlidingWindowInferer``.

    Raises:
        BundleError: an activation that is not known, or an axis that is not there.
    """

    gives_probabilities = True

    def __init__(
        self,
        roi_size: Sequence[int],
        *,
        mirror_axes: Sequence[int],
        activation: str = "softmax",
        left_right_axis: int | None = None,
        swapped_channels: Sequence[Sequence[int]] = (),
        sw_batch_size: int = 1,
        overlap: float | Sequence[float] = 0.25,
        mode: str = "constant",
        sigma_scale: float | Sequence[float] = 0.125,
        padding_mode: str = "constant",
        cval: float = 0.0,
    ) -> None:
        decision = Decision(activation)  # type: ignore[arg-type]
        axes = tuple(int(axis) for axis in mirror_axes)
        if len(set(axes)) < len(axes) or any(not 0 <= axis < len(roi_size) for axis in axes):
            found = f"mirror_axes {list(axes)} of a window with {len(roi_size)} axes"
            raise BundleError(found, "axes of space, from 0 on, each once", "mend the config")
        super().__init__(
            roi_size,
            sw_batch_size=sw_batch_size,
            overlap=overlap,
            mode=mode,
            sigma_scale=sigma_scale,
            padding_mode=padding_mode,
            cval=cval,
        )
        pairs = tuple((int(a), int(b)) for a, b in swapped_channels)
        self.mirroring = Mirroring(axes, left_right_axis, pairs)
        self.decision = decision

    def __call__(self, inputs: torch.Tensor, network: Any, *args: Any, **kwargs: Any) -> Any:
        """Probabilities of scans of shape (batch, channel, …), on the same grid.

        Args:
            inputs: preprocessed scans.
            network: from windows to scores of shape (batch, channel, …).
            args: further arguments of the network.
            kwargs: further arguments of the network.
        """
        mean = averaged([lambda x: network(x, *args, **kwargs)], self.decision, self.mirroring)
        return super().__call__(inputs, mean)
