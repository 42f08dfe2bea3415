"""The words of file names: which mean *label*, *image*, *channel* or *split*, and what is left of a name."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

ENDINGS: tuple[str, ...] = (
    *(".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd", ".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"),
    *(".gif", ".img.gz", ".img", ".mgz", ".mgh", ".mnc"),
)
_LABEL = "label labels labelstr labelsts labelsva labelmap labelmaps lbl lbls lab seg segs segm segmentation"
_LABEL += " segmentations segmented mask masks msk msks gt gtv dseg groundtruth groundtruths truth annotation"
_LABEL += " annotations annotated anno annos annot annots ann manual contour contours ot roi rois"
LABEL_WORDS = frozenset(_LABEL.split())
_IMAGE = "image images imagestr imagests imagesva imaging img imgs im scan scans volume volumes vol vols orig"
_IMAGE += " original originals data raw picture pictures photo photos anat derivatives 1st jpeg dicom"
IMAGE_WORDS = frozenset(_IMAGE.split())
SPLIT_WORDS = {
    **dict.fromkeys(("train", "training", "trainset", "imagestr", "labelstr"), "training"),
    **dict.fromkeys(("val", "valid", "validation", "valset", "imagesva", "labelsva"), "validation"),
    **dict.fromkeys(("test", "testing", "testset", "imagests", "labelsts"), "test"),
}
# Names of channels, in the order in which MSD and MONAI give those of BraTS.
CHANNELS = {
    **dict.fromkeys(("flair", "t2f"), "FLAIR"),
    **dict.fromkeys(("t1", "t1n", "t1w"), "T1"),
    **dict.fromkeys(("t1ce", "t1c", "t1gd"), "T1ce"),
    **dict.fromkeys(("t2", "t2w"), "T2"),
    **{
        w: w.upper()
        for w in ("adc", "dwi", "pd", "pdw", "ct", "cta", "pet", "suv", "swi", "cbf", "cbv", "mtt")
    },
}
CHANNEL_ORDER = {name: number for number, name in enumerate(dict.fromkeys(CHANNELS.values()))}
_ROLES = LABEL_WORDS | IMAGE_WORDS
_KNOWN = _ROLES | SPLIT_WORDS.keys()
_COMPOUND = re.compile(r"([a-z]+)(masks?|segs?|labels?|segmentations?)")
_CAMEL = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")
_VISITS = "visit ses session timepoint tp baseline followup pre post preop postop intraop week month year"
# Frames of a film and slices of a volume are one patient's as visits are.
_VISITS += " frame frames slice slices"
_VISIT = re.compile(rf"(?:{'|'.join(_VISITS.split())})\d*")


@dataclass(frozen=True)
class Part:
    """One file, taken apart.

    Attributes:
        path: inside the data set's folder.
        by_name, by_folder: ``label``, ``image`` or nothing, as its own words or its nearest folder say.
        split: as a word of the path tells, or empty.
        channel: the known channel among its words, or nnU-Net's number.
        place: the folders without words for label, image and split.
        rest: what else is in the name.
        name: the rest as it is spelt in the file's name.
        ending: in lower case.
    """

    path: str
    by_name: str
    by_folder: str
    split: str
    channel: str
    place: tuple[str, ...]
    rest: tuple[str, ...]
    name: str
    ending: str


def ending_of(path: str) -> str:
    """The known ending in lower case, ``.nii.gz`` counting as one; empty where it is none of an image."""
    low = path.lower()
    return next((e for e in ENDINGS if low.endswith(e)), "")


def stem_of(path: str) -> str:
    """The file's name without its ending, ``.nii.gz`` counting as one."""
    name = PurePosixPath(path).name
    ending = ending_of(name) or PurePosixPath(name).suffix
    return name[: -len(ending)] if ending else name


def words_of(name: str) -> list[str]:
    """The words of a name; words for label and image are parted from what they are written together with.

    ``img0001`` is two words, ``LabelsForTraining`` three, ``brainmask`` two, and ``BraTS2021`` one.
    """
    found: list[str] = []
    for word in re.split(r"[_\-.,+()\[\]\s]+", name):
        pieces = _CAMEL.findall(word)
        compound = _COMPOUND.fullmatch(word.lower())
        if word.lower() in _KNOWN:
            found.append(word)
        elif len(pieces) > 1 and has_word(pieces, _ROLES):
            found += pieces
        elif compound:
            found += [word[: len(compound[1])], word[len(compound[1]) :]]
        else:
            found.append(word)
    return [w for w in found if w]


def has_word(words: Iterable[str], known: Collection[str]) -> bool:
    """True where one of the words, in lower case, is known."""
    return any(w.lower() in known for w in words)


def take_apart(path: str, label_words: Collection[str] = LABEL_WORDS, indexed: bool = False) -> Part:
    """The words of a path, each in its part.

    Args:
        path: inside the data set's folder.
        label_words: which words mean a label map.
        indexed: a name that means no label ends in nnU-Net's channel number (``_0000``).
    """
    stem, channel = stem_of(path), ""
    folders = PurePosixPath(path).parts[:-1]
    by_folder = next((r for f in reversed(folders) if (r := _role(words_of(f), label_words))), "")
    by_name = _role(words_of(stem), label_words)
    if indexed and "label" not in (by_folder, by_name) and (match := re.fullmatch(r"(.+)_(\d{4})", stem)):
        stem, channel = match[1], match[2]
    words = words_of(stem)
    folder_words = [w.lower() for f in folders for w in words_of(f)]
    split = next((SPLIT_WORDS[w] for w in [*folder_words, *map(str.lower, words)] if w in SPLIT_WORDS), "")
    named = [w for w in words[-3:] if w.lower() in CHANNELS]
    if not channel and named:
        channel = CHANNELS[named[-1].lower()]
    place = [kept for f in folders for kept in words_of(f) if not _means_something(kept, label_words)]
    left = [w for w in words if not _means_something(w, label_words)]
    if stem.startswith("VSD.Brain"):
        # BraTS 2013 and 2015: every file is numbered on its own, only the folder above names the case.
        above = [f for f in folders if not f.startswith("VSD.Brain")]
        place, left = [w for f in above for w in words_of(f) if not _means_something(w, label_words)], []
    left = _numbers_of_roles(left, words, label_words)
    kept = [w for w in left if w.lower() not in CHANNELS]
    kept = kept if kept or place else left or [w for w in words if w.lower() not in label_words]
    own = _without_place(kept, place)
    low_place, low = tuple(w.lower() for w in place), tuple(w.lower() for w in own)
    return Part(path, by_name, by_folder, split, channel, low_place, low, _spelt(kept, stem), ending_of(path))


def _role(words: Sequence[str], label_words: Collection[str]) -> str:
    return "label" if has_word(words, label_words) else "image" if has_word(words, IMAGE_WORDS) else ""


def _means_something(word: str, label_words: Collection[str]) -> bool:
    low = word.lower()
    return low in label_words or low in IMAGE_WORDS or low in SPLIT_WORDS


def _numbers_of_roles(left: list[str], words: Sequence[str], label_words: Collection[str]) -> list[str]:
    """``21_manual1``: a number that belongs to the word for label names no case where another one does."""
    if len(left) > 1 and words[-1].isdecimal() and len(words) > 2 and words[-2].lower() in label_words:
        glued = left[-1] == words[-1] and any(w.isdecimal() for w in left[:-1]) and len(words[-1]) == 1
        return left[:-1] if glued else left
    return left


def _without_place(words: Sequence[str], place: Sequence[str]) -> list[str]:
    """The words behind those that repeat the folder's name (``case1/case1_t1``)."""
    low, above = [w.lower() for w in words], [w.lower() for w in place]
    for n in range(min(len(low), len(above)), 0, -1):
        if low[:n] == above[-n:]:
            return list(words[n:])
    return list(words)


def _spelt(words: Sequence[str], stem: str) -> str:
    """The words as the name spells them, with the signs that it puts between them."""
    match = re.search(r"[^\w]?[_\-.,+()\[\]\s]*".join(map(re.escape, words)), stem) if words else None
    return match[0] if match else "_".join(words)


def without_visit(words: Sequence[str]) -> tuple[str, ...]:
    """The words without those that tell a visit (``visit_2``, ``followup``, ``ses-01``) and its number."""
    kept: list[str] = []
    previous = ""
    for word in words:
        if _VISIT.fullmatch(word) or (word.isdecimal() and _VISIT.fullmatch(previous)):
            previous = word if not word.isdecimal() else ""
            continue
        kept.append(word)
        previous = word
    return tuple(kept)
