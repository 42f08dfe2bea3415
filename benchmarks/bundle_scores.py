"""The table of scores for a bundle's page, from what `medseg evaluate` wrote.

    python -m benchmarks.bundle_scores FOLDER [METRIC …]

Mean with its 95 % interval (BCa bootstrap over patients), median, and how many cases have no finite value:
those are in no mean, and the table says how many they are.
"""

from __future__ import annotations

import csv
import math
import sys
from pathlib import Path

from medseg.report.statistics import summarise

TOLD = {"case", "patient", "structure", "status", "flags", "message"}
USUAL = ("dice", "iou", "hd95_mm")


def columns(folder: Path) -> dict[tuple[str, str], list[tuple[str, float]]]:
    """Patient and value of every case by structure and metric."""
    found: dict[tuple[str, str], list[tuple[str, float]]] = {}
    with (folder / "cases_wide.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            patient = row["patient"] or row["case"]
            for name in set(row) - TOLD if row["structure"] else ():
                value = float(row[name]) if row[name] else math.nan
                found.setdefault((row["structure"], name), []).append((patient, value))
    return found


def table(folder: Path, metrics: tuple[str, ...]) -> str:
    """Markdown, one row per structure and metric."""
    lines = [
        "| structure | metric | n | mean [95 % interval] | median | without a finite value |",
        "|---|---|---|---|---|---|",
    ]
    found = columns(folder)
    for structure in dict.fromkeys(structure for structure, _ in found):
        for metric in metrics:
            pairs = found[structure, metric]
            finite = [(patient, value) for patient, value in pairs if math.isfinite(value)]
            told = summarise([v for _, v in finite], [p for p, _ in finite])
            low, high = told.mean_interval.low, told.mean_interval.high
            lines.append(
                f"| {structure} | {metric} | {len(pairs)} | {told.mean:.4g} [{low:.4g}, {high:.4g}] "
                f"| {told.median:.4g} | {len(pairs) - len(finite)} |"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(Path(sys.argv[1]), tuple(sys.argv[2:]) or USUAL))
