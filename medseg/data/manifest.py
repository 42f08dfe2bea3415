"""Manifests as files: a data set read from JSON, checked field by field, and written back.

A manifest is MONAI's datalist JSON with a header, so `monai.data.load_decathlon_datalist` reads it too.
`data_manifests/README.md` tells the format, `data_manifests/schema.json` is its JSON Schema.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from medseg.data.cases import SPLITS, Case, Manifest
from medseg.data.manifest_fields import (
    archive_of,
    as_tuple,
    broken,
    case_of,
    figure_of,
    integer_of,
    numbers_of,
)
from medseg.errors import ManifestError, OutputError

__all__ = [
    "SPLITS",
    "Case",
    "Manifest",
    "format_manifest",
    "parse_manifest",
    "read_manifest",
    "write_manifest",
]
_HEADER_TYPES: dict[str, type] = {
    "name": str,
    "version": str,
    "description": str,
    "source": str,
    "licence": str,
    "citation": str,
    "channels": list,
    "labels": dict,
    "regions": dict,
    "relabel": dict,
    "download": dict,
    "archives": list,
    "access": dict,
    "inter_rater": list,
}
_REQUIRED = ("name", "version", "channels", "labels")


def read_manifest(path: str | os.PathLike[str]) -> Manifest:
    """The manifest of a JSON file.

    Raises:
        ManifestError: the file is missing, is not JSON, or is not a manifest.
    """
    where = Path(path)
    try:
        content = json.loads(where.read_text(encoding="utf-8"))
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise ManifestError(
            f"no manifest at {where}",
            "a JSON file as data_manifests/README.md tells",
            "correct the path, or make one with `medseg data scan FOLDER -o FILE`",
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ManifestError(
            f"{where} is not JSON: {error}", "a manifest in JSON", "make it anew with `medseg data scan`"
        ) from None
    try:
        return parse_manifest(content)
    except ManifestError as error:
        raise error.within(str(where)) from None


def parse_manifest(content: object) -> Manifest:
    """The manifest in the decoded JSON `content`.

    Raises:
        ManifestError: a field is missing or of the wrong kind, or two cases share a name.
    """
    if not isinstance(content, dict):
        raise broken(f"a {type(content).__name__} at the top", "an object")
    for key in _REQUIRED:
        if key not in content:
            raise broken(f"no {key!r}", f"the fields {', '.join(_REQUIRED)} and a list of cases")
    for key, kind in _HEADER_TYPES.items():
        if key in content and not isinstance(content[key], kind):
            raise broken(f"{key!r} is {content[key]!r}", f"a {kind.__name__}")
    if not any(split in content for split in SPLITS):
        raise broken("no list of cases", f"at least one of {', '.join(SPLITS)}")
    items = tuple(case_of(entry, split) for split in SPLITS for entry in _entries(content, split))
    names = [c.case for c in items]
    twice = sorted({n for n in names if names.count(n) > 1}) if len(set(names)) < len(names) else []
    if twice:
        raise broken(f"{len(twice)} case names used twice, first {twice[0]!r}", "a name per case")
    header = {key: content[key] for key in _HEADER_TYPES if key in content}
    header["channels"] = tuple(str(c) for c in header["channels"])
    header["labels"] = {str(k): numbers_of(k, v) for k, v in header["labels"].items()}
    header["regions"] = {str(k): as_tuple(numbers_of(k, v)) for k, v in header.get("regions", {}).items()}
    header["relabel"] = {integer_of(k): integer_of(v) for k, v in header.get("relabel", {}).items()}
    header["archives"] = tuple(archive_of(a) for a in header.get("archives", []))
    header["inter_rater"] = tuple(figure_of(f) for f in header.get("inter_rater", []))
    return Manifest(items=items, **header)


def write_manifest(manifest: Manifest, path: str | os.PathLike[str], overwrite: bool = False) -> Path:
    """Where the manifest now lies: JSON with the header first and one case per line, written in one move.

    Raises:
        OutputError: the file exists and `overwrite` is off, or its folder cannot be written.
    """
    where = Path(path)
    if where.exists() and not overwrite:
        raise OutputError(f"{where} exists", "a new file", "name another one, or say --overwrite")
    partial = where.with_name(f".{where.name}.{os.getpid()}.part")
    try:
        where.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(format_manifest(manifest), encoding="utf-8")
        partial.replace(where)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise OutputError(
            f"cannot write {where}: {error.strerror}", "a folder to write in", "choose another place"
        ) from error
    return where


def format_manifest(manifest: Manifest) -> str:
    """The manifest as the text that `write_manifest` writes."""
    blocks = []
    for item in fields(manifest):
        value = getattr(manifest, item.name)
        if item.name in _HEADER_TYPES and (value or item.name in _REQUIRED):
            blocks.append((_HEADER_ORDER[item.name], f"  {json.dumps(item.name)}: {_dump(value)}"))
    lines = [text for _, text in sorted(blocks)]
    for split in SPLITS:
        entries = [f"    {_dump(_entry(c))}" for c in manifest.items if c.split == split]
        # MONAI's loader trips over an empty list, so an empty split is left out.
        if entries or (split == SPLITS[0] and not manifest.items):
            lines.append(f'  "{split}": [' + ("\n" + ",\n".join(entries) + "\n  " if entries else "") + "]")
    return "{\n" + ",\n".join(lines) + "\n}\n"


_HEADER_ORDER = {key: number for number, key in enumerate(_HEADER_TYPES)}


def _dump(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=dict)


def _entry(case: Case) -> dict[str, Any]:
    """The case as JSON: one path where there is one file, a list where there are several."""
    entry: dict[str, Any] = {"case": case.case, "patient": case.patient}
    entry["image"] = case.image[0] if len(case.image) == 1 else list(case.image)
    if case.label is not None:
        entry["label"] = case.label
    if case.sha256:
        single = {kind: h[0] if len(h) == 1 else list(h) for kind, h in case.sha256.items() if h}
        entry["sha256"] = single
    if case.fold is not None:
        entry["fold"] = case.fold
    return entry | dict(case.extra)


def _entries(content: Mapping[str, Any], split: str) -> list[Any]:
    entries = content.get(split, [])
    if not isinstance(entries, list):
        raise broken(f"{split!r} is a {type(entries).__name__}", "a list of cases")
    return entries
