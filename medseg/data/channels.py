"""What a channel should look like, learned from the other cases: exchanged channels, units, colour."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import permutations

import numpy as np
import numpy.typing as npt

from medseg.data.findings import BLOCKS, WARNING, Finding
from medseg.data.manifest import Manifest
from medseg.data.profile import QUANTILES, CaseProfile

_FEWEST = 5
_MOST_CHANNELS = 5


def channel_findings(manifest: Manifest, profiles: Sequence[CaseProfile]) -> list[Finding]:
    """Exchanged channels, suspicious units, and colour among grey."""
    usual = Counter(len(p.channels) for p in profiles if p.channels)
    if not usual:
        return []
    n = usual.most_common(1)[0][0]
    whole = [p for p in profiles if len(p.channels) == n and all(c.quantiles for c in p.channels)]
    found = _units(manifest, whole)
    found += _colour(profiles)
    if 2 <= n <= _MOST_CHANNELS and len(whole) >= _FEWEST and not any(c.is_rgb for c in whole[0].channels):
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
    features = np.array([_features(p) for p in profiles])
    # A structure that no case has leaves a column without numbers, which counts for nothing.
    features = np.where(np.all(np.isnan(features), axis=0), 0.0, features)
    middle = np.nanmedian(features, axis=0)
    spread = 1.4826 * np.nanmedian(np.abs(features - middle), axis=0) + 0.05
    orders = list(permutations(range(features.shape[1])))
    found = []
    for p, own in zip(profiles, features, strict=True):
        costs = [_cost(own[list(order)], middle, spread) for order in orders]
        best = int(np.argmin(costs))
        if best and costs[0] > 1.5 * costs[best] and costs[0] - costs[best] > _LEAST_GAIN:
            found.append(_order_finding(manifest, p, orders[best], costs[0], costs[best]))
    return found


_LEAST_GAIN = 0.75


def _cost(
    own: npt.NDArray[np.float64], middle: npt.NDArray[np.float64], spread: npt.NDArray[np.float64]
) -> float:
    """Mean robust distance; a single wild feature counts no more than six."""
    usable = ~np.isnan(own)
    return float(np.minimum(np.abs(own - middle) / spread, 6)[usable].mean()) if usable.any() else 0.0


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


def _features(p: CaseProfile) -> npt.NDArray[np.float64]:
    """Per channel: the shape of its histogram and the contrast of each structure, whatever the scale."""
    numbers = (1, 2, 3, 4)
    rows = []
    for number, channel in enumerate(p.channels):
        q = np.array(channel.quantiles)
        spread = max(q[6] - q[2], 1e-9)
        shape = (q[[2, 3, 5, 6, 7]] - q[4]) / spread
        by_number = {s.number: s.intensity for s in p.structures}
        contrast = [
            by_number[n][number] if n in by_number and len(by_number[n]) > number else np.nan for n in numbers
        ]
        rows.append([*shape, *(2 * c for c in contrast)])
    assert len(QUANTILES) == len(p.channels[0].quantiles)
    return np.array(rows)
