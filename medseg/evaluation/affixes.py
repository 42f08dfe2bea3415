"""What of a file's name is not the case's: affixes, words for label maps, names of channels."""

from __future__ import annotations

import re
import unicodedata

from medseg.data.words import CHANNELS, IMAGE_WORDS, LABEL_WORDS, words_of

SUFFIXES = (
    *(
        "_pred",
        "_prediction",
        "_predicted",
        "_seg",
        "_segmentation",
        "_mask",
        "_label",
        "_labels",
        "_labelmap",
    ),
    *("_gt", "_ref", "_reference", "_groundtruth", "_ground_truth", "_trans", "_out", "_output", "_result"),
)
PREFIXES = ("pred_", "prediction_", "seg_", "segmentation_", "mask_", "label_", "labels_", "gt_", "ref_")
# What says no more than that it is a label map.
_PREDICTED = (
    "pred",
    "prediction",
    "predictions",
    "predicted",
    "trans",
    "out",
    "output",
    "result",
    "ref",
    "reference",
)
_SAYS_NOTHING = frozenset(_PREDICTED) | LABEL_WORDS | IMAGE_WORDS


def loosely(name: str) -> str:
    """The id in small letters, words joined by ``_``, without those for a file's role and ``label-…``."""
    bare = re.sub(r"(?<![a-z0-9])(label|desc|space|res)-[a-z0-9]+", "", folded(name))
    words = [w for w in words_of(without_affixes(bare)) if w not in _SAYS_NOTHING]
    return "_".join(words) or folded(name)


def without_channel(name: str) -> str:
    """The id, loosely, without nnU-Net's channel number and the names of channels at its end."""
    bare = re.sub(r"[_-]\d{4}$", "", without_affixes(folded(name)))
    words = loosely(bare).split("_")
    while len(words) > 1 and words[-1] in CHANNELS:
        words.pop()
    return "_".join(words)


def folded(name: str) -> str:
    """The name in small letters, its accents composed alike on every system."""
    return unicodedata.normalize("NFC", name).casefold()


def says_nothing(name: str) -> bool:
    """True where a name tells no case, only that it is an image or a label map."""
    return all(w.lower() in _SAYS_NOTHING for w in words_of(name))


def without_affixes(name: str) -> str:
    """The id without the usual affixes, for example ``case_7`` of ``pred_case_7_seg``; never empty."""
    bare = name
    changed = True
    while changed:
        changed = False
        lower = bare.lower().replace("-", "_").replace(".", "_")
        for suffix in SUFFIXES:
            if lower.endswith(suffix) and len(lower) > len(suffix):
                bare, changed = bare[: -len(suffix)], True
                break
        else:
            for prefix in PREFIXES:
                if lower.startswith(prefix) and len(lower) > len(prefix):
                    bare, changed = bare[len(prefix) :], True
                    break
    return bare
