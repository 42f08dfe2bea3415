"""Tables beside the scans: one with paths is a layout, one with cases tells patients and splits."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from medseg.data.layouts import Layout, patient_of, stem_of
from medseg.data.manifest import SPLITS, Case

_IMAGE = ("image", "image_path", "img", "scan", "volume", "image_file", "filename", "file", "path")
_LABEL = ("label", "label_path", "mask", "mask_path", "seg", "segmentation", "label_file", "ground_truth")
_CASE = ("case", "case_id", "id", "name", "image_id", "subject", "participant_id")
_PATIENT = ("patient", "patient_id", "subject", "subject_id", "participant_id", "group")
_SPLIT = ("split", "set", "subset", "partition", "fold_name")
_WORDS = {
    "train": "training",
    "tr": "training",
    "val": "validation",
    "valid": "validation",
    "testing": "test",
}


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


def table_cases(folder: Path, table: str) -> list[Case]:
    """The cases of a CSV with a column of image paths that exist; empty where it has none.

    Several image columns (``image_0``, ``image_1`` or ``flair``, ``t1``, …) are several channels.
    """
    rows = rows_of(folder / table)
    if not rows:
        return []
    images = [
        c for c in rows[0] if _inside(folder, table, rows[0][c]) and c not in _LABEL and "label" not in c
    ]
    images = [c for c in images if "mask" not in c and "seg" not in c]
    label = next((c for c in rows[0] if c in _LABEL or "label" in c or "mask" in c or "seg" in c), None)
    cases: list[Case] = []
    taken: set[str] = set()
    for row in rows if images else []:
        paths = [_inside(folder, table, row[c]) for c in images]
        drawn = _inside(folder, table, row[label]) if label and row.get(label) else None
        if not all(paths):
            continue
        name = _value(row, _CASE) or stem_of(str(paths[0]))
        name = name if name not in taken else f"{name}_{len(taken)}"
        taken.add(name)
        split = _split(_value(row, _SPLIT)) or ("training" if drawn else "test")
        patient = _value(row, _PATIENT) or patient_of(name)
        cases.append(Case(name, patient, tuple(str(p) for p in paths), drawn or None, split=split))
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


def _value(row: dict[str, str], names: Sequence[str]) -> str:
    return next((row[n] for n in names if row.get(n)), "")


def _split(word: str) -> str:
    low = word.lower()
    return low if low in SPLITS else _WORDS.get(low, "")


def _inside(folder: Path, table: str, value: str) -> str | None:
    """The path inside the folder, given relative to the folder, to the table, or absolute; None where not."""
    if not value or len(value) > 1000:
        return None
    for base in (folder, (folder / table).parent):
        where = base / value.replace("\\", "/")
        if (
            where.exists()
            and where.resolve().is_relative_to(folder.resolve())
            and where.resolve() != folder.resolve()
        ):
            return where.resolve().relative_to(folder.resolve()).as_posix()
    return None
