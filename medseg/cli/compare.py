"""`medseg compare`: is one system better than another, on the same cases?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medseg.errors import MedsegError, OutputError


def compare(
    outputs: Annotated[
        list[Path],
        typer.Argument(metavar="OUT_A OUT_B [OUT_C]...", help="Folders of `medseg evaluate`."),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for comparison.html and .csv.")],
    name: Annotated[list[str] | None, typer.Option(help="What to call each folder, in their order.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier comparison.")] = False,
) -> None:
    """Compare two or more evaluations case by case: tests, effects, intervals; ranks for three or more."""
    from medseg.evaluation.page import read_table
    from medseg.report import System, compare_systems, write_comparison

    names = name or _names(outputs)
    if len(names) != len(outputs):
        raise MedsegError(
            f"{len(names)} names for {len(outputs)} folders", "one --name per folder", "add or remove one"
        )
    systems = [System(n, read_table(folder)) for n, folder in zip(names, outputs, strict=True)]
    contest = compare_systems(systems)
    page = output / "comparison.html"
    if page.exists() and not overwrite:
        raise OutputError(
            f"{page} exists", "a folder without a comparison", "name another, or say --overwrite"
        )
    output.mkdir(parents=True, exist_ok=True)
    write_comparison(contest, output)
    for row in contest.pairs:
        typer.echo(
            f"{row.structure}, {row.metric.title}: {row.b} minus {row.a} {row.result.difference:.4g} "
            f"[{row.result.low:.4g}, {row.result.high:.4g}], p (Holm) {row.p_holm:.3g}: {row.verdict}"
        )
    typer.echo(f"comparison of {len(contest.cases)} cases: {page}")


def _names(folders: list[Path]) -> list[str]:
    """The shortest ends of the folders' paths that differ."""
    parts = [folder.resolve().parts for folder in folders]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(part[-length:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return ["/".join(part) for part in parts]
