"""The label map's side of a profile: its grid, its numbers, and each structure's volume, place and looks."""

from __future__ import annotations

import hashlib
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from medseg.data.findings import BLOCKS, WARNING, Finding
from medseg.data.grid import same_grid
from medseg.data.profiles import QUANTILES, CaseProfile, Request, StructureProfile
from medseg.data.reading import Image


def label_findings(
    out: CaseProfile,
    label: tuple[str, Image],
    image: Image | None,
    volumes: list[npt.NDArray[Any]],
    request: Request,
) -> None:
    """Add to the profile what its label map holds, and to the findings what is amiss with it."""
    path, drawn = label
    found: list[Finding] = []
    array = drawn.array
    if drawn.channels > 1:
        if not drawn.is_rgb or not np.all(array[..., 0] == array[..., 1]):
            text = f"a label map with {drawn.channels} channels"
            found.append(Finding("label-channels", BLOCKS, text, "one number per voxel", "store one channel"))
            out.findings += [f.at(out.case, path) for f in found]
            return
        found.append(Finding("colour", WARNING, "a label map stored in colour", "grey", "store one channel"))
        array = array[..., 0]
    if image is not None and image.has_grid and drawn.has_grid:
        found += same_grid(image.affine, drawn.affine, image.shape, drawn.shape)
    elif image is not None and image.shape != array.shape:
        found.append(shape_finding(drawn, list(image.shape)))
    whole, more = _integral(array)
    out.findings += [f.at(out.case, path) for f in found + more]
    if whole is not None:
        out.label_content = hashlib.blake2b(whole.tobytes("F"), digest_size=16).hexdigest() + str(whole.shape)
        out.findings += [
            f.at(out.case, path) for f in _structures(out, whole, drawn, image, volumes, request)
        ]


def shape_finding(image: Image, shape: list[int]) -> Finding:
    """A picture of another size than the case's first image."""
    text = f"shape {image.shape} against the image's {tuple(shape)}"
    return Finding("grid", BLOCKS, text, "the image's own shape", "export both at one size")


def _integral(array: npt.NDArray[Any]) -> tuple[npt.NDArray[np.integer[Any]] | None, list[Finding]]:
    if array.dtype.kind in "iub":
        return array, []
    finite = np.isfinite(array)
    if finite.all():
        whole = np.rint(array)
        apart = float(np.abs(array - whole).max()) if array.size else 0.0
        if apart < 1e-3:
            return whole.astype(np.int64), []
        text = f"values between whole numbers, such as {float(array[np.abs(array - whole) > 1e-3][0]):.4g}"
    else:
        text = f"{int((~finite).sum())} voxels are NaN or infinite"
    return None, [Finding("label-integral", BLOCKS, text, "whole numbers", "resample labels to the nearest")]


def _structures(
    out: CaseProfile,
    array: npt.NDArray[np.integer[Any]],
    drawn: Image,
    image: Image | None,
    volumes: list[npt.NDArray[Any]],
    request: Request,
) -> list[Finding]:
    # In the order in which the voxels lie in memory: NIfTI's is Fortran's, and any other copies the volume.
    order: Literal["F", "C"] = "F" if array.flags.f_contiguous else "C"
    flat = array.ravel(order=order)
    places = np.flatnonzero(flat)
    values = flat[places].astype(np.int64)
    in_file, counts = np.unique(values, return_counts=True)
    voxel_mm3 = float(np.prod(drawn.spacing_mm))
    numbers = np.array([request.relabel.get(int(v), int(v)) for v in in_file], dtype=np.int64)
    found = _undeclared(in_file, numbers, counts, request)
    if not len(places):
        found.append(
            Finding("label-empty", WARNING, "no voxel is labelled", "a structure", "is it so, or lost?")
        )
    value_of = numbers[np.searchsorted(in_file, values)] if len(values) else values
    sorting = np.argsort(value_of, kind="stable")
    places, value_of = places[sorting], value_of[sorting]
    fits = image is not None and image.shape == array.shape
    for number in sorted({int(n) for n in numbers if n in request.numbers}):
        at = places[np.searchsorted(value_of, number) : np.searchsorted(value_of, number, "right")]
        index = np.array(np.unravel_index(at, array.shape, order))
        structure = StructureProfile(
            number, len(at), round(len(at) * voxel_mm3, 3), _centre(index, drawn), []
        )
        if fits:
            _intensities(structure, index, volumes, out, request.detail)
        if request.detail:
            structure.components = _components(index, array.ndim)
        out.structures.append(structure)
    return found


def _undeclared(
    in_file: npt.NDArray[np.int64],
    numbers: npt.NDArray[np.int64],
    counts: npt.NDArray[np.int64],
    request: Request,
) -> list[Finding]:
    """Values of the file whose number, once relabelled, the manifest does not know."""
    strange = {
        int(v): int(c)
        for v, n, c in zip(in_file, numbers, counts, strict=True)
        if n not in request.numbers and n != 0
    }
    if not strange:
        return []
    text = ", ".join(f"{v} ({c} voxels)" for v, c in list(strange.items())[:6])
    hint = "add `relabel` to the manifest" if set(strange) == {255} else "declare or correct them"
    expected = f"0 and {', '.join(map(str, request.numbers))}"
    return [Finding("label-values", BLOCKS, f"undeclared values {text}", expected, hint)]


def _centre(index: npt.NDArray[np.int64], drawn: Image) -> list[float]:
    """Centre of mass from the middle of the field of view, as a share of it, along R, A, S."""
    shape = np.array(drawn.shape)
    share = (index.mean(1) - (shape - 1) / 2) / shape
    if not drawn.has_grid or len(shape) != 3:
        return [round(float(v), 4) for v in share]
    import nibabel as nib

    turn = nib.io_orientation(drawn.affine)
    if np.any(np.isnan(turn)):
        return [round(float(v), 4) for v in share]
    out = np.zeros(3)
    for axis, (to, sign) in enumerate(turn):
        out[int(to)] = share[axis] * sign
    return [round(float(v), 4) for v in out]


def _intensities(
    structure: StructureProfile,
    index: npt.NDArray[np.int64],
    volumes: list[npt.NDArray[Any]],
    out: CaseProfile,
    detail: bool,
) -> None:
    few = tuple(index[:, :: max(1, index.shape[1] // 100_000)])
    for volume, channel in zip(volumes, out.channels, strict=True):
        # A channel of another shape is a finding of its own; nothing can be read from it at these places.
        fits = list(volume.shape) == out.shape
        values = volume[few].astype(np.float64) if fits else np.empty(0)
        values = values[np.isfinite(values)]
        if not values.size or not channel.quantiles:
            structure.intensity.append(0.0)
            continue
        spread = channel.quantiles[6] - channel.quantiles[2] or 1.0
        structure.intensity.append(round(float(values.mean() - channel.quantiles[4]) / spread, 5))
        if detail:
            structure.quantiles.append([float(q) for q in np.percentile(values, QUANTILES)])


def _components(index: npt.NDArray[np.int64], dimensions: int) -> list[int]:
    """Voxels of each connected part (corners count as contact), largest first."""
    from scipy import ndimage

    low = index.min(1)
    box = np.zeros(index.max(1) - low + 1, bool)
    box[tuple(index - low[:, None])] = True
    marked, _ = ndimage.label(box, np.ones((3,) * dimensions))
    return sorted((int(n) for n in np.bincount(marked.ravel())[1:]), reverse=True)[:1000]
