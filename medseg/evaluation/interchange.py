"""The same scores in the shapes that nnU-Net (summary.json) and grand-challenge (metrics.json) read."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan, nan
from typing import Any

import numpy as np

from medseg.evaluation.cases import CaseResult, Protocol
from medseg.evaluation.report_json import json_number
from medseg.evaluation.summary import first_names
from medseg.labels import Structure
from medseg.metrics import StructureScore
from medseg.metrics.overlap import ratio

_NNUNET = {
    "Dice": "dice",
    "FN": "fn_voxels",
    "FP": "fp_voxels",
    "IoU": "iou",
    "TN": "tn_voxels",
    "TP": "tp_voxels",
}


def nnunet_summary(results: Sequence[CaseResult], protocol: Protocol) -> dict[str, Any]:
    """nnU-Net's ``summary.json``: per case and mean over cases, keyed by label or by region's tuple.

    Dice and IoU are its own, from the counts, whatever the definition. As there, the mean over cases leaves
    out undefined values, the mean over foreground (all but label 0) doesn't; they are NaN in the file.
    """
    keys = [_key(s) for s in protocol.structures]
    scored = [r for r in results if r.status == "ok" and r.score is not None]
    per_case = [
        {
            "metrics": {k: _nnunet(s) for k, s in zip(keys, r.score.structures, strict=True)}
            if r.score
            else {},
            "prediction_file": str(r.prediction),
            "reference_file": str(r.reference.path),
        }
        for r in scored
    ]
    columns = [*_NNUNET, "n_pred", "n_ref"]
    mean = {k: {c: _nanmean([p["metrics"][k][c] for p in per_case]) for c in columns} for k in keys}  # type: ignore[index]
    foreground = {c: _mean([mean[k][c] for k in keys if k != "0"]) for c in columns}
    return {"foreground_mean": foreground, "mean": mean, "metric_per_case": per_case}


def grand_challenge_metrics(results: Sequence[CaseResult]) -> dict[str, Any]:
    """grand-challenge's ``metrics.json``, as evalutils writes it: values per case and their description."""
    scored = [r for r in results if r.score is not None]
    rows = []
    for r in scored:
        structures = r.score.structures if r.score else ()
        rows.append({f"{s.name}_{name}": v for s in structures for name, v in s.metrics.items()})
    columns = first_names([list(row) for row in rows])
    case: dict[str, Any] = {"case": {str(i): r.reference.case for i, r in enumerate(scored)}}
    aggregates = {}
    for column in columns:
        values = [row.get(column, nan) for row in rows]
        case[column] = {str(i): json_number(v) for i, v in enumerate(values)}
        aggregates[column] = _described(np.asarray([v for v in values if np.isfinite(v)]))
    return {"case": case, "aggregates": aggregates}


def _described(finite: np.ndarray[Any, Any]) -> dict[str, Any]:
    names = ("min", "25%", "50%", "75%", "max")
    if not len(finite):
        return {"count": 0, "mean": None, "std": None} | dict.fromkeys(names)
    quartiles = np.percentile(finite, [0, 25, 50, 75, 100])
    std = float(finite.std(ddof=1)) if len(finite) > 1 else None
    found = {"count": len(finite), "mean": float(finite.mean()), "std": std}
    return found | {n: float(q) for n, q in zip(names, quartiles, strict=True)}


def _nnunet(score: StructureScore) -> dict[str, float]:
    values = score.metrics
    found = {theirs: values.get(ours, nan) for theirs, ours in _NNUNET.items()}
    if not isnan(found["TP"]):
        wrong = found["FP"] + found["FN"]
        found["Dice"] = ratio(2 * found["TP"], 2 * found["TP"] + wrong)
        found["IoU"] = ratio(found["TP"], found["TP"] + wrong)
    found["n_pred"] = found["TP"] + found["FP"]
    found["n_ref"] = found["TP"] + found["FN"]
    whole = ("FN", "FP", "TN", "TP", "n_pred", "n_ref")
    return {key: int(v) if key in whole and not isnan(v) else v for key, v in found.items()}


def _key(structure: Structure) -> str:
    numbers = sorted(structure.numbers)
    return str(numbers[0]) if len(numbers) == 1 else str(tuple(numbers))


def _nanmean(values: Sequence[float]) -> float:
    return _mean([v for v in values if not isnan(v)])


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else nan
