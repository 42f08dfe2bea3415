"""What there is to merge in a folder: files of one structure each, or DICOM objects drawn on series."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from medseg.data.cases import Case
from medseg.data.content import opener
from medseg.data.dicom_structures import Drawn, drawn_series
from medseg.data.isolation import Reader
from medseg.data.layouts import images_of
from medseg.data.structure_files import are_raters, structure_files
from medseg.errors import ManifestError


@dataclass(frozen=True)
class Sources:
    """What there is to merge: cases, files by case and structure, structures, channels, what fits nothing.

    Attributes:
        series: where the structures are in DICOM objects.
    """

    cases: list[Case]
    files: Mapping[str, Mapping[str, str]]
    names: list[str]
    channels: list[str]
    lost: list[str]
    series: Drawn | None = None


def relative_path(path: Path, root: Path) -> str:
    """The way from `root` to a file, with forward slashes; links are not followed."""
    return PurePath(os.path.relpath(path.absolute(), root.absolute())).as_posix()


def find_sources(folder: Path, paths: Sequence[str], reader: Reader) -> Sources:
    """What these files of a folder hold for a merge; DICOM objects come before files.

    Raises:
        ManifestError: there is no file per structure, or there are several people's drawings of one.
    """
    return _from_objects(folder, paths, reader) or _from_files(folder, paths, reader)


def _from_objects(folder: Path, paths: Sequence[str], reader: Reader) -> Sources | None:
    """The DICOM series with the objects drawn on them; None where there are none."""
    known = set(images_of(paths))
    series = drawn_series(folder, [p for p in paths if p not in known], reader)
    if series is None:
        return None
    names = sorted({name for own in series.names.values() for name in own})
    first = {case: series.objects[case][0] for case in series.names}
    files = {
        case: {name: relative_path(Path(first[case]), folder) for name in own}
        for case, own in series.names.items()
    }
    return Sources(series.cases, files, names, series.channels, series.lost, series)


def _from_files(folder: Path, paths: Sequence[str], reader: Reader) -> Sources:
    """The cases with their files per structure.

    Raises:
        ManifestError: there are none.
    """
    found = structure_files(images_of(paths), opener(folder, reader))
    if found is None:
        raise ManifestError(
            f"no case in {folder} with a label map for each of several structures",
            "files such as case1/liver.nii.gz and case1/spleen.nii.gz, or DICOM SEG and RTSTRUCT",
            "if every case has one label map, say `medseg data scan`; else name the files in a CSV",
        )
    if are_raters(found.names):
        raise ManifestError(
            f"label maps of {', '.join(found.names[:4])}, one thing drawn several times",
            "one label map per structure",
            "choose one of them, or merge them by a vote, and name the files in a CSV",
        )
    return Sources(found.cases, found.files, found.names, found.channels, found.lost)
