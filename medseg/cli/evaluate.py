"""`medseg evaluate`: exact metrics per case and structure from any tool's files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import typer.core

from medseg.cli.options import SOME_FAILED, RayAddress
from medseg.errors import MedsegError

if TYPE_CHECKING:
    from medseg.evaluation import Evaluation

_LISTS = ("--labels", "--regions", "--tolerance", "--percentile")
_PAIR = re.compile(r"([^=,;]*[^=,;\s])\s*=\s*(-?\d+(?:\s*\+\s*-?\d+)*)\s*(?:[,;]|$|(?<=\s)(?=[^\s+=]))")


class WithLists(typer.core.TyperCommand):
    """A command whose options for lists take every word up to the next option: ``--regions WT=1+2 TC=1``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """The words with the option repeated before every further value."""
        words: list[str] = []
        option, n_values = "", 0
        for word in args:
            if re.match(r"-[^\d.]", word):
                name, equals, _ = word.partition("=")
                option, n_values = (name if name in _LISTS else ""), len(equals)
            elif option:
                n_values += 1
                words += [option] if n_values > 1 else []
            words.append(word)
        return super().parse_args(ctx, words)


def evaluate(
    *,
    predictions: Annotated[Path, typer.Option(help="Folder of predicted label maps, of any tool.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the tables and the report.")],
    references: Annotated[Path | None, typer.Option(help="Folder of reference label maps.")] = None,
    manifest: Annotated[Path | None, typer.Option(help="Manifest with labels, patients and splits.")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder that the manifest's paths start from.")] = None,
    split: Annotated[str | None, typer.Option(help="training, validation or test.")] = None,
    fold: Annotated[int | None, typer.Option(help="Only the cases that this fold holds out.")] = None,
    labels: Annotated[list[str] | None, typer.Option(help="Names and numbers: liver=1,tumour=2.")] = None,
    regions: Annotated[list[str] | None, typer.Option(help="Unions of numbers: WT=1+2+3 TC=1+3.")] = None,
    preset: Annotated[str, typer.Option(help="Definition of the metrics; see docs/metrics.md.")] = "medseg",
    tolerance: Annotated[
        list[str] | None, typer.Option(help="NSD's tolerance in mm: liver=5,tumour=2, or 2 for all.")
    ] = None,
    percentile: Annotated[
        list[float] | None,
        typer.Option(help="Percentile of surface distances, instead of 95.", min=0, max=100),
    ] = None,
    ignore_label: Annotated[int | None, typer.Option(help="Reference label that counts for nothing.")] = None,
    resample: Annotated[
        bool,
        typer.Option(
            "--resample", help="Bring predictions of another grid to the reference's, by nearest voxel."
        ),
    ] = False,
    prediction_name: Annotated[str | None, typer.Option(help="For example '{case}_pred.nii.gz'.")] = None,
    reference_name: Annotated[str | None, typer.Option(help="For example '{case}_seg.nii.gz'.")] = None,
    engine: Annotated[str, typer.Option(help="numba, or scipy for the slow reference path.")] = "numba",
    workers: Annotated[int, typer.Option(help="Cases at a time.", min=1)] = 1,
    ray: RayAddress = "",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier evaluation.")] = False,
) -> None:
    """Score predicted label maps against references: cases.csv, summary.csv, report.json and a table."""
    from medseg.evaluation import Inputs, Options
    from medseg.evaluation import evaluate as run

    if engine not in ("numba", "scipy"):
        raise MedsegError(f"engine {engine!r}", "numba or scipy", "correct --engine")
    options = Options(
        labels=_numbered(labels, "--labels") or None,
        regions=_numbered(regions, "--regions"),
        preset=preset,
        tolerances_mm=_tolerances(tolerance),
        ignore_label=ignore_label,
        percentiles=tuple(percentile or ()),
        resample=resample,
        engine=engine,  # type: ignore[arg-type]
    )
    inputs = Inputs(predictions, references, manifest, data, split, fold, prediction_name, reference_name)
    spread = None
    if ray:
        from medseg.distributed.scoring import scored_on_ray

        spread = partial(scored_on_ray, address=ray, n_workers=workers if workers > 1 else 0)
    with _Bar() as bar:
        found = run(
            inputs,
            output,
            options=options,
            workers=workers,
            overwrite=overwrite,
            progress=bar.start,
            spread=spread,
        )
    page = _write_page(output)
    _show(found, page)
    if found.n_errors:
        raise typer.Exit(SOME_FAILED)


def _numbered(given: list[str] | None, option: str) -> dict[str, Any]:
    """``liver=1,tumour=2+3`` as names and numbers."""
    found: dict[str, Any] = {}
    for name, numbers in (pair for text in given or [] for pair in _pairs(text, option)):
        if name in found:
            raise MedsegError(
                f"{option} with {name!r} twice", "each name once", "join its numbers: liver=1+2"
            )
        found[name] = numbers
    return found


def _pairs(text: str, option: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    """``left kidney=1, WT = 1 + 2`` in parts; after its numbers a name begins, with a comma or without."""
    rest = text.strip().strip(",;")
    while rest := rest.strip():
        part = _PAIR.match(rest)
        numbers = tuple(int(n) for n in part[2].split("+")) if part else ()
        if part is None or any(abs(n) >= 2**62 for n in numbers):
            raise MedsegError(
                f"{option} {rest!r}", "a name and numbers", "say for example liver=1,tumour=2 or WT=1+2+3"
            )
        yield part[1].strip(), numbers
        rest = rest[part.end() :]


def _tolerances(given: list[str] | None) -> dict[str, list[float]] | None:
    """``liver=5,2`` as 5 mm for the liver and 2 mm for all the others; a name may come twice."""
    if not given:
        return None
    found: dict[str, list[float]] = {}
    for item in (part.strip() for text in given for part in text.split(",")):
        name, equals, number = (word.strip() for word in item.rpartition("="))
        try:
            value = float(number)
        except ValueError:
            value = -1.0
        if not 0 <= value < float("inf"):
            raise MedsegError(
                f"--tolerance {item!r}", "millimetres, 0 or more", "say for example liver=5,tumour=2"
            )
        found.setdefault(name if equals else "*", []).append(value)
    return found


class _Bar:
    """A progress bar on a terminal, a line per failed case where there is none."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import Progress

        self.console = Console(stderr=True)
        self.progress = Progress(console=self.console, disable=not self.console.is_terminal)

    def __enter__(self) -> _Bar:
        self.progress.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self.progress.__exit__(*error)

    def start(self, n_cases: int) -> Any:
        task = self.progress.add_task("scoring", total=n_cases)

        def tell(result: Any) -> None:
            if result.is_error:
                typer.echo(f"{result.reference.case}: {result.status}: {result.message}", err=True)
            self.progress.advance(task)

        return tell


def _write_page(output: Path) -> Path:
    """The path of ``report.html``, written with pictures of the worst cases."""
    from medseg.evaluation.page import write_report

    return write_report(output)


def _show(found: Evaluation, page: Path) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    shown = ("dice", "hausdorff_mm", "hd95_mm", "assd_mm", "lesion_dice", "lesion_hd95_mm")
    table = Table(title=found.protocol.how.name, box=SIMPLE, pad_edge=False)
    for column in ("structure", "metric", "n", "finite", "missed", "false alarm", "mean", "penalised mean"):
        text = column in ("structure", "metric")
        table.add_column(column, justify="left" if text else "right", no_wrap=text)
    for row in found.summary:
        if row.metric in shown:
            counts = (row.n, row.n_finite, row.n_missed + row.n_missing_prediction, row.n_false_alarm)
            means = (f"{row.mean:.4g}", f"{row.penalised_mean:.4g}")
            table.add_row(row.structure, row.metric, *map(str, counts), *means)
    console = Console()
    console.print(table)
    told = found.report["counts"]
    typer.echo(
        f"{told['n_scored']} of {told['n_cases']} cases scored, {told['n_missing_prediction']} without "
        f"prediction, {told['n_error']} failed, {told['n_unmatched_predictions']} predictions without "
        f"reference\nreport: {page}"
    )
