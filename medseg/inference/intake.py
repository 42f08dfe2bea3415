"""What a user points at, as cases: files of any format, DICOM series, archives and lists."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from medseg.data.layouts import files_below
from medseg.data.series import series_of, sorted_out
from medseg.data.unpack import unpack_all
from medseg.errors import DataError
from medseg.inference.cases import Case, place_cases, scans_below
from medseg.inference.channels import are_told_by_files, by_descriptions, by_names, by_numbers, by_patterns
from medseg.inference.lists import listed, series_cases

LISTS = (".json", ".txt", ".csv", ".tsv")
ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz")


def gather(
    inputs: Sequence[str],
    folder: Path,
    *,
    suffix: str = "",
    channels: Sequence[str] = (),
    n_channels: int = 1,
    names: Sequence[str] = (),
    data: Path | None = None,
    with_names: bool = False,
) -> list[Case]:
    """One case for each scan that ``inputs`` name, each with an output of its own below ``folder``.

    A folder or archive gives its DICOM series and its scans in other formats, as `scans_below` chooses them.
    A ``.json`` manifest, or a ``.txt``, ``.csv`` or ``.tsv`` list, gives the cases that it names, with a file
    per channel. Archives are unpacked below ``folder``.

    Args:
        suffix: of every label map; empty for the scan's own format.
        channels: one name pattern for each channel, ``*`` standing for the case.
        n_channels: that the bundle wants: files named ``…_0000``, ``…_0001`` are joined where it is above 1.
        names: of the bundle's channels: files whose names tell them (``…_flair``, ``…_t1ce``) are joined too,
            and a list that names its channels is brought to their order.
        data: the folder that a list's paths are relative to; the list's own if left out.
        with_names: what the patients are called may be written and said.

    Raises:
        DataError: nothing to predict, or a case lacks a channel.
        ManifestError: a list can't be read.
        OutputError: a label map would replace a scan.
    """
    cases: list[Case] = []
    for text in inputs:
        path = Path(text).expanduser()
        if path.is_file() and path.suffix.lower() in LISTS:
            cases += listed(path, data or path.parent, with_names, names)
        elif path.is_file() and path.name.lower().endswith(ARCHIVES):
            cases += _inside(path, folder, with_names)
        elif path.is_dir():
            cases += _below(path, folder, path, with_names)
        else:
            cases += _named(text, folder, with_names)
    if channels:
        cases = by_patterns(cases, channels)
    elif n_channels > 1:
        if are_told_by_files(names):
            cases = by_names(by_descriptions(cases, names), names)
        cases = by_numbers(cases, n_channels)
    return place_cases(cases, folder, suffix=suffix, given=inputs)


def unpacked(archive: Path, folder: Path) -> Path:
    """The folder below ``folder`` that holds an archive's files, unpacked with distrust.

    Raises:
        DataError: the archive is damaged, leads outside, holds links or swells beyond reason.
    """
    mark = hashlib.sha256(f"{archive.resolve()} {archive.stat().st_mtime_ns}".encode()).hexdigest()[:12]
    return unpack_all(archive, folder / f".unpacked-{mark}")


def _inside(archive: Path, folder: Path, with_names: bool) -> list[Case]:
    """What an archive holds; one that can't be unpacked is a case with that problem."""
    try:
        return _below(
            unpacked(archive, folder), folder, archive.parent / archive.name.split(".")[0], with_names
        )
    except DataError as error:
        return [Case(archive.name, (archive.resolve(),), archive.resolve(), problem=error)]


def _below(path: Path, folder: Path, root: Path, with_names: bool) -> list[Case]:
    """The DICOM series and other scans of a folder; ``root`` gives the names."""
    path = path.resolve()
    outputs = folder.resolve()
    is_inside = outputs == path or outputs in path.parents
    files = [f for f in files_below(path) if is_inside or outputs not in f.parents]
    series, damaged = sorted_out(files)
    taken = {*damaged, *(file for one in series for file in one.files)}
    others = [f for f in scans_below(str(path), folder, needed=not taken) if f not in taken]
    cases = series_cases(series, path, root.absolute(), with_names)
    return cases + [Case(f.name, (f,), f) for f in (*damaged, *others)]


def _named(text: str, folder: Path, with_names: bool) -> list[Case]:
    """A file by its name, or what a pattern matches; DICOM files of one series are one case."""
    files = scans_below(text, folder)
    series = series_of(files)
    in_series = {file for one in series for file in one.files}
    cases = [Case(f.name, (f,), f) for f in files if f not in in_series]
    for one in series:
        root = one.files[0] if len(one.files) == 1 else one.folder
        cases += series_cases([one], one.folder, root.with_suffix("") if root.is_file() else root, with_names)
    return cases
