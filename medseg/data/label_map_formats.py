"""A label map's values and grid as each format's reader gives them, in the file's own type."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medseg.arrays import Affine, Spacing
from medseg.data.findings import UnreadableError
from medseg.data.intact import verify
from medseg.data.itk_images import affine_of, array_of
from medseg.data.label_map_errors import ColourLabelsError, DamagedFileError, SeveralPagesError, SpacingError
from medseg.data.nifti_bytes import NiftiImage, read_nifti
from medseg.itk_locale import locale_kept

Read = tuple[npt.NDArray[Any], "Affine | None", Spacing, str, tuple[str, ...]]
"""Values, affine, millimetres per voxel, where these come from, and flags: as `LabelMapFile` has them."""


def from_nifti(path: Path, content: memoryview) -> Read:
    """What a NIfTI file holds, inflated straight into its own integer type."""
    try:
        image = read_nifti(content)
    except ValueError as error:
        raise DamagedFileError(
            f"{path}: {error}", "a whole NIfTI file", "copy or write the file again"
        ) from error
    _check(path, image)
    array = image.array
    if array.ndim > 3:
        array = array.reshape(*array.shape[:3], -1, order="A")
        array = array[..., 0] if array.shape[3] == 1 else array
    while array.ndim < 2:
        array = array[..., None]
    n_axes = min(array.ndim, 3)
    # The pixdim is exact where an oblique sform has rounding; where both disagree, the sform holds.
    columns = np.linalg.norm(image.affine[:3, :3], axis=0)
    pixdim = (*image.pixdim, 1.0, 1.0)[:n_axes]
    spacing = tuple(float(s) for s in (columns[:n_axes] if "pixdim_disagrees" in image.flags else pixdim))
    return array, image.affine, spacing, f"header of {image.source}", image.flags


def _check(path: Path, image: NiftiImage) -> None:
    """Pass a label map's numbers and a grid that has a size.

    Raises:
        ColourLabelsError: it holds several numbers per voxel.
        SpacingError: its voxel size or affine is none.
    """
    if image.array.dtype.names is not None or np.iscomplexobj(image.array):
        raise ColourLabelsError(
            f"{path} holds {image.array.dtype}", "one number per voxel", "save the labels as integers"
        )
    if not all(np.isfinite(s) and s > 0 for s in image.pixdim):
        raise SpacingError(
            f"{path} has pixdim {tuple(float(s) for s in image.pixdim)}",
            "a positive voxel size on each axis",
            "write the voxel size into the header",
        )
    if not np.isfinite(image.affine).all() or abs(np.linalg.det(image.affine[:3, :3])) < 1e-12:
        raise SpacingError(
            f"{path} has a singular or undefined affine", "an invertible one", "write the header again"
        )


@locale_kept()
def from_sitk(path: Path) -> Read:
    """What a NRRD or MetaImage file holds."""
    import SimpleITK

    try:
        # SimpleITK fills some cut files with zeros and says nothing.
        claimed = verify(path)
        image = SimpleITK.ReadImage(str(path))
    except UnreadableError as error:
        found = error.finding
        raise DamagedFileError(f"{path}: {found.found}", found.expected, found.do) from None
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise DamagedFileError(f"{path}: {reason}", "a readable image", "write the file again") from None
    n_bytes = SimpleITK.GetArrayViewFromImage(image).nbytes
    if claimed not in (0, n_bytes):
        raise DamagedFileError(
            f"{path}: its header means {claimed} bytes of labels, SimpleITK reads {n_bytes}",
            "a readable image",
            "write the file again",
        )
    dimension = image.GetDimension()
    if dimension > 3 or any(not np.isfinite(s) or s <= 0 for s in image.GetSpacing()):
        raise SpacingError(
            f"{path} has {dimension} dimensions and spacing {image.GetSpacing()}",
            "two or three dimensions of positive spacing",
            "write the file again",
        )
    spacing = tuple(float(s) for s in image.GetSpacing())
    return array_of(image), affine_of(image), spacing, f"header of {path.suffix}", ()


def from_picture(path: Path, content: memoryview) -> Read:
    """What a grey picture holds: grey values or palette indices, in rows and columns."""
    import io

    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(content)) as picture:
            n_pages = getattr(picture, "n_frames", 1)
            picture.load()
            array = np.array(picture)
    except UnidentifiedImageError:
        raise DamagedFileError(
            f"{path} is no picture", "what its ending says", "write the file again"
        ) from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DamagedFileError(f"{path}: {error}", "a whole picture", "write the file again") from None
    if n_pages > 1:
        raise SeveralPagesError(
            f"{path} holds {n_pages} pages", "one picture", "save a picture per slice, or the stack as NIfTI"
        )
    if array.ndim == 3:
        grey = array[..., : 1 if array.shape[2] == 2 else 3]
        if array.shape[2] not in (2, 3, 4) or not (grey == grey[..., :1]).all():
            raise ColourLabelsError(
                f"{path} is in colours", "one grey value or palette index per pixel", "save it as a grey PNG"
            )
        array = np.ascontiguousarray(grey[..., 0])
    return array, None, (1.0, 1.0), "none: one pixel counts as 1 mm", ("no_spacing",)
