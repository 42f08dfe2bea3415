"""Tables beside the scans: one with paths is a layout, one with cases tells patients and splits."""

from __future__ import annotations

import csv
import os
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from medseg.data.layouts import Layout
from medseg.data.manifest import SPLITS, Case
from medseg.data.patients import patient_of
from medseg.data.reading import looks_dicom
from medseg.data.words import LABEL_WORDS, ending_of, has_word, stem_of, words_of
from medseg.errors import ManifestError

_CASE = ("case", "case_id", "id", "name", "image_id", "subject", "participant_id")
_PATIENT = ("patient", "patient_id", "patientid", "subject", "subject_id", "participant_id", "group")
_SPLIT = ("split", "set", "subset", "partition", "fold_name")
_WORDS = {
    **dict.fromkeys(("train", "tr", "trainset"), "training"),
    **dict.fromkeys(("val", "valid", "dev"), "validation"),
    **dict.fromkeys(("testing", "ts", "holdout", "held-out"), "test"),
}
_LABEL = LABEL_WORDS | {"target", "reference", "lesion"}
_LOOK_AT = 20
Find = Callable[[str], "str | None"]


def rows_of(path: Path) -> list[dict[str, str]]:
    """The rows with lower-case column names; empty where the file is no table of text."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        first = text.split("\n", 1)[0]
        sign = max("\t;,", key=first.count)
        rows = list(csv.DictReader(text.splitlines(), delimiter=sign))
    except (UnicodeDecodeError, csv.Error):
        return []
    return [{str(k).strip().lower(): str(v or "").strip() for k, v in row.items() if k} for row in rows]


def table_layout(folder: Path, paths: Sequence[str]) -> Layout | None:
    """The layout of the first table with columns of paths, or None where there is none.

    A path may be relative to the folder or to the table, absolute inside the folder, or a file's bare name.
    Several columns of images (``image_0``, ``image_1`` or ``flair``, ``t1``, …) are several channels.

    Raises:
        ManifestError: some of its files are not there, or it has several columns of label maps.
    """
    tables = [p for p in paths if p.lower().endswith((".csv", ".tsv")) and p.count("/") <= 1]
    for table in sorted(tables, key=lambda p: p.count("/")):
        rows = rows_of(folder / table)
        find = _finder(folder, table, paths)
        columns = [c for c in (rows[0] if rows else {}) if _holds_paths(rows, c, find)]
        labels = [c for c in columns if has_word(words_of(c), _LABEL)]
        images = [c for c in columns if c not in labels]
        if not images:
            continue
        if len(labels) > 1:
            found = f"{table} has {len(labels)} columns of label maps: {', '.join(labels)}"
            raise ManifestError(found, "one label map per case", "put them into one file per case")
        cases = _cases(rows, images, labels, find, table)
        channels = images if len(images) > 1 else []
        rule = f"{table}: images from {', '.join(images)}; label maps from {', '.join(labels) or 'no column'}"
        return Layout("CSV", rule, cases, channels)
    return None


def _holds_paths(rows: Sequence[Mapping[str, str]], column: str, find: Find) -> bool:
    """True where a value among the first is a file of the folder."""
    values = [row[column] for row in rows if row.get(column)][:_LOOK_AT]
    return any(find(v) for v in values)


def _cases(
    rows: Sequence[Mapping[str, str]], images: Sequence[str], labels: Sequence[str], find: Find, table: str
) -> list[Case]:
    cases: list[Case] = []
    lost: list[str] = []
    taken: set[str] = set()
    for row in rows:
        paths = [find(row.get(c, "")) for c in images]
        if not any(row.get(c) for c in (*images, *labels)):
            continue
        wanted = row.get(labels[0], "") if labels else ""
        drawn = find(wanted) if wanted else None
        lost += [row.get(c) or f"(no {c})" for c, p in zip(images, paths, strict=True) if p is None]
        lost += [wanted] if wanted and drawn is None else []
        name = _value(row, _CASE) or stem_of(str(paths[0]))
        name = name if name not in taken else f"{name}_{len(taken)}"
        taken.add(name)
        split = _split(_value(row, _SPLIT)) or ("training" if drawn else "test")
        patient = _value(row, _PATIENT) or patient_of(name)
        cases.append(Case(name, patient, tuple(str(p) for p in paths), drawn, split=split))
    if lost:
        raise ManifestError(
            f"{len(lost)} files that {table} names are not in the folder, first {lost[0]}",
            "every file that it names",
            "correct the table, or take those rows out",
        )
    return cases


def enrich(folder: Path, paths: Sequence[str], layout: Layout) -> None:
    """Take patients and splits from a table that names the cases, and say so."""
    for table in (p for p in paths if p.lower().endswith((".csv", ".tsv")) and p.count("/") <= 1):
        rows = {_value(row, _CASE) or "": row for row in rows_of(folder / table)}
        known = [c for c in layout.cases if c.case in rows]
        columns = next(iter(rows.values()), {})
        if not known or not any(c in columns for c in (*_PATIENT, *_SPLIT)):
            continue
        layout.cases = [_told(c, rows.get(c.case, {})) for c in layout.cases]
        layout.notes.append(f"patients and splits of {len(known)} cases taken from {table}")
        return


def _told(case: Case, row: dict[str, str]) -> Case:
    return replace(
        case, patient=_value(row, _PATIENT) or case.patient, split=_split(_value(row, _SPLIT)) or case.split
    )


def _value(row: Mapping[str, str], names: Sequence[str]) -> str:
    return next((row[n] for n in names if row.get(n)), "")


def _split(word: str) -> str:
    low = word.lower()
    return low if low in SPLITS else _WORDS.get(low, "")


def _finder(folder: Path, table: str, paths: Sequence[str]) -> Find:
    """A function from a table's value to the path inside the folder; None where it is no file there."""
    known = set(paths)
    by_name: dict[str, list[str]] = defaultdict(list)
    for p in paths:
        by_name[PurePosixPath(p).name].append(p)
    root = os.path.abspath(folder)

    def find(value: str) -> str | None:
        if not value or len(value) > 1000 or "\0" in value:
            return None
        written = value.replace("\\", "/")
        for base in (root, os.path.join(root, os.path.dirname(table))):
            # Not resolved: a data set may be made of links to files that lie elsewhere.
            where = os.path.relpath(os.path.normpath(os.path.join(base, written)), root).replace(os.sep, "/")
            if where in known and (ending_of(where) or looks_dicom(folder / where)):
                return where
            if where != "." and not where.startswith("..") and _is_series(Path(root, where)):
                return where
        same = by_name[PurePosixPath(written).name] if ending_of(written) else []
        return same[0] if len(same) == 1 else None

    return find


def _is_series(folder: Path) -> bool:
    return folder.is_dir() and any(p.is_file() and looks_dicom(p) for p in sorted(folder.iterdir())[:20])
