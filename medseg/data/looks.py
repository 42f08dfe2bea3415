"""An image unlike the others of its kind, taken as a whole: noise, inverted, turned, or in another unit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from medseg.data.findings import WARNING, Finding
from medseg.data.outliers import is_outlier
from medseg.data.profiles import CaseProfile

_FEWEST = 8
# Photographs are taken freely: only many of them tell what is usual.
_FEWEST_PICTURES = 50
# Where scales differ by more than this among the cases that are not accused, no scale is the usual one.
_USUAL_FACTOR = 5
_DO = "look at this image: is it whole, upright, in the usual unit, and of the usual body part?"


def look_findings(profiles: Sequence[CaseProfile]) -> list[Finding]:
    """Images whose thumbnail or whose scale of intensities lies far outside the other cases'."""
    whole = [p for p in profiles if p.channels and all(c.thumb and c.quantiles for c in p.channels)]
    kinds = {(len(p.channels), len(p.shape)) for p in whole}
    found = []
    for kind in sorted(kinds):
        alike = [p for p in whole if (len(p.channels), len(p.shape)) == kind]
        if len(alike) >= (_FEWEST if kind[1] == 3 else _FEWEST_PICTURES):
            for channel in range(kind[0]):
                found += _unlike(alike, channel) + _scale(alike, channel)
    found += _extents(whole)
    # One image that differs in each of its channels is one finding.
    return list({(f.rule, f.case): f for f in reversed(found)}.values())


def _unlike(cases: Sequence[CaseProfile], channel: int) -> list[Finding]:
    """Correlation with the median of the thumbnails: high in a set where all lie alike, and then telling."""
    thumbs = _unit(np.stack([p.channels[channel].thumbnail() for p in cases]))
    likeness = thumbs @ _unit(np.median(thumbs, axis=0)[None])[0]
    usual = float(np.median(likeness))
    far = is_outlier(likeness.astype(float), floor=0.03, least=0.25) & (likeness < usual)
    text = "the image is unlike the others (correlation with their median {:.2f})"
    return [
        _finding(p, channel, text.format(value), f"about {usual:.2f}")
        for p, value, accused in zip(cases, likeness, far, strict=True)
        if accused
    ]


def _scale(cases: Sequence[CaseProfile], channel: int) -> list[Finding]:
    """From the 5th to the 95th per cent: told where the others share one scale, and one or few do not."""
    spans = np.array([p.channels[channel].quantiles[6] - p.channels[channel].quantiles[2] for p in cases])
    logs = np.log(np.maximum(spans, 1e-12))
    far = is_outlier(logs, floor=0.1, least=float(np.log(30)))
    away = np.abs(logs - np.median(logs))
    if far.sum() > max(1, len(cases) // 20) or np.any(away[~far] > np.log(_USUAL_FACTOR)):
        return []
    usual = f"about {np.median(spans):.4g}"
    return [
        _finding(p, channel, f"intensities span {span:.4g}", usual)
        for p, span, accused in zip(cases, spans, far, strict=True)
        if accused
    ]


def _extents(cases: Sequence[CaseProfile]) -> list[Finding]:
    """Fields of view many times larger or smaller than the others': centimetres, or a lost spacing."""
    alike = [p for p in cases if p.has_grid and len(p.shape) == 3]
    if len(alike) < _FEWEST:
        return []
    extents = np.array([np.array(p.shape) * p.spacing_mm for p in alike])
    far = is_outlier(np.log(extents.max(1)), floor=0.1, least=float(np.log(5)))
    usual = f"about {np.median(extents.max(1)):.4g} mm"
    do = "look at the spacing in the header: is it in millimetres, and this scan's own?"
    return [
        Finding("outlier-extent", WARNING, f"a field of view of {e.max():.4g} mm", usual, do, p.case)
        for p, e, accused in zip(alike, extents, far, strict=True)
        if accused
    ]


def _finding(p: CaseProfile, channel: int, found: str, expected: str) -> Finding:
    return Finding("outlier-image", WARNING, found, expected, _DO, p.case, p.channels[channel].file)


def _unit(rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6), np.float32)
