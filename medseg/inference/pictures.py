"""Pictures made to fit a bundle: colours to its channels, and a file that MONAI's PILReader reads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from medseg.data.reading import Image
from medseg.errors import DataError

# The EXIF tag that says how a picture is turned.
ORIENTATION = 0x0112
# ITU-R BT.601, as Pillow's own conversion to grey.
LUMA = np.array([0.299, 0.587, 0.114])


def in_true_colours(image: Image, source: Path | None) -> Image:
    """The picture with the colours of its palette, where the file has one and the pixels are its indices."""
    from PIL import Image as Pillow
    from PIL import ImageOps

    if source is None or image.kind != "picture" or image.array.ndim != 2:
        return image
    with Pillow.open(source) as picture:
        if picture.mode != "P":
            return image
        colours = np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))
    return replace(image, array=np.swapaxes(colours, 0, 1), is_rgb=True)


def fitted(image: Image, n_channels: int) -> tuple[Image, list[str]]:
    """The picture with so many channels where its colours can be made to fit, and what was done.

    Alpha is dropped. Grey is repeated for a bundle of colours; colours that are all grey become one channel,
    true ones their luminance, which is told.

    Args:
        n_channels: 1 or 3; anything else leaves the colours as they are.
    """
    array, notes = image.array, []
    if array.ndim == 3 and array.shape[2] in (2, 4):
        array = array[:, :, : array.shape[2] - 1]
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if n_channels == 3 and array.ndim == 2:
        array = np.repeat(array[:, :, None], 3, axis=2)
        notes.append("a grey picture, read as three equal colours")
    elif n_channels == 1 and array.ndim == 3 and array.shape[2] == 3:
        if not (array == array[:, :, :1]).all():
            notes.append("a picture in colour, read as grey")
        array = (array @ LUMA + 0.5).astype(array.dtype)
    if array is image.array:
        return image, []
    return replace(image, array=array, is_rgb=array.ndim == 3), notes


def picture_file(image: Image, source: Path | None, target: Path, is_unchanged: bool) -> Path:
    """The picture itself where PILReader sees the same pixels in it, else a PNG beside ``target``.

    A picture that its EXIF tag turns is written upright; the PNG keeps the colour profile.

    Raises:
        DataError: pixels that PNG can't hold.
    """
    from PIL import Image as Pillow

    profile = None
    if source is not None and source.suffix.lower() in (".png", ".jpg", ".jpeg", ".bmp"):
        with Pillow.open(source) as picture:
            is_upright = picture.getexif().get(ORIENTATION, 1) in (0, 1)
            if is_unchanged and is_upright and picture.mode in ("L", "RGB"):
                return source
            profile = picture.info.get("icc_profile") if picture.mode in ("RGB", "RGBA") else None
    array = image.array
    if array.dtype.kind in "iub" and array.size and array.min() >= 0:
        array = array.astype(
            np.uint8 if array.max() < 1 << 8 else np.uint16 if array.max() < 1 << 16 else int
        )
    if array.dtype not in (np.uint8, np.uint16) or (array.ndim == 3 and array.dtype != np.uint8):
        raise DataError(
            f"a picture of shape {image.array.shape} with {image.array.dtype} pixels",
            "8 or 16 bits from 0 upwards, 8 in colour",
            "convert it to PNG",
        )
    path = target.with_suffix(".png")
    Pillow.fromarray(np.ascontiguousarray(np.swapaxes(array, 0, 1))).save(path, icc_profile=profile)
    return path
