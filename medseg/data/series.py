"""The DICOM series below a folder, each with its files, whatever the files are called."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medseg.data.dicom import is_dicom
from medseg.data.dicom_frames import NO_IMAGES
from medseg.data.findings import Finding, UnreadableError
from medseg.data.isolation import as_array
from medseg.data.reading import Image, shared_reader

# The child that reads headers has a limit of time for each request.
FILES_AT_A_TIME = 2000


@dataclass(frozen=True)
class Series:
    """Files that share a SeriesInstanceUID.

    Attributes:
        folder: the deepest one that holds them all.
        mark: eight characters that stand for the UID in names.
        identity: the patient's names, numbers and birth date, to be kept out of what is written.
        study, description: its study's UID, and what the scanner calls it.
    """

    uid: str
    folder: Path
    modality: str
    files: tuple[Path, ...]
    mark: str
    identity: tuple[str, ...]
    study: str = ""
    description: str = ""


@dataclass(frozen=True)
class Sorted:
    """What some files are.

    Attributes:
        series: those with pixels, by folder and UID.
        damaged: DICOM files whose header can't be read.
        left_out: what is no scan, each with the reason in a few words.
    """

    series: tuple[Series, ...]
    damaged: tuple[Path, ...]
    left_out: tuple[tuple[str, Series], ...]


def series_of(files: Sequence[Path]) -> list[Series]:
    """Every series with pixels among some files, sorted by folder and UID; localizers are left out.

    Segmentations, structure sets, reports and what holds no image are left out too, and files that are no
    DICOM. Headers are read in a child process.
    """
    return list(sorted_out(files).series)


def sorted_out(files: Sequence[Path]) -> Sorted:
    """The series as `series_of` gives them, and what else of DICOM there is among some files."""
    candidates = sorted(path.resolve() for path in files if _is_candidate(path))
    parts: dict[tuple[str, str], list[dict[str, object]]] = {}
    read: set[Path] = set()
    for first in range(0, len(candidates), FILES_AT_A_TIME):
        paths = [str(path) for path in candidates[first : first + FILES_AT_A_TIME]]
        reply, _ = shared_reader().ask("summary", paths)
        for entry in reply["series"]:
            read |= {Path(str(file)) for file in entry["files"]}
            parts.setdefault((_why_not(entry), str(entry["uid"])), []).append(entry)
    found = [(why, _series(uid, entries)) for (why, uid), entries in parts.items()]
    found.sort(key=lambda one: (one[1].folder, one[1].uid, one[0]))
    series = tuple(one for why, one in found if not why)
    return Sorted(
        series, tuple(p for p in candidates if p not in read), tuple(one for one in found if one[0])
    )


def _why_not(entry: dict[str, object]) -> str:
    """Why a series is not to be segmented; empty where it is."""
    modality = str(entry["modality"])
    if modality in NO_IMAGES | {"SEG"}:
        return modality
    return "localizer" if entry.get("is_localizer") else ""


def examine_series(files: Sequence[Path]) -> tuple[Image | None, tuple[Finding, ...]]:
    """The volume of one series, or None where there is none, and everything that is amiss."""
    try:
        reply, payload = shared_reader().ask("dicom", [str(p) for p in files])
    except UnreadableError as error:
        return None, (error.finding,)
    affine = np.array(reply["affine"], float)
    found = tuple(reply["findings"])
    return Image(as_array(reply, payload), affine, "DICOM", findings=found, **reply["about"]), found


def _series(uid: str, entries: Sequence[dict[str, object]]) -> Series:
    files = sorted(Path(str(f)) for entry in entries for f in entry["files"])  # type: ignore[attr-defined]
    identity = {str(entry.get(key) or "") for entry in entries for key in ("name", "patient", "birth")} - {""}
    identity |= {str(word) for entry in entries for word in entry.get("others") or ()}  # type: ignore[attr-defined]
    mark = hashlib.sha256(uid.encode()).hexdigest()[:8]
    about = {key: str(entries[0].get(key) or "") for key in ("study", "description")}
    modality = str(entries[0]["modality"])
    return Series(uid, _common(files), modality, tuple(files), mark, tuple(sorted(identity)), **about)


def _common(files: Sequence[Path]) -> Path:
    folder = files[0].parent
    while any(folder not in file.parents for file in files):
        folder = folder.parent
    return folder


def _is_candidate(path: Path) -> bool:
    if path.name.startswith(".") or path.name.upper() == "DICOMDIR":
        return False
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        return is_dicom(stream.read(132)) or path.suffix.lower() in (".dcm", ".ima")
