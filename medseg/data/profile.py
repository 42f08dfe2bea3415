"""One pass over a case: what `medseg data check` and `fingerprint` need to know of it, small enough to keep.

Runs in a child process, one per worker, so that memory stays flat and a crash costs one case.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medseg.data.findings import BLOCKS, WARNING, Finding
from medseg.data.grid import same_grid
from medseg.data.isolation import Reader
from medseg.data.reading import Image, examine

QUANTILES = (0, 1, 5, 25, 50, 75, 95, 99, 100)
THUMB = 4096
_SAMPLE = 1_000_000


@dataclass
class ChannelProfile:
    """One channel of one case.

    Attributes:
        file: its path in the data set's folder.
        content: hash of the voxels, whatever the header says.
        is_rgb, is_grey: colour, and colour whose three channels are alike.
        quantiles: intensities at `QUANTILES` per cent, of the voxels that are not the background's.
        zeros: share of voxels that equal the lowest value.
        thumb: 16x16x16 or 64x64 means in RAS order, standardised, as base64 of int8; empty where constant.
        modality: DICOM's, or empty.
    """

    file: str
    content: str
    is_rgb: bool
    is_grey: bool
    quantiles: list[float]
    zeros: float
    thumb: str = ""
    modality: str = ""

    def thumbnail(self) -> npt.NDArray[np.float32]:
        """The standardised thumbnail, flat."""
        scaled = np.frombuffer(base64.b64decode(self.thumb), np.int8).astype(np.float32)
        return np.asarray(scaled / 31, np.float32)


@dataclass
class StructureProfile:
    """One structure of one case: volume, centre in units of the field of view from its middle (RAS), mean
    intensity per channel in units of the image's own spread, and with `detail` components and quantiles.
    """

    number: int
    voxels: int
    volume_mm3: float
    centre: list[float]
    intensity: list[float]
    components: list[int] = field(default_factory=list)
    quantiles: list[list[float]] = field(default_factory=list)


@dataclass
class CaseProfile:
    """One case: its grid, channels and structures, and what is amiss with it taken alone."""

    case: str
    patient: str
    split: str
    findings: list[Finding] = field(default_factory=list)
    shape: list[int] = field(default_factory=list)
    spacing_mm: list[float] = field(default_factory=list)
    codes: str = ""
    kind: str = ""
    has_grid: bool = False
    n_bytes: int = 0
    channels: list[ChannelProfile] = field(default_factory=list)
    structures: list[StructureProfile] = field(default_factory=list)
    label_content: str = ""
    has_label: bool = False
    mosaic: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, known: Mapping[str, Any]) -> CaseProfile:
        """The inverse of `as_dict`."""
        inner = {
            "findings": [Finding(**f) for f in known["findings"]],
            "channels": [ChannelProfile(**c) for c in known["channels"]],
            "structures": [StructureProfile(**s) for s in known["structures"]],
        }
        return cls(**{**known, **inner})


@dataclass(frozen=True)
class Request:
    """What to profile: files of one case as (kind, path, sha256) and what the manifest declares."""

    case: str
    patient: str
    split: str
    root: str
    files: tuple[tuple[str, str, str], ...]
    n_channels: int
    numbers: tuple[int, ...]
    relabel: Mapping[int, int]
    hashes: bool = True
    detail: bool = False

    @classmethod
    def from_dict(cls, known: Mapping[str, Any]) -> Request:
        """The inverse of `dataclasses.asdict` after JSON."""
        files = tuple((k, p, s) for k, p, s in known["files"])
        relabel = {int(k): int(v) for k, v in known["relabel"].items()}
        return cls(**{**known, "files": files, "numbers": tuple(known["numbers"]), "relabel": relabel})


def profile(request: Request, reader: Reader) -> CaseProfile:
    """The profile of one case; whatever is amiss with its files is a finding, never an exception."""
    out = CaseProfile(request.case, request.patient, request.split)
    images: list[tuple[str, Image]] = []
    label: tuple[str, Image] | None = None
    for kind, path, sha256 in request.files:
        where = Path(request.root) / path
        if request.hashes and sha256 and (bad := _hash(where, sha256)):
            out.findings.append(bad.at(out.case, path))
        image, found = examine(where, reader=reader)
        out.findings += [f.at(out.case, path) for f in found if kind == "image" or f.severity != "note"]
        out.n_bytes += where.stat().st_size if where.is_file() else 0
        if image is not None and any(f.rule in ("affine", "spacing") and f.severity == BLOCKS for f in found):
            # No place can be told from such a grid; what its voxels hold is judged all the same.
            image = replace(image, affine=np.eye(4), has_grid=False)
        if image is not None and kind == "image":
            images.append((path, image))
        elif image is not None:
            label = path, image
    out.has_label = label is not None
    volumes = _channels(out, images, request)
    if label is not None:
        _label(out, label, images[0][1] if images else None, volumes, request)
    if request.detail and volumes:
        from medseg.data.mosaic import mid_slice

        out.mosaic = mid_slice(volumes[0], label[1].array if label else None)
    return out


def _hash(path: Path, sha256: str) -> Finding | None:
    from medseg.data.fetch import file_hash

    if not path.is_file() or (found := file_hash(path)) == sha256:
        return None
    text = f"sha256 {found[:12]}…"
    return Finding("hash", BLOCKS, text, f"{sha256[:12]}… of the manifest", "fetch the file anew")


def _channels(out: CaseProfile, images: list[tuple[str, Image]], request: Request) -> list[npt.NDArray[Any]]:
    """Fill grid and channels; the volumes come back for the label's sake."""
    volumes: list[npt.NDArray[Any]] = []
    for path, image in images:
        if not out.shape:
            out.shape, out.spacing_mm = list(image.shape), [round(s, 6) for s in image.spacing_mm]
            out.codes, out.kind, out.has_grid = image.codes, image.kind, image.has_grid
        elif image.has_grid:
            found = same_grid(images[0][1].affine, image.affine, images[0][1].shape, image.shape)
            out.findings += [f.at(out.case, path) for f in found]
        elif list(image.shape) != out.shape:
            out.findings.append(_shapes(image, out.shape).at(out.case, path))
        parts = (
            np.moveaxis(image.array, -1, 0) if image.channels > 1 else image.array.reshape(1, *image.shape)
        )
        grey = image.is_rgb and bool(np.all(parts[0] == parts[1])) and bool(np.all(parts[1] == parts[2]))
        for part in parts:
            out.channels.append(_channel(out, path, image, part, grey))
            volumes.append(part)
    expected, whole = request.n_channels, len(images) == sum(k == "image" for k, _, _ in request.files)
    if expected and images and whole and len(volumes) != expected:
        text = f"{len(volumes)} channels"
        rule = (
            "colour"
            if any(i.is_rgb for _, i in images) or (expected == 3 and len(volumes) == 1)
            else "channels"
        )
        bad = Finding(
            rule, BLOCKS, text, f"the {expected} that the manifest names", "give every case the same"
        )
        out.findings.append(bad.at(out.case, images[0][0]))
    return volumes


def _shapes(image: Image, shape: list[int]) -> Finding:
    text = f"shape {image.shape} against the image's {tuple(shape)}"
    return Finding("grid", BLOCKS, text, "the image's own shape", "export both at one size")


def _channel(out: CaseProfile, path: str, image: Image, part: npt.NDArray[Any], grey: bool) -> ChannelProfile:
    content = hashlib.blake2b(np.ascontiguousarray(part.T).view(np.uint8).data, digest_size=16).hexdigest()
    content += f":{part.shape}"
    if part.dtype.kind == "f" and (bad := int(part.size - np.isfinite(part).sum())):
        text = f"{bad} of {part.size} voxels are NaN or infinite"
        out.findings.append(
            Finding("not-finite", BLOCKS, text, "finite intensities", "replace them").at(out.case, path)
        )
    few = _sample(part)
    few = few[np.isfinite(few)] if few.dtype.kind == "f" else few.ravel()
    low = few.min() if few.size else 0
    inside = few[few > low]
    zeros = 1 - inside.size / max(1, few.size)
    if inside.size == 0 and (part.size == 0 or part.min() == part.max()):
        text = f"every voxel is {low}"
        out.findings.append(
            Finding("constant", BLOCKS, text, "an image", "export it anew").at(out.case, path)
        )
    values = inside if inside.size else few
    quantiles = [float(q) for q in np.percentile(values, QUANTILES)] if values.size else []
    if quantiles:
        quantiles[0] = float(low)
    return ChannelProfile(
        path,
        content,
        image.is_rgb,
        grey,
        quantiles,
        round(float(zeros), 4),
        _thumb(image, part),
        image.modality,
    )


def _sample(part: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """About a million voxels on a regular grid, enough for quantiles."""
    step = max(1, int(np.ceil((part.size / _SAMPLE) ** (1 / part.ndim))))
    return part[(slice(None, None, step),) * part.ndim]


def _thumb(image: Image, part: npt.NDArray[Any]) -> str:
    """Block means in RAS order, standardised."""
    import nibabel as nib

    few = _sample(part)
    few = np.nan_to_num(few.astype(np.float32), posinf=0, neginf=0)
    if image.has_grid and np.all(np.isfinite(image.affine)) and few.ndim == 3:
        turn = nib.io_orientation(image.affine)
        few = nib.orientations.apply_orientation(few, turn) if not np.any(np.isnan(turn)) else few
    edge = 16 if few.ndim == 3 else 64
    for axis in range(few.ndim):
        n = few.shape[axis]
        if n < edge:
            few = few.take(np.linspace(0, n - 1, edge).round().astype(int), axis)
        else:
            starts = np.arange(edge) * n // edge
            shape = [-1 if a == axis else 1 for a in range(few.ndim)]
            few = np.add.reduceat(few, starts, axis) / np.diff([*starts, n]).reshape(shape)
    spread = few.std()
    if not spread > 0:
        return ""
    scaled = np.clip((few - few.mean()) / spread * 31, -127, 127).astype(np.int8)
    return base64.b64encode(scaled.tobytes()).decode()


def _label(
    out: CaseProfile,
    label: tuple[str, Image],
    image: Image | None,
    volumes: list[npt.NDArray[Any]],
    request: Request,
) -> None:
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
        found.append(_shapes(drawn, list(image.shape)))
    whole, more = _integral(array)
    out.findings += [f.at(out.case, path) for f in found + more]
    if whole is not None:
        out.label_content = hashlib.blake2b(whole.tobytes("F"), digest_size=16).hexdigest() + str(whole.shape)
        out.findings += [
            f.at(out.case, path) for f in _structures(out, whole, drawn, image, volumes, request)
        ]


def _integral(array: npt.NDArray[Any]) -> tuple[npt.NDArray[np.integer[Any]] | None, list[Finding]]:
    if array.dtype.kind in "iub":
        return array, []
    finite = np.isfinite(array)
    if finite.all():
        whole = np.rint(array)
        apart = float(np.abs(array - whole).max()) if array.size else 0.0
        if apart < 1e-3:
            return whole.astype(np.int32), []
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
    places = np.flatnonzero(array)
    values = array.ravel()[places].astype(np.int64)
    in_file, counts = np.unique(values, return_counts=True)
    voxel_mm3 = float(np.prod(drawn.spacing_mm))
    numbers = np.array([request.relabel.get(int(v), int(v)) for v in in_file], dtype=np.int64)
    strange = {
        int(v): int(c)
        for v, n, c in zip(in_file, numbers, counts, strict=True)
        if n not in request.numbers and n != 0
    }
    found = []
    if strange:
        text = ", ".join(f"{v} ({c} voxels)" for v, c in list(strange.items())[:6])
        hint = "add `relabel` to the manifest" if set(strange) == {255} else "declare or correct them"
        expected = f"0 and {', '.join(map(str, request.numbers))}"
        found.append(Finding("label-values", BLOCKS, f"undeclared values {text}", expected, hint))
    if not len(places):
        found.append(
            Finding("label-empty", WARNING, "no voxel is labelled", "a structure", "is it so, or lost?")
        )
    value_of = numbers[np.searchsorted(in_file, values)] if len(values) else values
    fits = image is not None and image.shape == array.shape
    for number in sorted({int(n) for n in numbers if n in request.numbers}):
        at = places[value_of == number]
        index = np.array(np.unravel_index(at, array.shape))
        structure = StructureProfile(
            number, len(at), round(len(at) * voxel_mm3, 3), _centre(index, drawn), []
        )
        if fits:
            _intensities(structure, at, volumes, out, request.detail)
        if request.detail:
            structure.components = _components(index, array.ndim)
        out.structures.append(structure)
    return found


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
    at: npt.NDArray[np.int64],
    volumes: list[npt.NDArray[Any]],
    out: CaseProfile,
    detail: bool,
) -> None:
    few = at[:: max(1, len(at) // 100_000)]
    for volume, channel in zip(volumes, out.channels, strict=True):
        values = volume.ravel()[few].astype(np.float64)
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
