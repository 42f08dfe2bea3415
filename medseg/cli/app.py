"""The `medseg` command: every verb, and the one place where an error becomes an exit code."""

from __future__ import annotations

import sys

import typer

from medseg import __version__
from medseg.cli import data
from medseg.cli.compare import compare
from medseg.cli.demo import demo
from medseg.cli.evaluate import evaluate
from medseg.cli.lint import lint
from medseg.cli.overrides import SETTINGS
from medseg.cli.predict import predict
from medseg.cli.report import report
from medseg.cli.show_config import show_config
from medseg.cli.train import train
from medseg.cli.verify import verify
from medseg.errors import MedsegError

app = typer.Typer(
    name="medseg",
    help="From a folder of scans to a trained, verified bundle; from a scan to a label map with a report.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.add_typer(data.app, name="data")


@app.callback(invoke_without_command=True)
def _version(version: bool = typer.Option(False, "--version", help="Show the version and stop.")) -> None:
    if version:
        typer.echo(f"medseg {__version__}")
        raise typer.Exit


app.command()(compare)
app.command()(demo)
app.command()(evaluate)
app.command()(lint)
app.command()(predict)
app.command()(report)
app.command(context_settings=SETTINGS)(show_config)
app.command(context_settings=SETTINGS)(train)
app.command()(verify)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; a `MedsegError` becomes one line on stderr and exit code 2."""
    try:
        app(arguments)
    except MedsegError as error:
        sys.stderr.write(f"medseg: {error}\n")
        sys.exit(2)
