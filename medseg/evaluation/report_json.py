"""``report.json``: everything a report needs, as `report.schema.json` beside this file tells."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from importlib import metadata, resources
from math import isinf, isnan
from pathlib import Path
from typing import Any

from medseg import __version__
from medseg.data.manifest import Manifest
from medseg.evaluation.cases import CaseResult, Protocol
from medseg.evaluation.inputs import Inputs
from medseg.evaluation.matching import Matches
from medseg.evaluation.summary import SummaryRow, first_names
from medseg.metrics import StructureScore, metric
from medseg.metrics.coded_scoring import Method

FORMAT = "medseg-report/1"
_PACKAGES = ("numpy", "scipy", "numba", "nibabel", "SimpleITK", "isal")


def report(
    results: Sequence[CaseResult],
    summary: Sequence[SummaryRow],
    protocol: Protocol,
    sources: tuple[Inputs, Manifest | None, Matches],
    output_dir: Path,
) -> dict[str, Any]:
    """The report as JSON values: an undefined number is null, an infinite one the string ``inf``.

    Folders are told from `output_dir`, files from their folder.
    """
    inputs, manifest, matches = sources
    return {
        "format": FORMAT,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "versions": _versions(),
        "definition": _definition(protocol, results),
        "inputs": _inputs(inputs, manifest, output_dir) | {"matching_rule": matches.rule},
        "structures": [_structure(s, protocol) for s in protocol.structures],
        "metrics": _metrics(results),
        "counts": counts(results, matches),
        "cases": [_case(r, inputs) for r in results],
        "summary": [_plain(asdict(row)) for row in summary],
        "unmatched": {
            "predictions": [_told(p, inputs.predictions) for p in matches.unmatched_predictions],
            "references": [r.reference.case for r in results if r.status == "missing_prediction"],
        },
    }


def counts(results: Sequence[CaseResult], matches: Matches) -> dict[str, int]:
    """How many cases there are, and how many of them are scored, missing or failed."""
    return {
        "n_cases": len(results),
        "n_scored": sum(r.status == "ok" for r in results),
        "n_missing_prediction": sum(r.status == "missing_prediction" for r in results),
        "n_error": sum(r.is_error for r in results),
        "n_unmatched_predictions": len(matches.unmatched_predictions),
    }


def schema() -> dict[str, Any]:
    """The JSON Schema of ``report.json``."""
    text = resources.files("medseg.evaluation").joinpath("report.schema.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def json_number(value: float) -> float | int | str | None:
    """A number that strict JSON can hold: nan is null, infinities are ``inf`` and ``-inf``."""
    if isnan(value):
        return None
    if isinf(value):
        return "inf" if value > 0 else "-inf"
    return int(value) if float(value).is_integer() and abs(value) < 2**53 else float(value)


def _definition(protocol: Protocol, results: Sequence[CaseResult]) -> dict[str, Any]:
    how = protocol.how
    name, _, version = how.name.partition("/")
    sources = sorted({r.spacing_source for r in results if r.spacing_source})
    return {
        "name": how.name,
        "preset": name,
        "version": version,
        "text": how.text,
        "percentiles": list(how.percentiles),
        "surface": how.surface,
        "percentile_rule": how.percentile_rule,
        "assd_rule": how.assd_rule,
        "nsd_rule": how.nsd_rule,
        "penalty": "the image's diagonal in mm" if how.penalty_mm is None else f"{how.penalty_mm:g} mm",
        "ignore_label": protocol.ignore_label,
        "ignore_rule": how.ignore,
        "spacing_sources": sources,
        "resampled": protocol.resample,
        "engine": protocol.engine,
    }


def _structure(structure: Any, protocol: Protocol) -> dict[str, Any]:
    spacing = (1.0,)
    method = Method(protocol.how, protocol.tolerances_mm)
    by_spacing = protocol.tolerances_mm is None and not protocol.how.tolerances_mm
    return {
        "name": structure.name,
        "numbers": sorted(structure.numbers),
        "colour": structure.colour or None,
        "tolerances_mm": None if by_spacing else list(method.tolerances_of(structure.name, spacing)),
    }


def _metrics(results: Sequence[CaseResult]) -> list[dict[str, str]]:
    names = first_names([list(s.metrics) for r in results if r.score for s in r.score.structures])
    return [asdict(metric(name)) for name in names]


def _case(result: CaseResult, inputs: Inputs) -> dict[str, Any]:
    ref, grid = result.reference, result.grid
    folder = inputs.reference_folder
    found: dict[str, Any] = {
        "case": ref.case,
        "patient": ref.patient or None,
        "status": result.status,
        "message": result.message or None,
        "flags": list(result.flags),
        "prediction": _file(result.prediction, inputs.predictions, result.sha256.get("prediction")),
        "reference": _file(ref.path, folder, result.sha256.get("reference")),
        "image": [_told(p, folder) for p in ref.image],
        "shape": None if grid is None else list(grid.shape),
        "spacing_mm": None if grid is None else [float(s) for s in grid.spacing_mm],
        "spacing_source": result.spacing_source or None,
        "diagonal_mm": None if grid is None else grid.diagonal_mm,
        "structures": [],
        "overall": {},
        "unknown_labels": {"prediction": {}, "reference": {}},
    }
    if result.score is not None:
        found["structures"] = [_scores(s) for s in result.score.structures]
        found["overall"] = _plain(result.score.overall)
        unknown = result.score.unknown
        found["unknown_labels"] |= {of: {str(k): n for k, n in v.items()} for of, v in unknown.items()}
    return found


def _scores(score: StructureScore) -> dict[str, Any]:
    return {
        "name": score.name,
        "status": score.status,
        "metrics": _plain(score.metrics),
        "penalised": _plain({k: v for k, v in score.penalised.items() if metric(k).worst}),
        "lesions": [_plain(lesion) for lesion in score.lesions],
    }


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: json_number(v) if isinstance(v, float) else v for key, v in values.items()}


def _file(path: Path | None, folder: Path, sha256: str | None) -> dict[str, Any] | None:
    return None if path is None else {"path": _told(path, folder), "sha256": sha256}


def _told(path: Path, folder: Path) -> str:
    """The path from its folder where it lies inside, else as it is; forward slashes."""
    return (path.relative_to(folder) if path.is_relative_to(folder) else path).as_posix()


def _inputs(inputs: Inputs, manifest: Manifest | None, output_dir: Path) -> dict[str, Any]:
    def from_output(path: Path | None) -> str | None:
        return None if path is None else Path(os.path.relpath(path, output_dir)).as_posix()

    described = None
    if manifest is not None and inputs.manifest is not None:
        described = {
            "path": from_output(inputs.manifest),
            "name": manifest.name,
            "version": manifest.version,
            "licence": manifest.licence,
            "description": manifest.description,
            "sha256": hashlib.sha256(inputs.manifest.read_bytes()).hexdigest(),
        }
    return {
        "predictions": from_output(inputs.predictions),
        "references": from_output(inputs.reference_folder),
        "manifest": described,
        "split": inputs.split,
        "fold": inputs.fold,
    }


def _versions() -> dict[str, str]:
    found = {"medseg": __version__, "python": platform.python_version()}
    return found | {name: metadata.version(name) for name in _PACKAGES}
