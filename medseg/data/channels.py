"""What a channel should look like, learned from the other cases: exchanged channels, units, colour."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import permutations

import numpy as np
import numpy.typing as npt

from medseg.data.findings import BLOCKS, WARNING, Finding
from medseg.data.manifest import Manifest
from medseg.data.profiles import CaseProfile

_FEWEST = 5
_MOST_CHANNELS = 5


def channel_findings(manifest: Manifest, profiles: Sequence[CaseProfile]) -> list[Finding]:
    """Exchanged channels, suspicious units, and colour among grey."""
    usual = Counter(len(p.channels) for p in profiles if p.channels)
    if not usual:
        return []
    n = usual.most_common(1)[0][0]
    whole = [p for p in profiles if len(p.channels) == n and all(c.quantiles and c.thumb for c in p.channels)]
    found = _units(manifest, whole)
    found += _colour(profiles)
    volumes = bool(whole) and not any(c.is_rgb for c in whole[0].channels)
    if volumes and 2 <= n <= _MOST_CHANNELS and len(whole) >= _FEWEST:
        found += _exchanged(manifest, whole)
    return found


def _units(manifest: Manifest, profiles: Sequence[CaseProfile]) -> list[Finding]:
    found = []
    for number in range(len(profiles[0].channels) if profiles else 0):
        name = manifest.channels[number] if number < len(manifest.channels) else ""
        lowest = np.array([p.channels[number].quantiles[0] for p in profiles])
        named = (
            "CT" in name.upper().replace("-", " ").replace("_", " ").split() or "HU" in name.upper().split()
        )
        usual = len(lowest) >= _FEWEST and np.mean(lowest < -200) > 0.6
        for p, low in zip(profiles, lowest, strict=True):
            channel = p.channels[number]
            if low >= 0 and (named or usual or channel.modality == "CT"):
                text = f"CT without negative values (lowest {low:g})"
                do = "add the rescale intercept, mostly -1024"
                bad = Finding("units", WARNING, text, "Hounsfield units, air near -1000", do)
                found.append(bad.at(p.case, channel.file))
    return found


def _colour(profiles: Sequence[CaseProfile]) -> list[Finding]:
    """Colour among grey, or grey among colour; what most cases are is taken as right."""
    kinds = {p.case: _kind(p) for p in profiles if p.channels}
    counts = Counter(kinds.values())
    if len(counts) < 2:
        return []
    usual = counts.most_common(1)[0][0]
    return [
        Finding(
            "colour",
            WARNING,
            kinds[p.case],
            f"{usual}, as {counts[usual]} others",
            "convert it",
            p.case,
            p.channels[0].file,
        )
        for p in profiles
        if p.channels and kinds[p.case] != usual
    ]


def _kind(p: CaseProfile) -> str:
    channel = p.channels[0]
    return "a grey image stored in colour" if channel.is_grey else "colour" if channel.is_rgb else "grey"


def _exchanged(manifest: Manifest, profiles: Sequence[CaseProfile]) -> list[Finding]:
    """Cases whose channels fit the other cases' profiles far better in another order."""
    known = [_features(p) for p in profiles]
    orders = list(permutations(range(len(profiles[0].channels))))
    rows = np.array([_ordered(f, orders[0]) for f in known])
    whole = _model(rows) if len(rows) > _LEAVE_ONE_OUT else None
    found = []
    for number, (p, own) in enumerate(zip(profiles, known, strict=True)):
        middle, spread = whole or _model(np.delete(rows, number, axis=0))
        costs = [_cost(_ordered(own, order), middle, spread) for order in orders]
        best = int(np.argmin(costs))
        if best and costs[0] > _RATIO * costs[best]:
            found.append(_order_finding(manifest, p, orders[best], costs[0], costs[best]))
    return found


# On 12 cases of BraTS 2018 the right order costs at most 0.53 of the best other one, and any exchange of two
# channels at least 1.9 of it; on phantoms 0.23 and 4.3.
_RATIO = 1.3
_LEAVE_ONE_OUT = 60
_WORST = 25.0

Floats = npt.NDArray[np.float64]


def _model(rows: Floats) -> tuple[Floats, Floats]:
    """Median and robust spread of every feature; a feature that nobody has counts for nothing."""
    rows = np.where(np.all(np.isnan(rows), axis=0), 0.0, rows)
    middle = np.nanmedian(rows, axis=0)
    return middle, 1.4826 * np.nanmedian(np.abs(rows - middle), axis=0) + 0.1


def _cost(own: Floats, middle: Floats, spread: Floats) -> float:
    """Mean squared robust distance; one wild feature counts no more than five deviations."""
    usable = ~np.isnan(own)
    return float(np.minimum(((own - middle) / spread) ** 2, _WORST)[usable].mean()) if usable.any() else 0.0


def _order_finding(
    manifest: Manifest, p: CaseProfile, order: tuple[int, ...], now: float, then: float
) -> Finding:
    names = [*manifest.channels, *(f"channel {n}" for n in range(len(manifest.channels), len(order)))]
    moved = [
        f"{names[k]} looks like {names[order.index(k)]}" for k in range(len(order)) if order.index(k) != k
    ]
    text = f"{'; '.join(moved)} (distance {now:.1f}, exchanged {then:.1f})"
    file = p.channels[next(k for k, o in enumerate(order) if o != k)].file
    return Finding(
        "channels-swapped",
        BLOCKS,
        text,
        f"the order {', '.join(names)}",
        "correct the order of `image`",
        p.case,
        file,
    )


Features = tuple[Floats, Floats, Floats]


def _features(p: CaseProfile) -> Features:
    """Shape of each histogram, contrast of each structure in it, how channels correlate; free of scale."""
    shapes, contrasts = [], []
    by_number = {s.number: s.intensity for s in p.structures}
    for number, channel in enumerate(p.channels):
        q = np.array(channel.quantiles)
        shapes.append((q[[2, 3, 5, 6, 7]] - q[4]) / max(q[6] - q[2], 1e-9))
        known = [by_number.get(n, []) for n in (1, 2, 3, 4)]
        contrasts.append([i[number] if len(i) > number else np.nan for i in known])
    alike = np.corrcoef(np.stack([c.thumbnail() for c in p.channels]))
    return np.array(shapes), 2 * np.array(contrasts), 2 * np.arctanh(np.clip(alike, -0.999, 0.999))


def _ordered(known: Features, order: Sequence[int]) -> Floats:
    """One row of features with the channels in this order: each channel's own, and the differences of pairs.

    Differences are tighter than the features themselves, since what a scanner does it does to all channels.
    """
    shapes, contrasts, alike = known
    shapes, contrasts, alike = shapes[list(order)], contrasts[list(order)], alike[np.ix_(order, order)]
    a, b = np.triu_indices(len(order), 1)
    pairs = [shapes[a] - shapes[b], contrasts[a] - contrasts[b], alike[a, b]]
    return np.concatenate([x.ravel() for x in (shapes, contrasts, *pairs)])
