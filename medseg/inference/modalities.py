"""Files that are the channels of one scan, told by the words of their names: ``_flair``, ``-t1c``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from medseg.data.words import CHANNELS, stem_of, take_apart
from medseg.errors import DataError

# What scanners and people write for an image after contrast agent.
_AGENT = {"gd", "gad", "gado", "gadolinium", "ce", "c", "contrast", "post", "postcontrast", "km", "mdc"}
_T1 = {"t1", "t1w", "mprage", "bravo", "spgr"}


def channel_told(description: str) -> str:
    """The channel that a DICOM SeriesDescription tells, as `CHANNELS` spells it; empty where it tells none.

    >>> [channel_told(t) for t in ("AX T2 FLAIR FS", "Ax T1 +C", "t1_mprage_sag_pre contrast", "LOCALIZER")]
    ['FLAIR', 'T1ce', 'T1', '']
    """
    words = [word for word in re.split(r"[^a-z0-9]+", description.lower()) if word]
    if {"flair", "t2f"} & set(words):
        return "FLAIR"
    if _T1 & set(words):
        return (
            "T1ce" if _AGENT & set(words) and not {"pre", "without", "native", "nativ"} & set(words) else "T1"
        )
    return next((CHANNELS[word] for word in words if word in CHANNELS), "")


def by_words(files: Sequence[Path], channels: Sequence[str]) -> dict[tuple[Path, str], list[Path]]:
    """The files of each scan in the order of `channels`, by their folder and the case's name.

    Files that name no channel (label maps, notes) are left out.

    Args:
        channels: as manifests name them: ``FLAIR``, ``T1``, ``T1ce``, ``T2``; BraTS' spellings
            are known (`medseg.data.words.CHANNELS`).

    Raises:
        DataError: a scan lacks a channel or has two files for one.
    """
    wanted = {CHANNELS.get(name.lower(), name): place for place, name in enumerate(channels)}
    found: dict[tuple[Path, str], dict[int, Path]] = {}
    for file in files:
        part = take_apart(file.name)
        if part.by_name == "label" or part.channel not in wanted:
            continue
        scan, place = (
            found.setdefault((file.parent, part.name or stem_of(file.name)), {}),
            wanted[part.channel],
        )
        if place in scan:
            raise DataError(
                f"{scan[place].name} and {file.name}",
                f"one file for {channels[place]}",
                "take one of them away",
            )
        scan[place] = file
    for (folder, name), scan in found.items():
        missing = [channel for place, channel in enumerate(channels) if place not in scan]
        if missing:
            raise DataError(
                f"{name} in {folder} has no {', '.join(missing)}",
                f"a file for each of {', '.join(channels)}",
                "add it, or leave the case out",
            )
    return {key: [scan[i] for i in range(len(channels))] for key, scan in sorted(found.items())}
