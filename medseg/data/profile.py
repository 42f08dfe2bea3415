"""One pass over a case: what `medseg data check` and `fingerprint` need to know of it, small enough to keep.

Runs in a child process, one per worker, so that memory stays flat and a crash costs one case.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medseg.data.findings import BLOCKS, Finding
from medseg.data.grid import same_grid
from medseg.data.isolation import Reader
from medseg.data.profiles import QUANTILES, CaseProfile, ChannelProfile, Request
from medseg.data.reading import Image, examine
from medseg.data.structures import label_findings, shape_finding

_SAMPLE = 1_000_000


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
        out.n_bytes += _size(where)
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
        label_findings(out, label, images[0][1] if images else None, volumes, request)
    if request.detail and volumes:
        from medseg.data.mosaic import mid_slice

        out.mosaic = mid_slice(images[0][1], volumes[0], label[1] if label else None)
    return out


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(p.stat().st_size for p in files if p.is_file())


def _hash(path: Path, sha256: str) -> Finding | None:
    from medseg.hashes import file_hash

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
            out.findings.append(shape_finding(image, out.shape).at(out.case, path))
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
        thumb(image, part),
        image.modality,
    )


def _sample(part: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """About a million voxels on a regular grid, enough for quantiles."""
    step = max(1, int(np.ceil((part.size / _SAMPLE) ** (1 / part.ndim))))
    return part[(slice(None, None, step),) * part.ndim]


def thumb(image: Image, part: npt.NDArray[Any]) -> str:
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
