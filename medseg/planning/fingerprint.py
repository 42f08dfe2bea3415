"""The fingerprint of a data set: the numbers from which a bundle can be planned."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medseg.data.checking import profiles_of
from medseg.data.manifest import Manifest
from medseg.data.profiles import QUANTILES, CaseProfile
from medseg.errors import ManifestError

_SUMMARY = (0, 5, 25, 50, 75, 95, 100)


@dataclass(frozen=True)
class Fingerprint:
    """What a data set is like.

    Attributes:
        summary: for planning, as JSON: grid, intensities, structures, cost.
        cases: the same per case.
        mosaic: (case, PNG as base64) of the middle of some cases.
    """

    summary: Mapping[str, Any]
    cases: Sequence[Mapping[str, Any]]
    mosaic: Sequence[tuple[str, str]]

    def as_dict(self) -> dict[str, Any]:
        """The fingerprint as JSON, without the pictures."""
        return {**self.summary, "per_case": list(self.cases)}


def fingerprint(
    manifest: Manifest,
    dataset_dir: str | os.PathLike[str],
    *,
    workers: int = 0,
    progress: Callable[[int, int], None] | None = None,
    n_pictures: int = 24,
) -> Fingerprint:
    """The fingerprint of every case outside the test split.

    The test split is left out, as planning from it would leak. Cases that cannot be read are counted and left
    out; `medseg data check` says why.

    Raises:
        ManifestError: the folder is missing, or no case can be read.
    """
    root = Path(dataset_dir)
    items = tuple(c for c in manifest.items if c.split != "test") or manifest.items
    if not root.is_dir() or not items:
        raise ManifestError(f"no folder {root} or no case", "a folder with cases", "give the right --data")
    known = manifest.with_cases(items)
    found = sorted(
        profiles_of(known, root, workers=workers, progress=progress, detail=True), key=lambda p: p.case
    )
    whole = [p for p in found if p.channels]
    if not whole:
        raise ManifestError(
            f"none of {len(found)} cases can be read", "readable images", "run `medseg data check` to see why"
        )
    step = max(1, len(whole) // n_pictures)
    pictures = [(p.case, p.mosaic) for p in whole[::step] if p.mosaic][:n_pictures]
    summary = {
        "name": manifest.name,
        "description": manifest.description,
        "n_cases": len(whole),
        "n_unreadable": len(found) - len(whole),
        "n_patients": len({p.patient for p in whole}),
        "n_labelled": sum(p.has_label for p in whole),
        "dimensions": Counter(len(p.shape) for p in whole).most_common(1)[0][0],
        "has_grid": all(p.has_grid for p in whole),
        "grid": _grid(whole),
        "channels": _channels(manifest, whole),
        "structures": _structures(manifest, whole),
        "cost": _cost(whole),
    }
    return Fingerprint(summary, [_row(p) for p in whole], pictures)


def quantiles(values: Sequence[float]) -> dict[str, float]:
    """The values' quantiles by per cent, rounded to six significant digits."""
    if not len(values):
        return {}
    return {str(q): float(f"{v:.6g}") for q, v in zip(_SUMMARY, np.percentile(values, _SUMMARY), strict=True)}


def _grid(cases: Sequence[CaseProfile]) -> dict[str, Any]:
    """Shapes, spacings and extents per axis of the array, and the orientations that occur."""
    n = Counter(len(p.shape) for p in cases).most_common(1)[0][0]
    alike = [p for p in cases if len(p.shape) == n]
    shapes, spacings = np.array([p.shape for p in alike]), np.array([p.spacing_mm for p in alike])
    return {
        "shape": [quantiles(shapes[:, a].tolist()) for a in range(n)],
        "spacing_mm": [quantiles(spacings[:, a].tolist()) for a in range(n)],
        "extent_mm": [quantiles((shapes * spacings)[:, a].tolist()) for a in range(n)],
        "anisotropy": quantiles((spacings.max(1) / np.maximum(spacings.min(1), 1e-9)).tolist()),
        "orientations": dict(Counter(p.codes for p in alike).most_common()),
    }


def _channels(manifest: Manifest, cases: Sequence[CaseProfile]) -> list[dict[str, Any]]:
    """Per channel: intensities of the image and inside the labelled structures, each over the cases."""
    n = Counter(len(p.channels) for p in cases).most_common(1)[0][0]
    alike = [p for p in cases if len(p.channels) == n]
    out = []
    for c in range(n):
        inside = [_foreground(p, c) for p in alike]
        inside = [q for q in inside if q]
        every = [p.channels[c].quantiles for p in alike if p.channels[c].quantiles]
        out.append(
            {
                "name": manifest.channels[c] if c < len(manifest.channels) else f"channel {c}",
                "zeros": quantiles([p.channels[c].zeros for p in alike]),
                "image": _over_cases(every),
                "foreground": _over_cases(inside),
            }
        )
    return out


def _foreground(p: CaseProfile, channel: int) -> list[float]:
    """Quantiles inside all structures together, each weighted by its voxels."""
    known = [(s.voxels, s.quantiles[channel]) for s in p.structures if len(s.quantiles) > channel]
    if not known:
        return []
    weights, rows = np.array([v for v, _ in known], float), np.array([q for _, q in known])
    mixed = np.asarray((weights[:, None] * rows).sum(0) / weights.sum())
    mixed[0], mixed[-1] = rows[:, 0].min(), rows[:, -1].max()
    return [float(v) for v in mixed]


def _over_cases(rows: Sequence[Sequence[float]]) -> dict[str, dict[str, float]]:
    """For each quantile within a case, its quantiles over the cases."""
    table = np.array(rows)
    return {str(q): quantiles(table[:, n].tolist()) for n, q in enumerate(QUANTILES)} if len(rows) else {}


def _structures(manifest: Manifest, cases: Sequence[CaseProfile]) -> list[dict[str, Any]]:
    """Per structure: in how many cases, what share of the voxels, volumes, connected parts."""
    labelled = [p for p in cases if p.has_label]
    voxels = sum(int(np.prod(p.shape)) for p in labelled)
    out = []
    for name, value in manifest.labels.items():
        if not isinstance(value, int) or value == 0:
            continue
        known = [s for p in labelled for s in p.structures if s.number == value]
        out.append(
            {
                "name": name,
                "number": value,
                "n_cases": len(known),
                "voxel_share": float(f"{sum(s.voxels for s in known) / max(1, voxels):.6g}"),
                "volume_mm3": quantiles([s.volume_mm3 for s in known]),
                "components": quantiles([len(s.components) for s in known]),
                "largest_component_share": quantiles(
                    [s.components[0] / s.voxels for s in known if s.components]
                ),
            }
        )
    return out


def _cost(cases: Sequence[CaseProfile]) -> dict[str, Any]:
    """What the data weigh: bytes on disk, and bytes in memory as float32 with the label map as uint8."""
    voxels = np.array([int(np.prod(p.shape)) for p in cases])
    channels = np.array([len(p.channels) for p in cases])
    memory = voxels * channels * 4 + voxels * np.array([p.has_label for p in cases])
    spacings = [p.spacing_mm for p in cases if p.has_grid]
    target = np.median(spacings, axis=0) if spacings else np.ones(len(cases[0].shape))
    resampled = [
        float(np.prod(np.array(p.shape) * p.spacing_mm / target))
        for p in cases
        if len(p.shape) == len(target)
    ]
    return {
        "disk_bytes": int(sum(p.n_bytes for p in cases)),
        "memory_bytes": int(memory.sum()),
        "memory_bytes_per_case": quantiles(memory.tolist()),
        "median_spacing_mm": [float(f"{t:.6g}") for t in target],
        "voxels_at_median_spacing": quantiles(resampled),
        # Windows of 96 voxels (256 in a picture) with half of each overlapping, the price of one prediction.
        "windows_per_case": quantiles([_windows(p, target) for p in cases]),
    }


def _windows(p: CaseProfile, target: np.ndarray) -> float:
    edge = 96 if len(p.shape) == 3 else 256
    scale = np.array(p.spacing_mm) / target if len(p.shape) == len(target) else np.ones(len(p.shape))
    size = np.array(p.shape) * scale
    return float(np.prod(np.maximum(1, np.ceil((size - edge) / (edge / 2)) + 1)))


def _row(p: CaseProfile) -> dict[str, Any]:
    return {
        "case": p.case,
        "patient": p.patient,
        "split": p.split,
        "shape": p.shape,
        "spacing_mm": p.spacing_mm,
        "orientation": p.codes,
        "n_channels": len(p.channels),
        "intensity": [dict(zip(map(str, QUANTILES), c.quantiles, strict=False)) for c in p.channels],
        "foreground": [
            dict(zip(map(str, QUANTILES), _foreground(p, c), strict=False)) for c in range(len(p.channels))
        ],
        "structures": {
            str(s.number): {
                "voxels": s.voxels,
                "volume_mm3": s.volume_mm3,
                "n_components": len(s.components),
                "intensity": [dict(zip(map(str, QUANTILES), q, strict=True)) for q in s.quantiles],
            }
            for s in p.structures
        },
    }
