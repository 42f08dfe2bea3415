"""The engine as a MONAI inferer: from a preprocessed volume straight to labels on the scan's own grid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.data.utils import list_data_collate, to_affine_nd
from monai.inferers import Inferer

from medseg.errors import GeometryError
from medseg.inference.averaging import Mirroring
from medseg.inference.convolutions import ByOneDnn
from medseg.inference.decision import Decision
from medseg.inference.engine import label_blocks, label_volume
from medseg.inference.plan import Plan
from medseg.inference.slabs import VolumeSource
from medseg.inference.wayback import WayBack, boxes_of, way_back
from medseg.inference.windows import Windows


class LabelMapInferer(Inferer):
    """Labels on the scan's own grid; does what ``SlidingWindowInferer``, ``Invertd`` and ``AsDiscreted`` do.

    Same labels as the three, without an array of classes by volume. For ``inferer`` in a bundle's config; its
    ``postprocessing`` then begins with label maps.

    Args:
        roi_size: window in voxels; for a 2D network over slices with 1 along ``slice_axis``.
        overlap: share of a window that the next one covers.
        mode: ``gaussian`` or ``constant``.
        sw_batch_size: windows that go through the network together.
        cval: what a volume smaller than the window is padded with.
        skip_below: windows with no voxel above it in any channel are background unseen.
        activation: ``softmax``, ``sigmoid`` or ``none``, before interpolation.
        threshold: each channel is a region of its own and holds where its score is at least this.
        numbers: label number per channel; class indices if left out.
        mirror_axes: averaged over mirrored views.
        left_right_axis: the mirrored axis that swaps ``swapped_channels``.
        slice_axis: of the network's grid, for a 2D network.
    """

    def __init__(
        self,
        roi_size: Sequence[int],
        overlap: float | Sequence[float] = 0.5,
        mode: str = "gaussian",
        *,
        sigma_scale: float = 0.125,
        sw_batch_size: int = 1,
        cval: float = 0.0,
        skip_below: float | None = None,
        activation: str = "softmax",
        threshold: float | None = None,
        numbers: Sequence[int] | None = None,
        mirror_axes: Sequence[int] = (),
        left_right_axis: int | None = None,
        swapped_channels: Sequence[Sequence[int]] = (),
        slice_axis: int | None = None,
    ) -> None:
        overlaps = overlap if isinstance(overlap, (int, float)) else tuple(overlap)
        windows = Windows(tuple(roi_size), overlaps, mode, sigma_scale, sw_batch_size, cval, skip_below)
        decision = Decision(activation, threshold, tuple(numbers) if numbers else None)  # type: ignore[arg-type]
        pairs = tuple((int(a), int(b)) for a, b in swapped_channels)
        mirroring = Mirroring(tuple(mirror_axes), left_right_axis, pairs) if mirror_axes else None
        self.plan = Plan(windows, decision, mirroring, slice_axis)

    def __call__(self, inputs: torch.Tensor, network: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Labels of one preprocessed scan with its trace, shape (1, 1, x, y, z), on the scan's grid."""
        if not isinstance(inputs, MetaTensor) or inputs.shape[0] != 1:
            raise GeometryError(
                f"a {type(inputs).__name__} with a batch of {inputs.shape[0]}",
                "one scan that knows its grid (MetaTensor)",
                "set batch_size: 1 and keep MONAI's metadata",
            )
        image = inputs[0]
        way = way_of(image)

        def scores(windows: torch.Tensor) -> torch.Tensor:
            with ByOneDnn():
                return network(windows, *args, **kwargs)

        blocks = label_blocks(
            VolumeSource(torch.as_tensor(image)),
            self.plan.scoring([scores]),
            self.plan.windows,
            way,
            self.plan.deciding(),
            device=inputs.device,
        )
        labels = torch.from_numpy(label_volume(blocks, way.shape, np.int32))[None]
        meta = {**image.meta, "affine": _affine(image.meta["original_affine"])}
        return list_data_collate([MetaTensor(labels, meta=meta)])


def way_of(image: MetaTensor) -> WayBack:
    """The way back of a preprocessed scan, from the trace that MONAI's transforms left; shape (channel, …).

    Raises:
        GeometryError: the trace holds something that the engine can't undo.
    """
    shape = tuple(image.shape[1:])
    native = image.meta.get("spatial_shape")
    if native is None or "original_affine" not in image.meta:
        raise GeometryError("a volume without its scan's grid", "LoadImaged's metadata", "keep track_meta on")
    return way_back(
        np.asarray(_affine(image.meta["original_affine"])),
        [int(n) for n in np.asarray(native)[: len(shape)]],
        np.asarray(_affine(image.affine)),
        shape,
        boxes=boxes_of(image.applied_operations, shape),
    )


def _affine(affine: Any) -> torch.Tensor:
    return torch.as_tensor(to_affine_nd(3, torch.as_tensor(np.asarray(affine), dtype=torch.float64)))
