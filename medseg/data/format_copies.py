"""Files that lie there twice, in two formats: which of them count."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from medseg.data.words import ENDINGS, ending_of


def without_copies(paths: Sequence[str]) -> tuple[list[str], list[str]]:
    """The paths without copies in another format (``1.nii`` beside ``1.nii.gz``), and a note on them.

    A photo and a PNG of one name are kept where that is the rule: the PNG may be its mask.
    """
    same: dict[str, list[str]] = defaultdict(list)
    for p in paths:
        same[p[: -len(ending_of(p))].lower()].append(p)
    twice = [g for g in same.values() if len(g) > 1]
    if not twice or (len(twice) * 2 > len(same) and all(_photo_and_mask(g) for g in twice)):
        return list(paths), []
    usual = Counter(ending_of(p) for p in paths)
    kept = {max(g, key=lambda p: (usual[ending_of(p)], -ENDINGS.index(ending_of(p)))) for g in same.values()}
    left = [p for p in paths if p not in kept]
    return [p for p in paths if p in kept], [
        f"{len(left)} files left out that lie there in another format as well, first {left[0]}"
    ]


def _photo_and_mask(group: Sequence[str]) -> bool:
    endings = {ending_of(p) for p in group}
    return len(group) == 2 and bool(endings & {".jpg", ".jpeg", ".tif", ".bmp"}) and ".png" in endings
