"""The same scan twice: by the hash of its voxels, and nearly the same by its standardised thumbnail."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from medseg.data.findings import BLOCKS, WARNING, Finding
from medseg.data.profiles import CaseProfile, ChannelProfile

# Correlation of thumbnails: copies with noise, another scale or compression stay above the first, a crop by a
# voxel above the second; scans of two people reach 0.83 and their details 0.52 (60 of MSD hippocampus).
_NEAR, _CROPPED, _DETAIL = 0.985, 0.9, 0.65
# What sets 12 registered heads of BraTS 2018 apart correlates by 0.45 at most.
_APART = 0.6
_ENOUGH = 8
_BLOCK = 512


def duplicate_findings(profiles: Sequence[CaseProfile]) -> list[Finding]:
    """Exact and near copies of images, within and across cases and splits; copies of whole label maps."""
    found, known = [], set()
    for kind, first, second in _exact(profiles):
        known.add((first.case, second.case))
        found.append(_finding("duplicate", f"the same {kind} as", first, second))
    for first, second, likeness in _near(profiles):
        if (first.case, second.case) not in known:
            found.append(
                _finding(
                    "near-duplicate", f"nearly the same image (correlation {likeness:.3f}) as", first, second
                )
            )
    return found + _within(profiles)


def _finding(rule: str, text: str, first: CaseProfile, second: CaseProfile) -> Finding:
    across = first.split != second.split
    severity = BLOCKS if across else WARNING
    where = f"{first.case} in {first.split}" if across else first.case
    file = second.channels[0].file if second.channels else ""
    return Finding(
        rule, severity, f"{text} {where}", "a scan once", "keep one of them, in one split", second.case, file
    )


def _exact(profiles: Sequence[CaseProfile]) -> Iterator[tuple[str, CaseProfile, CaseProfile]]:
    seen: dict[str, CaseProfile] = {}
    for p in profiles:
        pairs: dict[str, tuple[str, CaseProfile]] = {}
        for channel in p.channels:
            # Constant channels are a finding of their own and are alike by nature.
            if channel.thumb and channel.content in seen and seen[channel.content] is not p:
                pairs[seen[channel.content].case] = ("image", seen[channel.content])
            seen.setdefault(channel.content, p)
        label = f"label {p.label_content}"
        if p.label_content and len(p.structures) and label in seen:
            pairs.setdefault(seen[label].case, ("label map", seen[label]))
        seen.setdefault(label, p)
        for kind, first in pairs.values():
            yield kind, first, p


def _within(profiles: Sequence[CaseProfile]) -> list[Finding]:
    """One channel given twice in a case, which hides that another is missing."""
    found = []
    for p in profiles:
        files: dict[str, list[str]] = defaultdict(list)
        for channel in p.channels:
            if channel.thumb and not channel.is_rgb:
                files[channel.content].append(channel.file)
        for same in files.values():
            if len(same) > 1:
                text = f"{len(same)} channels hold the same voxels"
                bad = Finding("duplicate", BLOCKS, text, "different channels", "find the missing channel")
                found.append(bad.at(p.case, same[1]))
    return found


def _near(profiles: Sequence[CaseProfile]) -> Iterator[tuple[CaseProfile, CaseProfile, float]]:
    """Pairs whose first channels' thumbnails correlate beyond what two scans of the same kind do."""
    groups: dict[int, list[CaseProfile]] = defaultdict(list)
    for p in profiles:
        if p.channels and p.channels[0].thumb:
            groups[len(p.shape)].append(p)
    for group in groups.values():
        n = len(group[0].shape)
        thumbs, detail = _looks([p.channels[0] for p in group], n)
        # Registered heads are alike in all that they share, so what sets each apart is compared as well.
        shared = np.median(thumbs, axis=0).astype(np.float32)
        apart = _unit(thumbs - shared) if len(group) >= _ENOUGH else None
        for i, j, likeness in _alike(thumbs, detail, apart):
            if _every_channel(group[i], group[j]):
                yield group[i], group[j], likeness


def _looks(
    channels: Sequence[ChannelProfile], dimensions: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Thumbnails and their detail as unit vectors: scans of a kind share what is smooth, copies share all."""
    rows = np.stack([c.thumbnail() for c in channels])
    edges = (16, 16, 16) if dimensions == 3 else (64, 64)
    blocks = rows.reshape(-1, *edges)
    detail = blocks - ndimage.uniform_filter(blocks, (0, *(3 for _ in edges)))
    return _unit(rows), _unit(detail.reshape(rows.shape))


def _every_channel(first: CaseProfile, second: CaseProfile) -> bool:
    """True where all channels are alike: the black frame of a dermatoscope fills the red one alone."""
    if len(first.channels) != len(second.channels):
        return True
    for a, b in zip(first.channels[1:], second.channels[1:], strict=True):
        if a.thumb and b.thumb:
            plain, detail = _looks([a, b], len(first.shape))
            if plain[0] @ plain[1] < _CROPPED or detail[0] @ detail[1] < _DETAIL:
                return False
    return True


def _unit(rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    centred = rows - rows.mean(1, keepdims=True)
    return np.asarray(centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-6))


def _alike(
    whole: npt.NDArray[np.float32],
    detail: npt.NDArray[np.float32],
    apart: npt.NDArray[np.float32] | None,
) -> Iterator[tuple[int, int, float]]:
    for start in range(0, len(whole), _BLOCK):
        rows = slice(start, start + _BLOCK)
        plain = whole[rows] @ whole.T
        fine = detail[rows] @ detail.T
        # In a small set nothing tells what all share: only the closest likeness counts there.
        copies = (plain > _NEAR) & (fine > _DETAIL)
        if apart is not None:
            copies |= (plain > _CROPPED) & (fine > 0.7)
            copies &= apart[rows] @ apart.T > _APART
        for i, j in np.argwhere(copies):
            if start + i < j:
                yield int(start + i), int(j), float(plain[i, j])
