"""Which files of a folder make a case: the known layouts, and the rule that told.

One rule underlies all: words that mean *label*, *image*, *channel* or *split* are taken out of a path, and
what is left names the case. The named layouts add what else is known of them.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from medseg.data.manifest import Case

ENDINGS: tuple[str, ...] = (
    ".nii.gz",
    ".nii",
    ".nrrd",
    ".nhdr",
    ".mha",
    ".mhd",
    ".png",
    ".jpg",
    ".jpeg",
    ".bmp",
    ".tif",
    ".tiff",
)
ENDINGS += (".gif", ".img.gz", ".img", ".mgz", ".mgh", ".mnc")
_LABEL = "label labels labelstr labelsts labelsva labelmap labelmaps seg segs segmentation segmentations mask"
LABEL_WORDS = set(
    f"{_LABEL} masks gt dseg groundtruth truth annotation annotations manual contour contours ot roi".split()
)
_IMAGE = "image images imagestr imagests imagesva imaging img imgs im scan scans volume volumes vol vols orig"
IMAGE_WORDS = set(f"{_IMAGE} data raw picture pictures anat derivatives 1st".split())
SPLIT_WORDS = {
    **dict.fromkeys(("train", "training", "trainset", "imagestr", "labelstr", "tr"), "training"),
    **dict.fromkeys(("val", "valid", "validation", "valset", "imagesva", "labelsva", "va"), "validation"),
    **dict.fromkeys(("test", "testing", "testset", "imagests", "labelsts", "ts"), "test"),
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
_ORDER = {name: number for number, name in enumerate(dict.fromkeys(CHANNELS.values()))}


@dataclass(frozen=True)
class Part:
    """One file, taken apart: its words decide what it is, `key` whose it is."""

    path: str
    is_label: bool
    split: str
    channel: str
    key: tuple[str, ...]
    name: str


@dataclass
class Layout:
    """What a folder was taken for, and by which rule."""

    name: str
    rule: str
    cases: list[Case] = field(default_factory=list)
    channels: list[str] = field(default_factory=list)
    labels: dict[str, int | tuple[int, ...]] = field(default_factory=dict)
    regions: dict[str, tuple[int, ...]] = field(default_factory=dict)
    relabel: dict[int, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    header: dict[str, str] = field(default_factory=dict)


def stem_of(path: str) -> str:
    """The file's name without its ending, ``.nii.gz`` counting as one."""
    name = PurePosixPath(path).name
    ending = next((e for e in ENDINGS if name.lower().endswith(e)), PurePosixPath(name).suffix)
    return name[: -len(ending)] if ending else name


def list_files(root: Path) -> list[str]:
    """Every file below a folder, hidden ones left out, in order of their numbers; forward slashes."""
    found = (p.relative_to(root) for p in root.rglob("*") if p.is_file())
    paths = [p.as_posix() for p in found if not any(part.startswith(".") for part in p.parts)]
    return sorted(paths, key=_order)


def _order(path: str) -> list[tuple[int, int, str]]:
    words = re.split(r"(\d+)", path)
    return [(0, int(w), "") if w.isdigit() else (1, 0, w) for w in words]


def images_of(paths: Iterable[str]) -> list[str]:
    """The files whose ending is an image's."""
    return [p for p in paths if p.lower().endswith(ENDINGS)]


def words_of(name: str) -> list[str]:
    """The words of a name; a number behind a word for label or image is a word of its own (``img0001``)."""
    found = []
    for word in re.split(r"[_\-.\s]+", name):
        match = re.fullmatch(r"([A-Za-z]+)(\d+)", word)
        split = match and match[1].lower() in LABEL_WORDS | IMAGE_WORDS
        found += [match[1], match[2]] if match and split else [word]
    return [w for w in found if w]


def take_apart(path: str, with_folders: bool = True, indexed: bool = False) -> Part:
    """The words of a path: what it is, which channel, which split, and what is left as the case's key.

    Args:
        path: inside the data set's folder.
        with_folders: the folders' names belong to the key.
        indexed: the name ends in nnU-Net's channel number (``_0000``).
    """
    stem, channel = stem_of(path), ""
    if indexed and (match := re.fullmatch(r"(.+)_(\d{4})", stem)):
        stem, channel = match[1], match[2]
    words = words_of(stem)
    folders = PurePosixPath(path).parts[:-1]
    folder_words = [w.lower() for f in folders for w in words_of(f)]
    is_label = _has(words, LABEL_WORDS) or (
        _has(folder_words, LABEL_WORDS) and not _has(words, {"image", "img"})
    )
    split = next((SPLIT_WORDS[w] for w in [*folder_words, *map(str.lower, words)] if w in SPLIT_WORDS), "")
    named = [w for w in words[-3:] if w.lower() in CHANNELS]
    if not channel and named and not is_label:
        channel = CHANNELS[named[-1].lower()]
    place = [f for f in folders if not _is_role_folder(f)] if with_folders else []
    kept = [w for w in words if not _is_role(w)]
    if stem.startswith("VSD.Brain"):
        # BraTS 2013 and 2015: every file is numbered on its own, only the folder above names the case.
        place, kept = [f for f in place if not f.startswith("VSD.Brain")], []
    if not kept and not place:
        kept = [w for w in words if w.lower() not in LABEL_WORDS]
    left = [w for w in kept if w.lower() not in CHANNELS or len(kept) == 1]
    key = tuple(w.lower() for f in place for w in re.split(r"[_\-.\s]+", f)) + tuple(w.lower() for w in left)
    name = _name(place, left, stem)
    return Part(path, is_label, split, channel, tuple(dict.fromkeys(key)), name)


def _has(words: Iterable[str], known: set[str]) -> bool:
    return any(w.lower() in known for w in words)


def _is_role(word: str) -> bool:
    low = word.lower()
    return low in LABEL_WORDS or low in IMAGE_WORDS or low in SPLIT_WORDS


def _is_role_folder(folder: str) -> bool:
    words = words_of(folder)
    return all(_is_role(w) for w in words)


def _name(place: Sequence[str], left: Sequence[str], stem: str) -> str:
    """The case's name: what is left of the file's, behind its folder's unless the one repeats the other."""
    own = "_".join(left) if left else ""
    if own and stem.lower().startswith(own.lower().split("_")[0]):
        # The file's own spelling, with the signs it puts between words.
        match = re.match(r"[_\-.\s]*".join(map(re.escape, left)), stem)
        own = match[0] if match else own
    folder = "_".join(place)
    if not own or (place and own.lower() == place[-1].lower()) or own.lower() in folder.lower():
        return folder or own or stem
    return f"{folder}_{own}" if folder and folder.lower() not in own.lower() else own


def pair(paths: Sequence[str]) -> tuple[list[Case], list[str], list[str]]:
    """Cases, channel names and notes for these files, by whichever way of naming pairs the most labels."""
    indexed = is_indexed(paths)
    ways = [[take_apart(p, folders, indexed) for p in paths] for folders in (True, False)]
    ways.append([_by_number(part) for part in ways[1]])
    best = max(ways, key=_matched)
    return _cases(best)


def is_indexed(paths: Sequence[str]) -> bool:
    """True where names end in nnU-Net's channel numbers: the labels lack them, or all are low and shared."""
    labels = {stem_of(p) for p in paths if take_apart(p).is_label}
    images = [stem_of(p) for p in paths if not take_apart(p).is_label]
    numbers = [re.fullmatch(r"(.+)_(\d{4})", s) for s in images]
    if not images or not all(numbers):
        return False
    if labels:
        return sum(m[1] in labels for m in numbers if m) > 0 and not any(s in labels for s in images)
    return all(int(m[2]) < 10 for m in numbers if m) and any(m[2] == "0000" for m in numbers if m)


def _by_number(part: Part) -> Part:
    digits = re.findall(r"\d+", stem_of(part.path))
    key = tuple(d.lstrip("0") or "0" for d in digits[:1]) or part.key
    return Part(part.path, part.is_label, part.split, part.channel, key, part.name)


def _matched(parts: Sequence[Part]) -> int:
    """How many keys have an image and exactly one label; a key with two of a channel counts against."""
    images: set[object] = set()
    labels: set[object] = set()
    seen: set[object] = set()
    clash = 0
    for p in parts:
        mark = (p.split, p.key, p.is_label, p.channel)
        clash += mark in seen
        seen.add(mark)
        (labels if p.is_label else images).add((p.split, p.key))
    return len(images & labels) - 2 * clash


def _cases(parts: Sequence[Part]) -> tuple[list[Case], list[str], list[str]]:
    images: dict[tuple[str, tuple[str, ...]], list[Part]] = defaultdict(list)
    labels: dict[tuple[str, tuple[str, ...]], list[Part]] = defaultdict(list)
    for part in parts:
        (labels if part.is_label else images)[part.split, part.key].append(part)
    notes, cases, unlabelled, several = [], [], [], 0
    names: set[str] = set()
    channels = _channel_names([p for group in images.values() for p in group])
    for (split, key), group in images.items():
        drawn = sorted(labels.get((split, key), []), key=lambda p: (_rank(p.path), p.path))
        several += len(drawn) > 1
        if not drawn and any(labels.values()) and split != "test":
            unlabelled.append(group[0].path)
            continue
        group = sorted(group, key=lambda p: (_ORDER.get(p.channel, 99), p.channel, p.path))
        name = _unique(
            group[0].name if not drawn else min((group[0].name, drawn[0].name), key=len), split, names
        )
        kind = split or ("training" if drawn else "test")
        image = tuple(p.path for p in group)
        cases.append(Case(name, patient_of(name), image, drawn[0].path if drawn else None, split=kind))
    if unlabelled:
        notes.append(f"{len(unlabelled)} images without a label map left out, first {unlabelled[0]}")
    if several:
        notes.append(f"{several} cases have several label maps; the first one by name was taken")
    lonely = [p.path for k, group in labels.items() if k not in images for p in group]
    if lonely:
        notes.append(f"{len(lonely)} label maps without an image left out, first {lonely[0]}")
    return cases, channels, notes


def _rank(path: str) -> int:
    """A segmentation with structures before a mask of the whole organ."""
    return 0 if re.search(r"dseg|seg|label|manual|gt", path.lower()) else 1


def _unique(name: str, split: str, taken: set[str]) -> str:
    wish, number = name, 2
    while wish in taken:
        wish = f"{name}_{split}" if number == 2 and split else f"{name}_{number}"
        number += 1
    taken.add(wish)
    return wish


def _channel_names(parts: Sequence[Part]) -> list[str]:
    """The channels in order, where names tell them."""
    known = {p.channel for p in parts if p.channel}
    return sorted(known, key=lambda c: (_ORDER.get(c, 99), c))


def patient_of(case: str) -> str:
    """Whose scan it is, where the naming of a known collection tells; else the case's own name."""
    for pattern in (
        r"(sub-[A-Za-z0-9]+)",  # BIDS: subject, then session and run
        r"(patient\d+)_frame\d+",  # ACDC: two phases of one heart
        r"(BraTS-[A-Za-z]+-\d+)-\d+",  # BraTS 2023: the last number is the time point
    ):
        if match := re.match(pattern, case):
            return match[1]
    return case
