"""DICOM studies whose structures lie in segmentation objects and structure sets beside their series."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from medseg.arrays import LabelMap
from medseg.data.cases import Case
from medseg.data.dicom_layout import Series, name_series, scans_of, summary_of
from medseg.data.findings import BLOCKS, UnreadableError
from medseg.data.isolation import Reader, as_array
from medseg.data.reading import Image

OBJECTS = ("SEG", "RTSTRUCT")


@dataclass
class Drawn:
    """Series with the objects that were drawn on them.

    Attributes:
        cases: the series that have some.
        objects: case to the SEG and RTSTRUCT files, newest name last.
        files: case to the files of its series.
        names: case to its structures.
        channels: the modality.
        lost: objects that refer to no series here.
    """

    cases: list[Case] = field(default_factory=list)
    objects: dict[str, list[str]] = field(default_factory=dict)
    files: dict[str, list[str]] = field(default_factory=dict)
    names: dict[str, list[str]] = field(default_factory=dict)
    channels: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)


def drawn_series(folder: Path, paths: Sequence[str], reader: Reader) -> Drawn | None:
    """The series of a folder that SEG and RTSTRUCT objects refer to; None where none does."""
    series = summary_of(folder, paths, reader)
    objects = [s for s in series if s["modality"] in OBJECTS]
    if not objects:
        return None
    scans = scans_of(series)
    name_series(folder.absolute(), scans, Counter(s["folder"] for s in series))
    by_uid: dict[str, Series] = {s["uid"]: s for s in scans}
    found = Drawn(channels=[Counter(s["modality"] for s in scans).most_common(1)[0][0]] if scans else [])
    for one in objects:
        for path, about in one["objects"].items():
            scan = by_uid.get(about["series"]) or _only(scans, one)
            if scan is None:
                found.lost.append(Path(path).relative_to(folder.absolute()).as_posix())
                continue
            name = scan["name"]
            if name not in found.objects:
                who = scan["patient"] or scan["study"] or name
                found.cases.append(Case(name, who, (scan["path"],)))
                found.files[name] = scan["files"]
            found.objects.setdefault(name, []).append(path)
            known = found.names.setdefault(name, [])
            known += [n for n in about["structures"] if n not in known]
    return found if found.cases else None


def _only(scans: Sequence[Series], one: Series) -> Series | None:
    """The study's only scan, where the object says no series."""
    same = [s for s in scans if s["study"] == one["study"]]
    return same[0] if len(same) == 1 and not any(o["series"] for o in one["objects"].values()) else None


def read_drawn(
    objects: Sequence[str], files: Sequence[str], reader: Reader
) -> tuple[Image, list[str], list[tuple[int, int, int]]]:
    """The label map on the grid of its series, the names of 1, 2, 3 …, and the voxels that pairs shared.

    Raises:
        DataError: an object or the series can't be read, or they are no grid.
    """
    try:
        reply, payload = reader.ask("labels", [*objects, "#", *files])
    except UnreadableError as error:
        raise error.finding.error() from None
    fatal = [f for f in reply["findings"] if f.severity == BLOCKS]
    if fatal:
        raise fatal[0].error()
    labels: LabelMap = as_array(reply, payload)
    about = reply["about"]
    image = Image(labels, np.array(reply["affine"], float), "DICOM")
    return image, list(about["names"]), [(a, b, n) for a, b, n in about["overlaps"]]
