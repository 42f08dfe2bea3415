"""A picture of the middle of a case, for the mosaic of the fingerprint's page."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import numpy.typing as npt

_EDGE = 128
_COLOURS = np.array(
    [
        [0, 0, 0],
        [230, 80, 60],
        [70, 160, 230],
        [240, 190, 50],
        [110, 200, 110],
        [190, 110, 220],
        [90, 210, 200],
    ],
    np.float32,
)


def mid_slice(volume: npt.NDArray[Any], label_map: npt.NDArray[Any] | None) -> str:
    """A PNG as base64: the slice with the largest labelled area, or the middle one, labels in colour."""
    from PIL import Image

    image = volume if volume.ndim == 3 else volume[..., None]
    fits = label_map is not None and label_map.size == image.size
    labels = (
        label_map.reshape(image.shape) if fits and label_map is not None else np.zeros(image.shape, np.uint8)
    )
    area = (labels != 0).reshape(-1, image.shape[2]).sum(0)
    at = int(area.argmax()) if area.any() else image.shape[2] // 2
    flat, drawn = np.nan_to_num(image[..., at].astype(np.float32)), labels[..., at]
    low, high = np.percentile(flat, (1, 99.5))
    grey = np.clip((flat - low) / max(high - low, 1e-9), 0, 1)[..., None] * np.full(3, 255, np.float32)
    names = np.unique(drawn[drawn != 0])
    for order, number in enumerate(names):
        colour = _COLOURS[1 + order % (len(_COLOURS) - 1)]
        grey[drawn == number] = 0.55 * grey[drawn == number] + 0.45 * colour
    rows = np.swapaxes(grey, 0, 1)
    # A volume's second axis mostly points to the front or the back; a picture's first row is its top.
    picture = Image.fromarray((rows[::-1] if volume.ndim == 3 else rows).astype(np.uint8))
    picture.thumbnail((_EDGE, _EDGE))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()
