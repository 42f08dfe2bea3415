"""`medseg report`: the page of an evaluation, made again from its files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    output: Annotated[Path, typer.Argument(metavar="OUT", help="Folder that `medseg evaluate -o` wrote.")],
    worst: Annotated[int, typer.Option(min=0, help="Cases per structure to show as pictures.")] = 3,
    title: Annotated[str, typer.Option(help="Title of the page.")] = "",
) -> None:
    """Write report.html: one offline page with statistics, every case as a dot and the worst cases."""
    from medseg.evaluation.page import write_report

    typer.echo(f"report: {write_report(output, worst=worst, title=title)}")
