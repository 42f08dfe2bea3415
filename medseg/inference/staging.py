"""A case's images, read safely, as files that any bundle's LoadImaged reads."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import nibabel as nib
import numpy as np

from medseg.arrays import Affine
from medseg.data.findings import BLOCKS, WARNING, Finding
from medseg.data.reading import Image, examine
from medseg.data.series import examine_series
from medseg.errors import DataError
from medseg.inference.cases import Case
from medseg.inference.hiding import linked
from medseg.inference.one_grid import is_alike, on_grid_of, on_one_grid
from medseg.inference.pictures import fitted, in_true_colours, picture_file
from medseg.inference.scan import open_scan
from medseg.writers import read_header

# A header or a stack that must be known to be right before a label map on it means anything.
FATAL = ("affine", "spacing", "header", "finite")
MILLIMETRES = 2


@dataclass(frozen=True)
class Staged:
    """A case ready for a bundle.

    Attributes:
        images: NIfTI volumes or pictures, one per channel.
        like: the NIfTI file whose grid the label map takes; None for a picture.
        shape: of the scan in space, (x, y, z) or (column, row).
        affine: voxel index to RAS+ mm.
        kind: the format of the first image.
        n_channels: of all images.
        notes: what is amiss with it, short of being refused.
    """

    images: tuple[Path, ...]
    like: Path | None
    shape: tuple[int, ...]
    affine: Affine
    kind: str
    n_channels: int
    notes: tuple[str, ...] = ()

    @property
    def voxel_mm3(self) -> float:
        """Volume of a voxel; NaN for a picture."""
        return float("nan") if self.like is None else abs(float(np.linalg.det(self.affine[:3, :3])))


def stage(
    case: Case, folder: Path, n_channels: int = 0, *, allow: Collection[str] = (), in_memory: bool = True
) -> Staged:
    """The case's images as they are where any reader reads them right, else as NIfTI or PNG in ``folder``.

    Args:
        n_channels: that the bundle wants; colours of pictures are made to fit it. 0 where nobody knows.
        allow: rules of findings that shall not refuse the case, for example ``dicom-tilt``.
        in_memory: False where a NIfTI file may be too large for that; it is checked plane by plane.

    Raises:
        DataError: an image is missing, damaged, or of a kind that can't be segmented.
        GeometryError: its grid is none, or the channels' grids differ.
    """
    series = (case.images, *case.more) if case.is_series else ()
    sources: Sequence[Path | None] = [None] * len(series) or case.images
    if not in_memory and all(source and is_plain_nifti(source) for source in sources):
        return on_disk(case, folder, allow)
    files, notes, channels = [], [], 0
    first: Image | None = None
    for number, source in enumerate(sources):
        image, found = examine_series(series[number]) if source is None else examine(source)
        image = _flat(_accepted(image, found, allow, source))
        notes += [f.found for f in found if f.severity == WARNING or f.rule in allow]
        if first is not None and not is_alike(first, image):
            image = on_grid_of(first, image, allow, f"channel {number + 1}")
            notes.append(f"channel {number + 1} was resampled to the first channel's grid")
        whole = _finite(image, allow, source)
        if image.has_grid:
            files.append(_volume_file(whole, source, folder / f"channel_{number}", whole is image))
        else:
            wanted = n_channels if len(sources) == 1 else 1
            whole, more = fitted(in_true_colours(whole, source), wanted)
            notes += more
            files.append(picture_file(whole, source, folder / f"channel_{number}", whole is image))
        channels += whole.channels
        # The shape stays, the voxels need not.
        first = first or replace(image, array=np.broadcast_to(np.uint8(0), image.array.shape))
    assert first is not None
    like = _like(case, files[0]) if first.has_grid else None
    told, images = tuple(dict.fromkeys(notes)), linked(files, folder) if case.unsaid else tuple(files)
    return Staged(images, like, first.shape, first.affine, first.kind, channels, told)


def is_plain_nifti(path: Path) -> bool:
    """True where the name and the header are NIfTI's in one file."""
    if not path.name.lower().endswith((".nii", ".nii.gz")):
        return False
    try:
        return len(read_header(path).get_data_shape()) in (3, 4)
    except DataError:
        return False


def on_disk(case: Case, scratch: Path, allow: Collection[str]) -> Staged:
    """The case's NIfTI files as they are, after a look at each plane that never holds more than one.

    Raises:
        DataError: damaged, cut, or not finite; GeometryError: its grid is none.
    """
    files, notes = on_one_grid(case.images, scratch, allow)
    scan = open_scan(files, on_disk=True, scratch=scratch)
    kinds = {read_header(file).get_data_dtype().kind for file in files}
    if "finite" not in allow and "f" in kinds:
        planes = (scan.plane(c, z) for c in range(scan.n_channels) for z in range(scan.shape[2]))
        n = sum(int((~np.isfinite(plane)).sum()) for plane in planes)
        if n:
            raise _not_finite(case.images[0].name, n, "")
    images = linked(files, scratch) if case.unsaid else files
    about = (scan.shape, scan.affine, "NIfTI", scan.n_channels)
    return Staged(images, case.images[0], *about, tuple(notes))


def _flat(image: Image) -> Image:
    """A picture where the file holds one frame without millimetres, for example a screen shot in DICOM.

    Raises:
        DataError: a stack without millimetres.
    """
    if image.has_grid or image.dimensions == 2:
        return image
    if image.array.shape[2] != 1:
        raise DataError(
            f"{image.kind} with {image.array.shape[2]} frames and no place or size in millimetres",
            "a volume with positions, orientation and spacing, or a single picture",
            "export it with its geometry, or convert it to NIfTI with the true spacing",
        )
    return replace(image, array=image.array[:, :, 0])


def _like(case: Case, staged: Path) -> Path:
    """The scan itself where it is NIfTI, so that its header is copied value by value."""
    is_nifti = not case.is_series and case.images[0].name.lower().endswith((".nii", ".nii.gz", ".hdr"))
    if not is_nifti or staged == case.images[0]:
        return staged
    try:
        own = read_header(case.images[0])
    except DataError:
        return staged
    return case.images[0] if own.get_data_shape()[:3] == nib.load(staged).shape[:3] else staged


def _accepted(
    image: Image | None, found: Sequence[Finding], allow: Collection[str], source: Path | None
) -> Image:
    for finding in found:
        is_fatal = image is None or finding.rule in FATAL or finding.rule.startswith("dicom-")
        if finding.severity == BLOCKS and is_fatal and (image is None or finding.rule not in allow):
            told = (
                finding if image is None else replace(finding, do=f"{finding.do}, or --allow {finding.rule}")
            )
            if source is not None and not told.found.startswith(source.name):
                told = replace(told, file=source.name)
            raise told.error()
    if image is None:
        raise DataError(f"{source or 'the series'} gives no image", "a scan", "open it in a viewer")
    if image.array.size == 0:
        raise DataError(f"{source} has shape {image.array.shape}", "voxels", "fetch it anew")
    return image


def _finite(image: Image, allow: Collection[str], source: Path | None) -> Image:
    """The image without NaN and infinity; they are refused unless ``finite`` is allowed."""
    if image.array.dtype.kind != "f":
        return image
    is_finite = np.isfinite(image.array)
    if is_finite.all():
        return image
    n = int((~is_finite).sum())
    if "finite" not in allow or n == image.array.size:
        raise _not_finite(source.name if source else "the series", n, f" of {image.array.size}")
    return replace(image, array=np.where(is_finite, image.array, image.array[is_finite].min()))


def _not_finite(name: str, n: int, of: str) -> DataError:
    return DataError(
        f"{name}: {n} voxels{of} are not finite",
        "finite values",
        "mend it, or --allow finite reads them as the smallest value",
    )


def _volume_file(image: Image, source: Path | None, target: Path, is_unchanged: bool) -> Path:
    if source is not None and image.kind == "NIfTI" and is_unchanged and _reads_alike(image, source):
        return source
    return _volume(image, target.with_suffix(".nii"))


def _reads_alike(image: Image, source: Path) -> bool:
    """True where nibabel, as MONAI calls it, sees the same numbers at the same place."""
    name = source.name.lower()
    with source.open("rb") as file:
        is_gzip = file.read(2) == b"\x1f\x8b"
    if image.is_rgb or is_gzip != name.endswith(".gz") or not name.endswith((".nii", ".nii.gz", ".hdr")):
        return False
    try:
        header = read_header(source)
    except DataError:
        return False
    affine = header.get_best_affine()
    return header.get_data_shape() == image.array.shape and np.allclose(affine, image.affine, atol=1e-6)


def _volume(image: Image, path: Path) -> Path:
    array = image.array.reshape((*image.array.shape, 1)[:3]) if image.array.ndim == 2 else image.array
    if array.dtype.kind == "b" or array.dtype.itemsize > 4:
        whole = array.dtype.kind in "iub" and abs(array).max() < 2**31
        array = array.astype(np.int32 if whole else np.float32)
    new = nib.Nifti1Image(np.asfortranarray(array), image.affine)
    # Where the file itself can't be the label map's pattern, its codes are kept at least.
    new.set_qform(image.affine, code=image.qform_code)
    new.set_sform(image.affine, code=image.sform_code if image.qform_code or image.sform_code else 1)
    new.header["xyzt_units"] = MILLIMETRES
    nib.save(new, path)
    return path
