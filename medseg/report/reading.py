"""The table of a report from ``report.json``, the file that ``medseg evaluate`` writes."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from medseg.errors import DataError
from medseg.report.scores import Case, File, Lesion, Method, Metric, Scores
from medseg.report.statistics import Floats

FILE_NAME = "report.json"
FORMAT = "medseg-report/1"


def read_document(folder: Path) -> dict[str, Any]:
    """The content of a folder's ``report.json``.

    Raises:
        DataError: there is none, it is not JSON, or it is of another format.
    """
    path = folder / FILE_NAME
    do = "name the folder that `medseg evaluate -o` wrote"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}", f"a file {FILE_NAME}", do) from error
    except ValueError as error:
        raise DataError(f"{path} is not JSON ({error})", f"a file {FILE_NAME}", do) from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        shown = found.get("format") if isinstance(found, dict) else type(found).__name__
        raise DataError(f"{path} has format {shown!r}", FORMAT, "evaluate again with this version of medseg")
    return found


def read_scores(folder: Path, *, title: str = "", synthetic: bool | None = None) -> Scores:
    """The table of an evaluation's folder.

    Args:
        folder: that ``medseg evaluate -o`` wrote.
        title: of the page; the data set's name or the folder of the predictions where empty.
        synthetic: whether the data are not of people; where None, whatever the file's manifest says.

    Raises:
        DataError: the file is missing, damaged or of another format.
    """
    document = read_document(folder)
    try:
        return scores_of(document, title=title, synthetic=synthetic)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            f"{folder / FILE_NAME} does not follow its schema ({type(error).__name__}: {error})",
            "a file that `medseg evaluate` wrote",
            "evaluate again",
        ) from error


def scores_of(document: Mapping[str, Any], *, title: str = "", synthetic: bool | None = None) -> Scores:
    """The table of a report's JSON values."""
    names = tuple(structure["name"] for structure in document["structures"])
    scored = [{entry["name"]: entry for entry in case["structures"]} for case in document["cases"]]
    metrics = tuple(Metric(m["name"], m["title"], m["unit"], m["better"]) for m in document["metrics"])
    return Scores(
        title=title or _title(document),
        method=_method(document, synthetic),
        structures=names,
        metrics=metrics,
        cases=tuple(_case(case, document["inputs"]) for case in document["cases"]),
        values=_values(scored, names, metrics),
        statuses={
            name: tuple(case[name]["status"] if name in case else "" for case in scored) for name in names
        },
        penalised={
            (row["structure"], row["metric"]): value_of(row["penalised_mean"])
            for row in document["summary"]
            if row["penalised_mean"] is not None
        },
        lesions=tuple(_lesions(document)),
    )


def value_of(cell: float | str | None) -> float:
    """A number from strict JSON: null is NaN, ``inf`` and ``-inf`` are infinite."""
    return math.nan if cell is None else float(cell)


def _values(
    scored: list[dict[str, Any]], names: tuple[str, ...], metrics: tuple[Metric, ...]
) -> dict[tuple[str, str], Floats]:
    found: dict[tuple[str, str], Floats] = {}
    for name in names:
        own = [case[name]["metrics"] if name in case else {} for case in scored]
        measured = {key for values in own for key in values}
        for metric in metrics:
            if metric.name in measured:
                found[name, metric.name] = np.array([value_of(values.get(metric.name)) for values in own])
    return found


def _case(case: Mapping[str, Any], inputs: Mapping[str, Any]) -> Case:
    folders = {"reference": inputs.get("references"), "prediction": inputs.get("predictions")}
    files = tuple(
        File(role, _joined(folders[role], case[role]["path"]), case[role]["sha256"] or "")
        for role in ("reference", "prediction")
        if case[role] is not None
    )
    status = "scored" if case["status"] == "ok" else case["status"]
    message = case["message"] or ""
    return Case(case["case"], case["patient"] or "", status, message, tuple(case["flags"]), files)


def _joined(folder: str | None, path: str) -> str:
    return path if not folder or Path(path).is_absolute() else f"{folder}/{path}"


def _method(document: Mapping[str, Any], synthetic: bool | None) -> Method:
    definition = document["definition"]
    tolerances = {s["name"]: tuple(s["tolerances_mm"] or ()) for s in document["structures"]}
    surface = any(m["name"].startswith(("nsd", "boundary_f1")) for m in document["metrics"])
    return Method(
        definition=definition["name"],
        text=definition["text"],
        tolerances_mm=tolerances if surface else {},
        spacing_source="; ".join(definition["spacing_sources"]),
        versions=document["versions"],
        synthetic=_says_synthetic(document) if synthetic is None else synthetic,
        notes=tuple(_notes(document)),
    )


def _notes(document: Mapping[str, Any]) -> list[str]:
    found = []
    unmatched = document["unmatched"]["predictions"]
    if unmatched:
        some = ", ".join(unmatched[:5]) + (" …" if len(unmatched) > 5 else "")
        found.append(f"{len(unmatched)} predictions without a reference were not scored: {some}.")
    flags: dict[str, int] = {}
    for case in document["cases"]:
        for flag in case["flags"]:
            kind = flag.split(":")[0].replace("_", " ")
            flags[kind] = flags.get(kind, 0) + 1
    if flags:
        found.append(
            "Flags: " + ", ".join(f"{kind} ({number})" for kind, number in sorted(flags.items())) + "."
        )
    return found


def _lesions(document: Mapping[str, Any]) -> list[Lesion]:
    found = []
    for case in document["cases"]:
        for structure in case["structures"]:
            for lesion in structure["lesions"]:
                sizes = (_size_ml(lesion["volume_mm3"]), _size_ml(lesion["prediction_mm3"]))
                scores = (value_of(lesion["dice"]), value_of(lesion["hd95_mm"]))
                found.append(Lesion(case["case"], structure["name"], lesion["kind"], *sizes, *scores))
    return found


def _size_ml(size_mm3: float | str | None) -> float:
    """A lesion's size; NaN on the side where it is not."""
    return value_of(size_mm3) / 1000 if value_of(size_mm3) > 0 else math.nan


def _says_synthetic(document: Mapping[str, Any]) -> bool:
    manifest = document["inputs"].get("manifest") or {}
    words = f"{manifest.get('name') or ''} {manifest.get('description') or ''}"
    return "synthetic" in words.lower()


def _title(document: Mapping[str, Any]) -> str:
    inputs = document["inputs"]
    manifest = inputs.get("manifest") or {}
    name = manifest.get("name") or Path(inputs["predictions"]).name
    split = f", {inputs['split']} split" if inputs.get("split") else ""
    return f"{name}{split}"
