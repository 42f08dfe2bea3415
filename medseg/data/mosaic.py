"""A picture of the middle of a case, for the mosaic of the fingerprint's page."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import numpy.typing as npt

from medseg.data.reading import Image

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


def mid_slice(image: Image, volume: npt.NDArray[Any], label: Image | None) -> str:
    """A PNG as base64: the slice with the largest labelled area, or the middle one, labels in colour.

    A volume is cut across its thickest axis and drawn to scale, as radiologists see it: the patient's right
    on the left, front or head up. The label map is laid over it by its own header.

    Args:
        image: whose header holds; `volume` is one channel of it.
        volume: shape (x, y, z) or (x, y).
        label: the label map, left out of the picture where its shape is another one.
    """
    from PIL import Image as Picture

    grey, spacing = _upright(image, volume)
    drawn = None if label is None else _upright(label, _one_channel(label))[0]
    if drawn is None or drawn.shape != grey.shape:
        drawn = np.zeros(grey.shape, np.uint8)
    if grey.ndim == 3:
        axis = int(np.argmax(spacing)) if max(spacing) > 1.5 * min(spacing) else 2
        area = (drawn != 0).sum(tuple(a for a in range(3) if a != axis))
        at = int(area.argmax()) if area.any() else grey.shape[axis] // 2
        grey, drawn = grey.take(at, axis), drawn.take(at, axis)
        spacing = tuple(s for a, s in enumerate(spacing) if a != axis)
        grey, drawn = grey[::-1, ::-1], drawn[::-1, ::-1]
    size = np.array(grey.shape) * spacing
    size = np.maximum(1, np.rint(size * _EDGE / size.max())).astype(int)
    picture = Picture.fromarray(np.swapaxes(_coloured(grey, drawn), 0, 1))
    buffer = io.BytesIO()
    picture.resize((int(size[0]), int(size[1]))).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def _one_channel(image: Image) -> npt.NDArray[Any]:
    return image.array[..., 0] if image.channels > 1 else image.array.reshape(image.shape)


def _upright(image: Image, volume: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], tuple[float, ...]]:
    """The volume with its axes to the right, the front and the head, and its spacing along them."""
    import nibabel as nib

    if volume.ndim != 3 or not image.has_grid:
        return volume, image.spacing_mm[: volume.ndim]
    turn = nib.io_orientation(image.affine)
    if np.any(np.isnan(turn)):
        return volume, image.spacing_mm
    spacing = np.empty(3)
    spacing[turn[:, 0].astype(int)] = image.spacing_mm
    return nib.orientations.apply_orientation(volume, turn), tuple(spacing)


def _coloured(grey: npt.NDArray[Any], drawn: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    flat = np.nan_to_num(grey.astype(np.float32), posinf=0, neginf=0)
    low, high = np.percentile(flat, (1, 99.5))
    out = np.clip((flat - low) / max(high - low, 1e-9), 0, 1)[..., None] * np.full(3, 255, np.float32)
    for order, number in enumerate(np.unique(drawn[drawn != 0])):
        colour = _COLOURS[1 + order % (len(_COLOURS) - 1)]
        out[drawn == number] = 0.55 * out[drawn == number] + 0.45 * colour
    return out.astype(np.uint8)
