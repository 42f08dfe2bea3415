"""What a user points at, as cases: files of any format, DICOM series, archives and lists."""

from __future__ import annotations

import csv
import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from medseg.data import read_manifest
from medseg.data.series import Series, series_of
from medseg.data.unpack import unpack_all
from medseg.errors import DataError, ManifestError
from medseg.inference.cases import Case, place_cases, scans_below
from medseg.inference.privacy import without_names

LISTS = (".json", ".txt", ".csv", ".tsv")
ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz")


def gather(
    inputs: Sequence[str],
    folder: Path,
    *,
    suffix: str = "",
    channels: Sequence[str] = (),
    n_channels: int = 1,
    data: Path | None = None,
) -> list[Case]:
    """One case for each scan that ``inputs`` name, each with an output of its own below ``folder``.

    A folder or archive gives its DICOM series and its scans in other formats, as `scans_below` chooses them.
    A ``.json`` manifest, or a ``.txt``, ``.csv`` or ``.tsv`` list, gives the cases that it names, with a file
    per channel. Archives are unpacked below ``folder``.

    Args:
        suffix: of every label map; empty for the scan's own format.
        channels: one name pattern for each channel, ``*`` standing for the case.
        n_channels: that the bundle wants: files named ``…_0000``, ``…_0001`` are joined where it is above 1.
        data: the folder that a list's paths are relative to; the list's own if left out.

    Raises:
        DataError: nothing to predict, or a case lacks a channel.
        ManifestError: a list can't be read.
        OutputError: a label map would replace a scan.
    """
    cases: list[Case] = []
    for text in inputs:
        path = Path(text).expanduser()
        if path.is_file() and path.suffix.lower() in LISTS:
            cases += listed(path, data or path.parent)
        elif path.is_file() and path.name.lower().endswith(ARCHIVES):
            cases += _below(unpacked(path, folder), folder, root=path.parent / path.name.split(".")[0])
        elif path.is_dir():
            cases += _below(path, folder, root=path)
        else:
            cases += _named(text, folder)
    if channels:
        cases = _by_patterns(cases, channels)
    elif n_channels > 1:
        cases = _by_numbers(cases, n_channels)
    return place_cases(cases, folder, suffix=suffix, given=inputs)


def unpacked(archive: Path, folder: Path) -> Path:
    """The folder below ``folder`` that holds an archive's files, unpacked with distrust.

    Raises:
        DataError: the archive is damaged, leads outside, holds links or swells beyond reason.
    """
    mark = hashlib.sha256(f"{archive.resolve()} {archive.stat().st_mtime_ns}".encode()).hexdigest()[:12]
    return unpack_all(archive, folder / f".unpacked-{mark}")


def _below(path: Path, folder: Path, *, root: Path) -> list[Case]:
    """The DICOM series and other scans of a folder; ``root`` gives the names."""
    path = path.resolve()
    outputs = folder.resolve()
    is_inside = outputs == path or outputs in path.parents
    files = [f for f in path.rglob("*") if f.is_file() and (is_inside or outputs not in f.parents)]
    series = series_of(files)
    in_series = {file for one in series for file in one.files}
    others = [f for f in scans_below(str(path), folder, needed=not series) if f not in in_series]
    return _series_cases(series, path, root.absolute()) + [Case(f.name, (f,), f) for f in others]


def _named(text: str, folder: Path) -> list[Case]:
    """A file by its name, or what a pattern matches; DICOM files of one series are one case."""
    files = scans_below(text, folder)
    series = series_of(files)
    in_series = {file for one in series for file in one.files}
    cases = [Case(f.name, (f,), f) for f in files if f not in in_series]
    for one in series:
        root = one.files[0] if len(one.files) == 1 else one.folder
        cases += _series_cases([one], one.folder, root.with_suffix("") if root.is_file() else root)
    return cases


def _series_cases(series: Sequence[Series], path: Path, root: Path) -> list[Case]:
    """A case per series, named by its folder below ``root``, no word of the patient in its name."""
    count = Counter(one.folder for one in series)
    cases = []
    for one in series:
        inside = one.folder.relative_to(path).parts
        if count[one.folder] > 1:
            inside = (*inside, f"{one.modality.lower()}_{one.mark}")
        hidden = without_names((*root.parts[-2:], *inside), one.identity, one.mark)
        place = Path("/", *(part for part in hidden if part != "/"))
        cases.append(Case(place.name, one.files, place, is_series=True, identity=one.identity))
    return cases


def listed(path: Path, data: Path) -> list[Case]:
    """The cases of a manifest or list, in its order.

    A ``.txt`` has a scan per line, channels parted by tabs. A ``.csv`` or ``.tsv`` has a header: columns
    whose name begins with ``image`` are channels in their order, ``case`` is the name.

    Raises:
        ManifestError: it can't be read, or names no case.
    """
    rows: list[tuple[str, Sequence[str]]] = []
    if path.suffix.lower() == ".json":
        rows = [(case.case, case.image) for case in read_manifest(path).items]
    else:
        with path.open(newline="", encoding="utf-8") as file:
            if path.suffix.lower() == ".txt":
                lines = [line.rstrip("\n") for line in file if line.strip()]
                rows = [("", line.split("\t")) for line in lines]
            else:
                rows = _table(
                    csv.reader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ","), path
                )
    if not rows:
        raise ManifestError(f"{path} names no case", "one per line", "add the scans")
    return [_listed_case(name, [data / image for image in images]) for name, images in rows]


def _listed_case(name: str, images: Sequence[Path]) -> Case:
    full = tuple(image.resolve() for image in images)
    place = full[0].with_name(name + _ending(full[0])) if name else full[0]
    return Case(name or place.name, full, place, is_named=bool(name))


def _ending(path: Path) -> str:
    match = re.search(r"(\.nii|\.img|\.hdr)?\.[A-Za-z0-9]+$", path.name)
    return match.group() if match and not path.is_dir() else ""


def _table(rows: Iterable[list[str]], path: Path) -> list[tuple[str, Sequence[str]]]:
    header, *body = [row for row in rows if any(row)] or [[]]
    columns = [i for i, title in enumerate(header) if title.lower().startswith("image")]
    if not columns:
        raise ManifestError(f"{path} has the columns {header}", "a column `image`", "name it in the header")
    name = header.index("case") if "case" in header else -1
    return [(row[name] if name >= 0 else "", [row[i] for i in columns if row[i]]) for row in body]


def _by_patterns(cases: Sequence[Case], patterns: Sequence[str]) -> list[Case]:
    """One case for each text that ``*`` stands for, its files in the order of the patterns."""
    forms = [
        re.compile(".*".join(map(re.escape, p.split("*", 1))).replace(".*", "(.+)", 1)) for p in patterns
    ]
    found: dict[tuple[Path, str], dict[int, Path]] = {}
    for case in cases:
        for i, form in enumerate(forms):
            match = form.fullmatch(case.images[0].name)
            if match:
                found.setdefault((case.images[0].parent, match.group(1)), {})[i] = case.images[0]
                break
    if not found:
        raise DataError(
            f"no scan is named as {', '.join(patterns)}", "one scan per pattern", "mend --channel"
        )
    return [_joined(name, files, len(patterns)) for (_, name), files in sorted(found.items())]


def _by_numbers(cases: Sequence[Case], n_channels: int) -> list[Case]:
    """Files that end in ``_0000``, ``_0001`` and so on, joined; the others as they are."""
    found: dict[tuple[Path, str], dict[int, Path]] = {}
    single = []
    for case in cases:
        match = re.fullmatch(r"(.+)_(\d{4})" + re.escape(_ending(case.images[0])), case.images[0].name)
        if match and len(case.images) == 1 and not case.is_series:
            found.setdefault((case.images[0].parent, match.group(1)), {})[int(match.group(2))] = case.images[
                0
            ]
        else:
            single.append(case)
    return single + [_joined(name, files, n_channels) for (_, name), files in sorted(found.items())]


def _joined(name: str, files: dict[int, Path], n_channels: int) -> Case:
    missing = [i for i in range(n_channels) if i not in files]
    if missing:
        raise DataError(
            f"{name} lacks {len(missing)} of {n_channels} channels, first number {missing[0]}",
            "a file for each channel",
            "add it, or name complete cases only",
        )
    images = tuple(files[i] for i in range(n_channels))
    return Case(name, images, images[0].with_name(name + _ending(images[0])), is_named=True)
