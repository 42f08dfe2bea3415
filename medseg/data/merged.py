"""What `medseg data merge` left in a folder: label maps, and of which files they were made."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from medseg.data.cases import Case
from medseg.data.layouts import Layout
from medseg.errors import ManifestError

MERGED = "merged.json"


@dataclass(frozen=True)
class MergedCase:
    """One case: paths from the root of the data set, and the files whose structures are in the label map."""

    case: str
    patient: str
    split: str
    image: tuple[str, ...]
    label: str | None
    sources: Mapping[str, str]


def merged_text(
    root: Path, folder: Path, channels: Sequence[str], labels: Mapping[str, int], cases: Sequence[MergedCase]
) -> str:
    """The content of ``merged.json`` in `folder`, whose paths start from `root`."""
    content = {
        "root": PurePosixPath(os.path.relpath(root, folder)).as_posix(),
        "channels": list(channels),
        "labels": dict(labels),
        "cases": [vars(case) | {"sources": dict(case.sources)} for case in cases],
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def merged_layout(folder: Path, paths: Sequence[str]) -> Layout | None:
    """The cases that an earlier merge lists; None where there was none.

    Raises:
        ManifestError: there were several, or one that can't be read.
    """
    found = [p for p in paths if PurePosixPath(p).name == MERGED and _is_ours(folder / p)]
    if not found:
        return None
    if len(found) > 1:
        raise ManifestError(
            f"{len(found)} merged data sets in {folder}: {', '.join(found[:3])}", "one", "delete the others"
        )
    content = json.loads((folder / found[0]).read_text(encoding="utf-8"))
    start = (folder / found[0]).resolve().parent / content["root"]
    layout = Layout("merged", f"{found[0]} lists label maps made of a file per structure")
    layout.channels, layout.labels = list(content["channels"]), dict(content["labels"])
    lost = []
    for entry in content["cases"]:
        image = tuple(_inside(folder, start, p) for p in entry["image"])
        label = _inside(folder, start, entry["label"]) if entry["label"] else None
        files = [p.split("#")[0] for p in (*image, *([label] if label else []))]
        if all((folder / p).exists() for p in files):
            layout.cases.append(Case(entry["case"], entry["patient"], image, label, split=entry["split"]))
        else:
            lost.append(entry["case"])
    if lost:
        layout.notes.append(f"{len(lost)} merged cases whose files are gone left out, first {lost[0]}")
    return layout


def _is_ours(path: Path) -> bool:
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError):
        return False
    return isinstance(content, dict) and {"root", "channels", "labels", "cases"} <= content.keys()


def _inside(folder: Path, start: Path, path: str) -> str:
    return PurePosixPath(os.path.relpath(start / path, folder.resolve())).as_posix()
