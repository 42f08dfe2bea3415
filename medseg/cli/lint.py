"""`medseg lint BUNDLE`: every fault of a bundle at once, in under a second, without running it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from medseg.cli.options import AsJson


def lint(
    bundle: Annotated[Path, typer.Argument(help="Folder of the bundle.")],
    as_json: AsJson = False,
) -> None:
    """Show every fault of a bundle with file, line, id and the nearest name; nothing of it is run.

    Exit code 0 without errors (warnings may be there), 2 with errors.
    """
    from medseg.bundle.lint import lint as check

    findings = check(bundle)
    errors = sum(f.is_error for f in findings)
    if as_json:
        document = {"bundle": str(bundle), "errors": errors, "findings": [f.as_dict() for f in findings]}
        typer.echo(json.dumps(document, indent=2))
    else:
        for finding in findings:
            typer.echo(str(finding))
        typer.echo(f"{bundle}: {errors} errors, {len(findings) - errors} warnings")
    if errors:
        raise typer.Exit(2)
