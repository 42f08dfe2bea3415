"""Label maps in the format of a scan that is not NIfTI: NRRD, MetaImage, PNG and TIFF."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from medseg.arrays import LPS_TO_RAS, Affine, LabelMap
from medseg.errors import GeometryError, OutputError
from medseg.itk_locale import locale_kept
from medseg.writers.nifti import replacing, smallest_type

VOLUMES = (".nrrd", ".mha")
PICTURES = (".png", ".tif")


@locale_kept()
def write_volume(
    path: Path, labels: LabelMap, affine: Affine, *, like: Path | None = None, overwrite: bool = False
) -> Path:
    """The path of a NRRD or MetaImage label map, read back and found equal before it gets its name.

    Args:
        path: ``.nrrd`` or ``.mha``.
        labels: shape (x, y, z), or (x, y, z, n) for n maps in one voxel.
        affine: voxel index to RAS+ mm.
        like: a scan in one of these formats, whose origin, spacing and direction are copied to the last bit;
            without it they come from the affine.

    Raises:
        GeometryError: the affine is sheared, which these formats can't say.
        OutputError: ``path`` exists and ``overwrite`` is False, or what was written is not what was meant.
    """
    import SimpleITK

    image = SimpleITK.GetImageFromArray(_stored(labels), isVector=labels.ndim == 4)
    spacing, turn, origin = (_geometry_of(like) if like else None) or _itk_geometry(affine, path)
    if len(spacing) == 3:
        image.SetSpacing([float(v) for v in spacing])
        image.SetDirection([float(v) for v in np.ravel(turn)])
        image.SetOrigin([float(v) for v in origin])
    with replacing(path, overwrite=overwrite) as partial:
        # ITK chooses the format by the ending.
        scratch = partial.with_name(partial.name + path.suffix)
        try:
            SimpleITK.WriteImage(image, str(scratch), useCompression=True)
            # On a full disk ITK leaves a cut file and says nothing.
            written = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(scratch)))
            if not np.array_equal(written, SimpleITK.GetArrayViewFromImage(image)):
                raise RuntimeError("it reads back differently")
            scratch.replace(partial)
        except RuntimeError as error:
            raise OutputError(
                f"{path}: {str(error).strip()[-200:]}", "a folder with room", "free space or change -o"
            ) from error
        finally:
            scratch.unlink(missing_ok=True)
    return path


def write_picture(path: Path, labels: LabelMap, *, overwrite: bool = False) -> Path:
    """The path of a PNG or TIFF whose pixel values are the label numbers.

    Args:
        labels: shape (column, row), also with a third axis of length 1.

    Raises:
        GeometryError: it is a volume.
        OutputError: ``path`` exists and ``overwrite`` is False, or it can't be written.
    """
    from PIL import Image

    if labels.ndim > 2 and set(labels.shape[2:]) != {1}:
        raise GeometryError(f"labels of shape {labels.shape}", "a picture", "choose --format nifti")
    flat = labels.reshape(labels.shape[:2])
    stored = flat.astype(smallest_type(int(flat.max(initial=0)))).T
    with replacing(path, overwrite=overwrite) as partial:
        Image.fromarray(np.ascontiguousarray(stored)).save(
            partial, format="TIFF" if path.suffix == ".tif" else "PNG"
        )
    return path


def _stored(labels: LabelMap) -> npt.NDArray[np.unsignedinteger]:
    """Axes as ITK keeps them: z, y, x and maps last."""
    kind = smallest_type(int(labels.max(initial=0)), int(labels.min(initial=0)))
    spatial = np.transpose(labels, (2, 1, 0, *range(3, labels.ndim)))
    return np.ascontiguousarray(spatial, dtype=kind)


Geometry = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]


def _geometry_of(scan: Path) -> Geometry | None:
    """Spacing, direction and origin in LPS mm, as the scan's header has them; None where ITK can't read it.

    A file is read by what it holds, so one that is called ``.nrrd`` may be NIfTI.
    """
    import SimpleITK

    header = SimpleITK.ImageFileReader()
    header.SetFileName(str(scan))
    try:
        header.ReadImageInformation()
    except RuntimeError:
        return None
    n = header.GetDimension()
    turn = np.array(header.GetDirection()).reshape(n, n)[:3, :3]
    return np.array(header.GetSpacing()[:3]), turn, np.array(header.GetOrigin()[:3])


def _itk_geometry(affine: Affine, path: Path) -> Geometry:
    """Spacing, direction and origin in LPS mm."""
    lps = LPS_TO_RAS @ np.asarray(affine, float)
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    turn = lps[:3, :3] / spacing
    if not np.allclose(turn.T @ turn, np.eye(3), atol=1e-4):
        raise GeometryError(f"{path.name}: a sheared grid", "axes at right angles", "choose --format nifti")
    return spacing, turn, lps[:3, 3]
