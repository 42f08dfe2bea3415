"""The `medseg` command: every verb, and the one place where an error becomes an exit code."""

from __future__ import annotations

import sys
from typing import Any

import typer

from medseg import __version__
from medseg.cli import data
from medseg.cli.compare import compare
from medseg.cli.cross_validate import cross_validate
from medseg.cli.demo import demo
from medseg.cli.doctor import doctor
from medseg.cli.evaluate import evaluate
from medseg.cli.export import export, verify_export
from medseg.cli.lint import lint
from medseg.cli.networks import networks
from medseg.cli.overrides import SETTINGS
from medseg.cli.predict import predict
from medseg.cli.report import report
from medseg.cli.show_config import show_config
from medseg.cli.train import train
from medseg.cli.verify import verify
from medseg.errors import MedsegError

# Newer Typers carry a click of their own: the class is found where this one has it.
_UsageError: Any = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "UsageError")

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
app.command("cross-validate", context_settings=SETTINGS)(cross_validate)
app.command()(demo)
app.command()(doctor)
app.command()(evaluate)
app.command()(export)
app.command()(lint)
app.command()(networks)
app.command()(predict)
app.command()(report)
app.command(context_settings=SETTINGS)(show_config)
app.command(context_settings=SETTINGS)(train)
app.command()(verify)
app.command("verify-export")(verify_export)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; what the user can mend becomes one line on stderr and exit code 2."""
    try:
        code = app(arguments, prog_name="medseg", standalone_mode=False)
    except MedsegError as error:
        code = _refuse(str(error))
    except _UsageError as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            error.show()
            sys.exit(2)
        verb = error.ctx.command_path if error.ctx else "medseg"
        code = _refuse(f"{error.format_message().rstrip('.')}; see {verb} --help")
    except typer.Abort:
        code = _refuse("stopped")
    sys.exit(code if isinstance(code, int) else 0)


def _refuse(why: str) -> int:
    sys.stderr.write(f"medseg: {why}\n")
    return 2
