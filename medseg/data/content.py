"""What the files themselves say: whether they hold a label map, whatever their names say."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from medseg.data.isolation import Reader
from medseg.data.manifest import Case
from medseg.data.reading import examine
from medseg.data.words import CHANNELS, IMAGE_WORDS, LABEL_WORDS, SPLIT_WORDS, stem_of, words_of

# A label map's neighbours are alike; of an image's one in ten (12 bits) to one in three (8 bits) are.
_ALIKE, _UNLIKE = 0.7, 0.5
_FEW, _MANY = 4, 64
_MOST_WORDS = 16
LabelLike = Callable[[str], "bool | None"]


def looks_like_labels(array: np.ndarray) -> bool | None:
    """True for a label map, False for an image, None where it cannot be told (constant, not finite).

    A label map holds few whole numbers in patches: of neighbours that are both not 0 most are equal.
    A mask that was stored as JPEG is near 0 or 255 nearly everywhere.
    """
    if array.ndim == 3 and array.shape[-1] in (3, 4) and np.all(array[..., 0] == array[..., 1]):
        array = array[..., 0]
    if array.size == 0 or (array.dtype.kind == "f" and not np.all(np.isfinite(array))):
        return None
    values = np.unique(array)
    if len(values) < 2:
        return None
    if array.dtype == np.uint8 and np.mean((array <= 10) | (array >= 245)) > 0.97 and values[-1] >= 245:
        return True
    whole = bool(np.all(values == np.rint(values))) and values[0] >= 0
    if whole and len(values) <= _FEW:
        return True
    axis = int(np.argmax(array.shape[:3]))
    a, b = (
        np.take(array, range(array.shape[axis] - 1), axis),
        np.take(array, range(1, array.shape[axis]), axis),
    )
    inside = (a != 0) & (b != 0)
    share = float(np.mean(a[inside] == b[inside])) if inside.any() else 1.0
    if whole and share > _ALIKE:
        return True
    return False if len(values) > _MANY and share < _UNLIKE else None


def opener(folder: Path, reader: Reader) -> LabelLike:
    """A function that looks into a file of the folder, once; None also where it cannot be read."""
    known: dict[str, bool | None] = {}

    def like(path: str) -> bool | None:
        if path not in known:
            image, _ = examine(folder / path, reader=reader)
            known[path] = None if image is None else looks_like_labels(image.array)
        return known[path]

    return like


def label_words_by_content(paths: Sequence[str], like: LabelLike) -> list[str]:
    """Words whose files all hold label maps, while the files without them hold images."""
    having: dict[str, list[str]] = defaultdict(list)
    known = LABEL_WORDS | IMAGE_WORDS | SPLIT_WORDS.keys() | CHANNELS.keys()
    for path in paths:
        parts = PurePosixPath(path).parts[:-1]
        words = {w.lower() for name in (*parts, stem_of(path)) for w in words_of(name)}
        for word in words - known:
            having[word].append(path)
    likely = [w for w, files in having.items() if 2 <= len(files) <= 0.8 * len(paths) and not w.isdecimal()]
    likely.sort(key=lambda w: -len(having[w]))
    found: list[str] = []
    for word in likely[:_MOST_WORDS]:
        inside = set(having[word])
        outside = [p for p in paths if p not in inside]
        if all(like(p) for p in some_of(having[word], 3)) and not any(like(p) for p in some_of(outside, 4)):
            found.append(word)
    return found


def mistaken_labels(cases: Sequence[Case], like: LabelLike) -> str:
    """A file that was taken for a label map where all that were looked at hold images; else empty."""
    looked = [c.label for c in cases if c.label][:: max(1, len(cases) // 6)]
    found = [like(p) for p in looked]
    return str(looked[0]) if looked and all(f is False for f in found) else ""


def some_of(files: Sequence[str], n: int) -> Sequence[str]:
    """At most `n` of the files, spread over all of them."""
    return files[:: max(1, len(files) // n)][:n]
