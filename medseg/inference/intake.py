"""What a user points at, as cases: files of any format, DICOM series, archives and lists."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path

from medseg.data.layouts import files_below
from medseg.data.series import Sorted, sorted_out
from medseg.data.unpack import unpack_all
from medseg.errors import DataError, MedsegError
from medseg.inference.cases import Case, place_cases, scans_below
from medseg.inference.channels import are_told_by_files, by_descriptions, by_names, by_numbers, by_patterns
from medseg.inference.hiding import hidden
from medseg.inference.lists import listed, series_cases
from medseg.inference.privacy import is_name, without_names

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
    hide: bool = False,
    tell_left_out: Callable[[Sequence[Case]], object] = len,
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
        hide: cases go by their content, and no part of an input's path is written or said.
        tell_left_out: called once with the series that are no case: localizers, reports, segmentations, and
            those that tell none of the channels in a study whose others do.

    Raises:
        DataError: nothing to predict, or a case lacks a channel.
        ManifestError: a list can't be read.
        OutputError: a label map would replace a scan.
    """
    try:
        cases = _gathered(inputs, folder, channels, n_channels, names, data, with_names)
        left_out = list({case.images: case for case in cases if case.left_out}.values())
        cases = [case for case in cases if not case.left_out]
        tell_left_out(hidden(left_out) if hide else left_out)
        return place_cases(hidden(cases) if hide else cases, folder, suffix=suffix, given=inputs)
    except (MedsegError, OSError, ValueError) as error:
        if not hide:
            raise
        # What is amiss with a list or a folder can hardly be told without a name.
        found = f"the inputs can't be used ({type(error).__name__}; --hide-names keeps the rest unsaid)"
        do = "run it without --hide-names, where names may be seen, to read why"
        raise DataError(found, "scans, or lists of them, that can be read", do) from None


def _gathered(
    inputs: Sequence[str],
    folder: Path,
    channels: Sequence[str],
    n_channels: int,
    names: Sequence[str],
    data: Path | None,
    with_names: bool,
) -> list[Case]:
    """The cases, channels joined, before each gets its place; then what was left out."""
    cases: list[Case] = []
    for text in inputs:
        path = Path(text).expanduser()
        if path.is_file() and path.suffix.lower() in LISTS:
            cases += listed(path, data or path.parent, with_names, names)
        elif path.is_dir():
            cases += _below(path, folder, path, with_names)
        else:
            cases += _named(text, folder, with_names)
    named = {case.images for case in cases if case.is_named}
    left_out = [case for case in cases if case.left_out]
    cases = single = [case for case in cases if not case.left_out]
    if channels:
        cases = by_patterns(cases, channels)
    elif n_channels > 1:
        if are_told_by_files(names):
            cases = by_names(by_descriptions(cases, names), names)
        cases = by_numbers(cases, n_channels)
    used = {images for case in cases for images in (case.images, *case.more)}
    unused = [case for case in single if case.is_series and case.images not in used]
    cases += left_out + [replace(case, left_out="no channel told") for case in unused]
    return cases if with_names else nameless(cases, named)


def nameless(cases: Sequence[Case], named: Collection[tuple[Path, ...]] = ()) -> list[Case]:
    """The cases without patients' names in theirs: what one DICOM header tells is kept out of all.

    Args:
        named: images of cases that somebody named in a list: they keep that name.
    """
    known = tuple(sorted({word for case in cases for word in case.identity}))
    hidden = []
    for case in cases:
        identity = (*known, *(part for part in case.images[0].parts if is_name(part)))
        mark = hashlib.sha256(str(case.images[0]).encode()).hexdigest()[:8]
        output = case.output
        if case.images not in named:
            output = Path(output.anchor, *without_names(output.parts[bool(output.anchor) :], identity, mark))
        name = case.name if case.images in named else output.name
        hidden.append(replace(case, name=name, output=output, identity=identity))
    return hidden


def unpacked(archive: Path, folder: Path) -> Path:
    """The folder below ``folder`` that holds an archive's files, unpacked with distrust.

    Raises:
        DataError: the archive is damaged, leads outside, holds links or swells beyond reason.
    """
    mark = hashlib.sha256(f"{archive.resolve()} {archive.stat().st_mtime_ns}".encode()).hexdigest()[:12]
    return unpack_all(archive, folder / f".unpacked-{mark}")


def _inside(archive: Path, folder: Path, with_names: bool, *, needed: bool = True) -> list[Case]:
    """What an archive holds; one that can't be unpacked, or is empty and needed, is a case with a problem."""
    place = archive.parent / archive.name.split(".")[0]
    try:
        cases = _below(unpacked(archive, folder), folder, place, with_names, archive)
        return [replace(case, archive=archive.resolve()) for case in cases]
    except NoScanError as error:
        return [_refused(archive, error)] if needed else []
    except DataError as error:
        return [_refused(archive, error)]


class NoScanError(DataError):
    """A place where a scan was looked for in vain."""


def _refused(path: Path, error: DataError) -> Case:
    return Case(path.name, (path.resolve(),), path.resolve(), problem=error)


def _below(path: Path, folder: Path, root: Path, with_names: bool, archive: Path | None = None) -> list[Case]:
    """The DICOM series, other scans and archives of a folder; ``root`` gives the names.

    Args:
        archive: that the folder was unpacked from; one inside it is a case that can't be done.

    Raises:
        NoScanError: there is none.
    """
    path = path.resolve()
    outputs = folder.resolve()
    is_inside = outputs == path or outputs in path.parents
    files = [f for f in files_below(path) if is_inside or outputs not in f.parents]
    found = sorted_out(files)
    taken = {*found.damaged, *(file for one in found.series for file in one.files)}
    others = [f for f in scans_below(str(path), folder, needed=False) if f not in taken]
    cases = series_cases(found.series, path, root.absolute(), with_names)
    cases += [Case(f.name, (f,), f) for f in (*found.damaged, *others)]
    for packed in sorted(f for f in files if _is_archive(f, path)):
        if archive is None:
            cases += _inside(packed, folder, with_names, needed=False)
        else:
            what = f"{packed.name} lies in {archive.name}"
            cases.append(_refused(packed, DataError(what, "scans in an archive", f"unpack {archive.name}")))
    left_out = _left_out(found, path, root.absolute(), with_names)
    if not cases:
        but = f" but {counted(left_out)}" if left_out else ""
        where = archive.name if archive else path
        raise NoScanError(f"no scan in {where}{but}", "at least one", "check the path")
    return cases + left_out


def _left_out(found: Sorted, path: Path, root: Path, with_names: bool) -> list[Case]:
    named = [(why, series_cases([one], path, root, with_names)) for why, one in found.left_out]
    return [replace(case, left_out=why) for why, cases in named for case in cases]


def counted(left_out: Sequence[Case]) -> str:
    """How many series there are of each kind, as ``2 localizer, 1 SEG``."""
    return ", ".join(f"{n} {why}" for why, n in sorted(Counter(case.left_out for case in left_out).items()))


def _is_archive(path: Path, root: Path) -> bool:
    """True for an archive that neither a Mac nor a file manager hides."""
    inside = path.relative_to(root).parts if root in path.parents else path.parts
    is_hidden = any(part.startswith((".", "__MACOSX")) for part in inside)
    return path.name.lower().endswith(ARCHIVES) and not is_hidden


def _named(text: str, folder: Path, with_names: bool) -> list[Case]:
    """A file by its name, or what a pattern matches but for localizers; files of one series are one case."""
    files = scans_below(text, folder)
    archives = [f for f in files if f.name.lower().endswith(ARCHIVES)]
    cases = [case for archive in archives for case in _inside(archive, folder, with_names)]
    files = [f for f in files if f not in archives]
    found = sorted_out(files)
    in_series = {file for one in found.series for file in one.files}
    if not Path(text).expanduser().exists():
        cases += _left_out(found, Path("/"), Path("/"), with_names)
        in_series |= {file for _, one in found.left_out for file in one.files}
    cases += [Case(f.name, (f,), f) for f in files if f not in in_series]
    for one in found.series:
        root = one.files[0] if len(one.files) == 1 else one.folder
        cases += series_cases([one], one.folder, root.with_suffix("") if root.is_file() else root, with_names)
    return cases
