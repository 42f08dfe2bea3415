"""What a dataset.json tells of a folder: MSD, nnU-Net v1 and v2."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from medseg.data.layouts import Layout
from medseg.data.manifest import SPLITS, Case
from medseg.data.patients import patient_of
from medseg.data.words import stem_of
from medseg.errors import ManifestError

Labels = dict[str, "int | tuple[int, ...]"]


def described(folder: Path, paths: Sequence[str]) -> Layout | None:
    """What dataset.json tells, with the cases that it lists; None where there is none.

    Raises:
        ManifestError: there are several, which describe several data sets.
    """
    found = [p for p in paths if PurePosixPath(p).name == "dataset.json"]
    if len(found) > 1:
        folders = ", ".join(PurePosixPath(p).parent.as_posix() for p in found[:5])
        raise ManifestError(
            f"{len(found)} data sets in {folder}, each with a dataset.json: {folders}",
            "one data set",
            "scan each of these folders by itself",
        )
    if not found:
        return None
    told, problem = _content(folder / found[0])
    modern = "channel_names" in told or "file_ending" in told
    layout = Layout("nnU-Net" if modern else "MSD", f"{found[0]} describes it")
    if problem:
        layout.notes.append(f"{found[0]} not used: {problem}")
        return layout
    layout.channels = _channels(told.get("channel_names") or told.get("modality"))
    layout.labels, layout.regions = _labels(told.get("labels"), found[0], layout.notes)
    layout.ignored = _ignored(told.get("labels"))
    for key, ours in (("name", "name"), ("description", "description"), ("reference", "source")):
        layout.header[ours] = str(told.get(key, "") or "")
    layout.header["licence"] = str(told.get("licence") or told.get("license") or "")
    layout.header["name"] = re.sub(r"\W+", "_", layout.header["name"]).strip("_")
    layout.cases, lost = _cases(told, PurePosixPath(found[0]).parent, set(paths))
    if lost and layout.cases:
        layout.notes.append(f"{len(lost)} files that {found[0]} lists are not there, first {lost[0]}")
    return layout


def _content(path: Path) -> tuple[dict[str, Any], str]:
    try:
        told = json.loads(path.read_text(encoding="utf-8-sig"))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        return {}, f"it is not JSON ({error})"
    except OSError as error:
        return {}, f"it cannot be read ({error.strerror})"
    return (told, "") if isinstance(told, dict) else ({}, f"it holds a {type(told).__name__}, not an object")


def _channels(names: Any) -> list[str]:
    if isinstance(names, list):
        return [str(v) for v in names]
    known = sorted(names.items(), key=lambda kv: str(kv[0]).zfill(4)) if isinstance(names, dict) else []
    return [str(v) for _, v in known]


def _labels(labels: Any, where: str, notes: list[str]) -> tuple[Labels, dict[str, tuple[int, ...]]]:
    """nnU-Net v2 maps names to numbers or regions, MSD numbers to names; ``ignore`` is no structure."""
    found: Labels = {}
    regions: dict[str, tuple[int, ...]] = {}
    for key, value in labels.items() if isinstance(labels, dict) else []:
        numbers = _whole(value)
        if isinstance(value, list):
            members = [_whole(v) for v in value]
            if None not in members:
                regions[str(key)] = tuple(m for m in members if m is not None)
                continue
        turned = _whole(key) is not None and numbers is None
        name, number = (str(value), _whole(key)) if turned else (str(key), numbers)
        if number is None:
            notes.append(f"{where}: label {key!r} with {value!r} is no name with a number; left out")
        elif number and name.lower() == "ignore":
            notes.append(
                f"label {number} is {where}'s ignore label, no structure: `medseg evaluate "
                f"--ignore-label {number}` leaves it out, training needs label maps without it"
            )
        elif number:
            found[name] = number
    for region, values in regions.items():
        if len(values) == 1 and values[0] not in found.values():
            found[region] = values[0]
    if regions:
        missing = {n for v in regions.values() for n in v} - {n for n in found.values() if isinstance(n, int)}
        found |= {f"structure {n}": n for n in sorted(missing - {0})}
    return found, regions


def _ignored(labels: Any) -> tuple[int, ...]:
    """nnU-Net's ignore label, where there is one."""
    numbers = [
        _whole(v) for k, v in (labels.items() if isinstance(labels, dict) else []) if k.lower() == "ignore"
    ]
    return tuple(n for n in numbers if n is not None)


def _whole(value: Any) -> int | None:
    text = str(value).strip()
    return int(text) if re.fullmatch(r"-?\d{1,9}", text) and not isinstance(value, bool) else None


def _cases(told: dict[str, Any], base: PurePosixPath, paths: Collection[str]) -> tuple[list[Case], list[str]]:
    """The cases that dataset.json lists whose files are there, and the files that are not."""
    cases: list[Case] = []
    taken: set[str] = set()
    lost: list[str] = []
    for split, given, image, label in _entries(told):
        files = [(base / p).as_posix() for p in image]
        drawn = (base / label).as_posix() if label else None
        missing = [p for p in [*files, *([drawn] if drawn else [])] if p not in paths]
        lost += missing
        name = given or stem_of(drawn or (files or [""])[0])
        if files and not missing and name not in taken:
            taken.add(name)
            cases.append(Case(name, patient_of(name), tuple(files), drawn, split=split))
    return cases, lost


def _entries(told: dict[str, Any]) -> list[tuple[str, str, list[str], str]]:
    """(split, name or empty, images, label or empty) of all that is listed in a known shape."""
    found: list[tuple[str, str, list[str], str]] = []
    for split in SPLITS:
        for entry in told[split] if isinstance(told.get(split), list) else []:
            known = entry if isinstance(entry, dict) else {"image": entry}
            found.append((split, "", _strings(known.get("image")), "".join(_strings(known.get("label"))[:1])))
    table = told.get("dataset")
    for name, entry in table.items() if isinstance(table, dict) else []:
        if isinstance(entry, dict):
            found.append(
                (
                    "training",
                    str(name),
                    _strings(entry.get("images")),
                    "".join(_strings(entry.get("label"))[:1]),
                )
            )
    return found


def _strings(value: Any) -> list[str]:
    return [str(v) for v in (value if isinstance(value, list) else [value]) if isinstance(v, str) and v]
