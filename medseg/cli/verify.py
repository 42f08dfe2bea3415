"""`medseg verify BUNDLE`: does it do what it says?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from medseg.cli.options import AsJson, Trust


def verify(
    bundle: Annotated[Path, typer.Argument(help="Folder of the bundle.")],
    trust: Trust = False,
    record: Annotated[
        bool, typer.Option("--record", help="If all is well, remember its hash: it then opens in full mode.")
    ] = False,
    sums: Annotated[
        bool, typer.Option("--sums", help="First write the SHA256SUMS anew, for a bundle of your own.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Lint a bundle, compare its hashes, run its network, two predictions and one step of training.

    The cases are synthetic. Nothing is written but to a temporary folder. Exit code 2 if a step failed.
    """
    from medseg.bundle.recorded import record as remember
    from medseg.bundle.verify import verify as check
    from medseg.bundle.weights import files_of, write_sums
    from medseg.hashes import file_hash

    if sums:
        write_sums(bundle)
    steps = []
    for step in check(bundle, trust=trust):
        steps.append(step)
        if not as_json:
            typer.echo(str(step))
    bad = sum(step.failed for step in steps)
    if as_json:
        hashes = {p.relative_to(bundle).as_posix(): file_hash(p) for p in sorted(files_of(bundle))}
        document = {
            "bundle": str(bundle),
            "failed": bad,
            "steps": [step.as_dict() for step in steps],
            "sha256": hashes,
        }
        typer.echo(json.dumps(document, indent=2))
    else:
        typer.echo(f"{bundle}: {bad} of {len(steps)} steps failed")
    if bad:
        raise typer.Exit(2)
    if record:
        typer.echo(f"recorded {remember(bundle)}", err=as_json)
