"""Cases that a list names, and those of DICOM series."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from medseg.data import read_manifest
from medseg.data.channel_order import in_order_of, places_of
from medseg.data.layouts import files_below
from medseg.data.series import Series, series_of
from medseg.errors import ManifestError
from medseg.inference.cases import Case, ending_of
from medseg.inference.privacy import without_names


def listed(path: Path, data: Path, with_names: bool = False, channels: Sequence[str] = ()) -> list[Case]:
    """The cases of a manifest or list, in its order.

    A ``.txt`` has a scan per line, channels parted by tabs. A ``.csv`` or ``.tsv`` has a header: columns
    whose name begins with ``image`` are channels in their order, ``case`` is the name. Where the list and
    `channels` both name the channels (a manifest's ``channels``, columns as ``image_t1``), they are brought
    to the order of `channels`.

    Raises:
        ManifestError: it can't be read, names no case, or lacks a channel.
    """
    rows: list[tuple[str, Sequence[str]]] = []
    if path.suffix.lower() == ".json":
        rows = [(case.case, case.image) for case in in_order_of(read_manifest(path), channels).items]
    else:
        with path.open(newline="", encoding="utf-8") as file:
            if path.suffix.lower() == ".txt":
                lines = [line.rstrip("\n") for line in file if line.strip()]
                rows = [("", line.split("\t")) for line in lines]
            else:
                rows = _table(
                    csv.reader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ","),
                    path,
                    channels,
                )
    if not rows:
        raise ManifestError(f"{path} names no case", "one per line", "add the scans")
    return [_listed_case(name, [data / image for image in images], with_names) for name, images in rows]


def _listed_case(name: str, images: Sequence[Path], with_names: bool) -> Case:
    full = tuple(image.resolve() for image in images)
    series = [_series_at(path) for path in full]
    first, *others = series
    if first is not None and all(others):
        root = full[0].with_name(full[0].name.split("#")[0])
        (case,) = series_cases([first], first.folder, root, with_names)
        identity = () if with_names else {word for one in series if one for word in one.identity}
        more = tuple(one.files for one in others if one)
        case = replace(case, more=more, identity=tuple(sorted(identity)))
        return replace(case, name=name, output=root.with_name(name), is_named=True) if name else case
    place = full[0].with_name(name + ending_of(full[0])) if name else full[0]
    return Case(name or place.name, full, place, is_named=bool(name))


def _series_at(path: Path) -> Series | None:
    """The one DICOM series of a folder, or that of ``folder#UID``; None where it is no such thing."""
    name, _, uid = path.name.partition("#")
    folder = path if path.is_dir() else path.with_name(name) if uid else None
    if folder is None or not folder.is_dir():
        return None
    found = [one for one in series_of(list(files_below(folder))) if uid in ("", one.uid) or path.is_dir()]
    return found[0] if len(found) == 1 else None


def _table(rows: Iterable[list[str]], path: Path, channels: Sequence[str]) -> list[tuple[str, Sequence[str]]]:
    header, *body = [row for row in rows if any(row)] or [[]]
    columns = [i for i, title in enumerate(header) if title.lower().startswith("image")]
    if not columns:
        raise ManifestError(f"{path} has the columns {header}", "a column `image`", "name it in the header")
    titles = [re.sub(r"(?i)^images?[ _-]*", "", header[i]) for i in columns]
    places = places_of(titles, channels)
    columns = columns if places is None else [columns[i] for i in places]
    name = header.index("case") if "case" in header else -1
    return [(row[name] if name >= 0 else "", [row[i] for i in columns if row[i]]) for row in body]


def series_cases(series: Sequence[Series], path: Path, root: Path, with_names: bool = False) -> list[Case]:
    """A case per series, named by its folder below ``root``, no word of the patient in its name."""
    count = Counter(one.folder for one in series)
    cases = []
    for one in series:
        inside = one.folder.relative_to(path).parts
        if count[one.folder] > 1:
            inside = (*inside, f"{one.modality.lower() if one.modality.isalnum() else 'series'}_{one.mark}")
        identity = () if with_names else one.identity
        hidden = without_names((*root.parts[-2:], *inside), identity, one.mark)
        place = Path("/", *(part for part in hidden if part != "/"))
        case = Case(place.name, one.files, place, is_series=True, identity=identity)
        cases.append(replace(case, study=one.study, description=one.description))
    return cases
