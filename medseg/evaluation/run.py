"""Predictions and references in, a folder of tables out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from medseg.errors import OutputError
from medseg.evaluation import interchange, report_json, tables
from medseg.evaluation.cases import CaseResult, Protocol, score_case
from medseg.evaluation.inputs import Inputs, manifest_of, matches
from medseg.evaluation.matching import Matches, Reference
from medseg.evaluation.protocol import Options, protocol_of
from medseg.evaluation.summary import SummaryRow, summarise

FILES = (
    *("cases.csv", "cases_wide.csv", "cases.parquet", "summary.csv", "report.json", "summary.json"),
    "metrics.json",
)
Progress = Callable[[CaseResult], None]
Pair = tuple[Reference, tuple[Path, ...]]
Spread = Callable[[Sequence[Pair], Protocol], Iterator[CaseResult]]


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found.

    Attributes:
        results: one per reference, in the order of the references.
        summary: one row per structure and metric.
        protocol: what was scored and how.
        report: the content of ``report.json``.
    """

    results: tuple[CaseResult, ...]
    summary: tuple[SummaryRow, ...]
    protocol: Protocol
    report: dict[str, Any]

    @property
    def n_errors(self) -> int:
        """Cases that could not be scored."""
        return sum(r.is_error for r in self.results)


def evaluate(
    inputs: Inputs,
    output_dir: Path,
    *,
    options: Options | None = None,
    workers: int = 1,
    overwrite: bool = False,
    progress: Callable[[int], Progress] | None = None,
    spread: Spread | None = None,
) -> Evaluation:
    """Every case scored, and the tables of `FILES` in `output_dir`.

    Args:
        inputs: where the files lie.
        output_dir: made where it does not exist.
        options: what is scored and how.
        workers: cases at a time; threads, since reading and scoring leave Python's lock alone.
        overwrite: replace the tables of an earlier evaluation.
        progress: called with the number of cases, gives what is called with each result.
        spread: scores the pairs elsewhere, in any order, instead of ``workers`` threads here.

    Raises:
        MedsegError: a folder, a name or a setting is wrong; faulty files become rows instead.
        OutputError: the tables are there already and `overwrite` is off.
    """
    manifest = manifest_of(inputs)
    pairs = matches(inputs, manifest)
    protocol = protocol_of(options or Options(), manifest, pairs)
    _claim(output_dir, overwrite)
    tell = progress(len(pairs.pairs)) if progress else _quiet
    results = _score_all(pairs, protocol, spread or partial(_by_threads, workers=workers), tell)
    summary = summarise(results)
    sources = (inputs, manifest, pairs)
    content = report_json.report(results, summary, protocol, sources, output_dir)
    evaluation = Evaluation(tuple(results), tuple(summary), protocol, content)
    _write(evaluation, output_dir)
    return evaluation


def _score_all(pairs: Matches, protocol: Protocol, spread: Spread, tell: Progress) -> list[CaseResult]:
    """The results in the order of the references."""
    order = {reference: number for number, (reference, _) in enumerate(pairs.pairs)}
    results = []
    for result in spread(pairs.pairs, protocol):
        tell(result)
        results.append(result)
    return sorted(results, key=lambda result: order[result.reference])


def _by_threads(pairs: Sequence[Pair], protocol: Protocol, *, workers: int) -> Iterator[CaseResult]:
    with ThreadPoolExecutor(max(1, workers)) as pool:
        yield from pool.map(lambda pair: score_case(pair, protocol), pairs)


def _write(evaluation: Evaluation, folder: Path) -> None:
    results = evaluation.results
    tables.write_cases(results, folder)
    tables.write_wide(results, folder)
    tables.write_summary(evaluation.summary, folder)
    for name, content in (
        ("summary.json", interchange.nnunet_summary(results, evaluation.protocol)),
        ("metrics.json", interchange.grand_challenge_metrics(results)),
        ("report.json", evaluation.report),
    ):
        # nnU-Net's own file has sorted keys, and NaN where a value is undefined.
        as_there = name == "summary.json"
        text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=as_there, sort_keys=as_there)
        (folder / name).write_text(f"{text}\n", encoding="utf-8")


def _claim(folder: Path, overwrite: bool) -> None:
    there = [name for name in FILES if (folder / name).exists()]
    if there and not overwrite:
        raise OutputError(
            f"{folder / there[0]} exists",
            "a folder without an evaluation",
            "name another, or say --overwrite",
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot make {folder}: {error.strerror}", "a folder to write in", "choose another"
        ) from error


def _quiet(result: CaseResult) -> None:
    """Tell nobody."""
