"""Photographs as MONAI reads images: upright, in sRGB, three channels of bytes; and masks as they are."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from monai.data import ImageReader
from monai.data.image_reader import _copy_compatible_dict, _stack_images
from monai.utils import ensure_tuple
from PIL import Image, ImageCms, ImageFile, ImageOps, UnidentifiedImageError

from medseg.errors import DataError

PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
# Beyond this Pillow speaks of a decompression bomb: 20,000 x 13,000.
MAX_PIXELS = 1 << 28
_SRGB = ImageCms.createProfile("sRGB")


class PictureReader(ImageReader):
    """A photograph or a mask for MONAI's ``LoadImaged``, shape (column, row, colour) or (column, row).

    A photograph is turned as its EXIF tag says, brought from its own colour profile to sRGB and to 8 bits in
    three colours, without alpha. A mask is turned likewise and keeps its values.

    Args:
        colours: False reads a mask: one channel of whole numbers.
    """

    def __init__(self, colours: bool = True, channel_dim: int | None = None) -> None:
        super().__init__()
        self.colours, self.channel_dim = colours, channel_dim

    def verify_suffix(self, filename: Any) -> bool:
        """True where every file name ends as a picture's."""
        return all(str(name).lower().endswith(PICTURES) for name in ensure_tuple(filename))

    def read(self, data: Any, **_: Any) -> Any:
        """The opened picture, or a list of them.

        Raises:
            DataError: a file is missing, damaged or no picture.
        """
        pictures = [open_picture(Path(name)) for name in ensure_tuple(data)]
        return pictures[0] if len(pictures) == 1 else pictures

    def get_data(self, img: Any) -> tuple[npt.NDArray[Any], dict[str, Any]]:
        """The pixels and what MONAI wants to know of them; several pictures are stacked as channels."""
        arrays: list[npt.NDArray[Any]] = []
        meta: dict[str, Any] = {}
        for picture in ensure_tuple(img):
            pixels = (rgb if self.colours else values)(picture)
            arrays.append(np.ascontiguousarray(np.swapaxes(pixels, 0, 1)))
            size = np.asarray(arrays[-1].shape[:2])
            about: dict[str, Any] = {"spatial_shape": size}
            about |= {"affine": np.eye(4), "original_affine": np.eye(4)}
            about["original_channel_dim"] = -1 if pixels.ndim == 3 else float("nan")
            _copy_compatible_dict(about, meta)
        return _stack_images(arrays, meta), meta


def open_picture(path: Path) -> Image.Image:
    """The first frame of a picture, decoded to its end.

    Raises:
        DataError: it is missing, damaged, too large or no picture.
    """
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            picture = Image.open(file)
            if picture.width * picture.height > MAX_PIXELS:
                raise DataError(
                    f"{path} has {picture.width} x {picture.height} pixels",
                    f"at most {MAX_PIXELS:,} pixels",
                    "make it smaller",
                )
            picture.load()
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: {error}", "a whole picture", "look at it in a viewer") from error
    return picture


def rgb(picture: Image.Image) -> npt.NDArray[np.uint8]:
    """Upright sRGB, shape (row, column, 3)."""
    upright = ImageOps.exif_transpose(picture)
    profile = upright.info.get("icc_profile")
    if upright.mode.startswith("I;16") or upright.mode in ("I", "F"):
        return np.repeat(_to_bytes(np.asarray(upright))[..., None], 3, axis=2)
    if upright.mode not in ("RGB", "CMYK", "LAB"):
        upright = upright.convert("RGB")
    if profile:
        upright = in_srgb(upright, profile)
    return np.asarray(upright.convert("RGB"))


def in_srgb(picture: Image.Image, profile: bytes) -> Image.Image:
    """The picture in sRGB; as it is where its colour profile is damaged or for other colours than it has."""
    try:
        own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        changed = ImageCms.profileToProfile(picture, own, _SRGB, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError) as error:
        warnings.warn(f"a colour profile that can't be used is passed over: {error}", stacklevel=2)
        return picture
    assert changed is not None
    return changed


def values(picture: Image.Image) -> npt.NDArray[Any]:
    """A mask's numbers, upright, shape (row, column); equal colours count as one grey value.

    Raises:
        DataError: it is in colours.
    """
    upright = ImageOps.exif_transpose(picture)
    array = np.asarray(upright).astype(np.uint8) if upright.mode == "1" else np.asarray(upright)
    if array.ndim == 3:
        grey = array[..., : 1 if array.shape[2] == 2 else 3]
        if not (grey == grey[..., :1]).all():
            raise DataError(
                f"{getattr(picture, 'filename', 'a mask')} is in colours",
                "one value per pixel",
                "save the mask as a grey PNG",
            )
        array = grey[..., 0]
    return array


def _to_bytes(array: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Sixteen bits or floating point on 0 to 255: whole numbers by their type's range, others by 0 to 1."""
    scale = 255.0 if array.dtype.kind == "f" else 255.0 / 65535.0
    return np.asarray((array * scale).round().clip(0, 255), dtype=np.uint8)
