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
from medseg.cli.evaluate import WithLists, evaluate
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

# The panels of `medseg --help`, in the order in which one needs them.
_LEARN, _USE = "From a folder of scans to a bundle", "From a scan to a label map, and how good it is"
_TRUST, _LOOK = "A bundle before it is trusted or shipped", "To begin with"

app = typer.Typer(
    name="medseg",
    help="From a folder of scans to a trained, verified bundle; from a scan to a label map with a report.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


@app.callback(invoke_without_command=True)
def _version(version: bool = typer.Option(False, "--version", help="Show the version and stop.")) -> None:
    if version:
        typer.echo(f"medseg {__version__}")
        raise typer.Exit


app.command(rich_help_panel=_LOOK)(demo)
app.command(rich_help_panel=_LOOK)(networks)
app.command(rich_help_panel=_LOOK)(doctor)
app.add_typer(data.app, name="data", rich_help_panel=_LEARN)
app.command(rich_help_panel=_LEARN, context_settings=SETTINGS)(train)
app.command("cross-validate", rich_help_panel=_LEARN, context_settings=SETTINGS)(cross_validate)
app.command(rich_help_panel=_USE)(predict)
app.command(rich_help_panel=_USE, cls=WithLists)(evaluate)
app.command(rich_help_panel=_USE)(report)
app.command(rich_help_panel=_USE)(compare)
app.command(rich_help_panel=_TRUST)(verify)
app.command(rich_help_panel=_TRUST)(lint)
app.command("show-config", rich_help_panel=_TRUST, context_settings=SETTINGS)(show_config)
app.command(rich_help_panel=_TRUST)(export)
app.command("verify-export", rich_help_panel=_TRUST)(verify_export)


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
