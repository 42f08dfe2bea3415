"""Reading what is neither NIfTI nor DICOM: pictures, NRRD, MetaImage, MINC, AFNI, MGH, PAR/REC, Analyze.

Runs in a child process (`medseg.data.child`), for these decoders are C and C++ and some crash. SimpleITK
fills a cut file with zeros and says nothing, so the length of what it reads is verified first, by `intact`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medseg.arrays import Affine
from medseg.data.findings import NOTE, WARNING, Finding, UnreadableError, said, unreadable
from medseg.data.grid import affine_findings
from medseg.data.intact import verify
from medseg.data.intact_pictures import verify_picture
from medseg.data.itk_images import affine_of, array_of
from medseg.itk_locale import locale_kept

Loaded = tuple[npt.NDArray[Any], Affine, dict[str, Any], list[Finding]]

_MAX_PIXELS = 1 << 29


def load_picture(path: Path) -> Loaded:
    """A PNG, JPEG, BMP, GIF or TIFF picture, shape (column, row) or (column, row, colour); no millimetres."""
    from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

    ImageFile.LOAD_TRUNCATED_IMAGES = False
    Image.MAX_IMAGE_PIXELS = _MAX_PIXELS
    found = []
    verify_picture(path)
    try:
        with Image.open(path) as picture:
            frames = getattr(picture, "n_frames", 1)
            if frames > 1 and picture.format == "TIFF":
                return load_by_itk(path)
            if frames > 1:
                found.append(Finding("frames", WARNING, f"{frames} frames", "one", "only the first was read"))
            turn = picture.getexif().get(0x0112, 1)
            picture.load()
            array = _pixels(ImageOps.exif_transpose(picture))
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UnreadableError(unreadable(f"{path.name} is damaged: {said(error, path)}")) from error
    if turn not in (0, 1):
        text = f"its EXIF tag says that it is turned (orientation {turn}); read upright"
        found.append(Finding("exif", WARNING, text, "orientation 1", "store it upright, as its mask is"))
    is_rgb = array.ndim == 3
    if is_rgb and array.shape[2] in (2, 4):
        text = f"{array.shape[2]} colour channels (alpha)"
        found.append(Finding("colour", WARNING, text, "1 or 3", "store it without alpha"))
    return np.swapaxes(array, 0, 1), np.eye(4), {"is_rgb": is_rgb, "has_grid": False}, found


def _pixels(picture: Any) -> npt.NDArray[Any]:
    if picture.mode == "1":
        return np.asarray(picture, dtype=np.uint8)
    # A palette's indices are the values of a mask; of a photograph they mean nothing.
    if picture.mode == "P" and len(picture.getcolors() or range(257)) > 32:
        return np.asarray(picture.convert("RGB"))
    if picture.mode in ("CMYK", "YCbCr", "HSV", "LAB"):
        return np.asarray(picture.convert("RGB"))
    return np.asarray(picture)


@locale_kept()
def load_by_itk(path: Path) -> Loaded:
    """A volume that SimpleITK knows, once its length is verified where the format allows it."""
    import SimpleITK

    claimed = verify(path)
    try:
        image = SimpleITK.ReadImage(str(path))
    except RuntimeError as error:
        raise UnreadableError(unreadable(f"{path.name}: {said(error, path)}")) from error
    dimension = image.GetDimension()
    components = image.GetNumberOfComponentsPerPixel()
    array = array_of(image)
    if claimed not in (0, array.nbytes):
        # Readers understand a damaged header each in their own way.
        what = f"{path.name}: SimpleITK reads {array.nbytes} bytes of image where the header means {claimed}"
        raise UnreadableError(unreadable(what))
    if array.ndim > 4:
        array = array.reshape(*array.shape[:3], -1)
    affine = affine_of(image)
    if dimension == 2 and components == 1:
        array = array[..., None]
    about = {"is_rgb": components in (3, 4), "has_grid": path.suffix.lower() not in (".tif", ".tiff")}
    return array, affine, about, affine_findings(affine, array.shape) if about["has_grid"] else []


def load_by_nibabel(path: Path) -> Loaded:
    """A volume of the older formats that nibabel knows."""
    import nibabel as nib

    try:
        image = nib.load(path)
        array = np.asarray(image.dataobj)
        affine = np.array(image.affine, float)
    except FileNotFoundError as error:
        name = Path(str(error.filename or "its data file")).name
        raise UnreadableError(unreadable(f"{name} is not beside {path.name}")) from error
    except ModuleNotFoundError as error:
        what = f"{path.name} is a format that only {error.name} reads"
        raise UnreadableError(unreadable(what, "convert it to NIfTI")) from error
    # Old formats, hostile headers: what nibabel raises for them has no common base.
    except Exception as error:
        raise UnreadableError(unreadable(f"{path.name}: {said(error, path)}")) from error
    array = array.reshape(*(*array.shape, 1, 1)[:3], -1) if array.ndim > 4 else array
    if array.ndim == 4 and array.shape[3] == 1:
        array = array[..., 0]
    while array.ndim < 3:
        array = array[..., None]
    if array.dtype.kind not in "iufb":
        raise UnreadableError(unreadable(f"{path.name} holds {array.dtype}", "store it as numbers"))
    found = affine_findings(affine, array.shape)
    if type(image).__name__ in ("Spm99AnalyzeImage", "Spm2AnalyzeImage", "AnalyzeImage"):
        text = "Analyze: the file does not say which side is left"
        found.append(
            Finding("orientation", WARNING, text, "NIfTI", "convert it where the orientation is known")
        )
    else:
        text = f"{type(image).__name__}: few tools read this format"
        found.append(Finding("format", NOTE, text, "NIfTI or DICOM", "convert it"))
    return array, affine, {"is_rgb": False}, found
