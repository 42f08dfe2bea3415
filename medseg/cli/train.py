"""`medseg train`: a trained bundle from a bundle and a data set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medseg.cli.overrides import parse_overrides
from medseg.errors import DataError, OutputError


def train(
    context: typer.Context,
    bundle: Annotated[Path, typer.Argument(help="Folder of a bundle.")],
    data: Annotated[Path, typer.Option("--data", help="Folder that the manifest's paths start from.")],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Folder of the trained bundle; runs/NAME if left out."),
    ] = None,
    manifest: Annotated[
        Path | None, typer.Option(help="Your cases, instead of the bundle's own manifest.")
    ] = None,
    budget: Annotated[str | None, typer.Option(help="End the schedule after this time: 45m, 1.5h.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in the folder.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier run in the folder.")
    ] = False,
    trust: Annotated[bool, typer.Option("--trust", help="Run whatever the bundle holds.")] = False,
) -> None:
    """Train a bundle; what comes out is a bundle with your weights.

    Any id of the bundle's train config may be overridden: --max_epochs 1 --learning_rate 0.001.
    """
    from medseg.bundle.copying import copy_bundle
    from medseg.bundle.recorded import seal, unseal
    from medseg.bundle.restricted import check
    from medseg.bundle.run import check_overrides_of, run_verb
    from medseg.bundle.verbs import config_files
    from medseg.data.manifest import read_manifest

    overrides = parse_overrides(context.args)
    check_overrides_of(bundle, "training", overrides)
    mode = check(bundle, trust=trust, files=config_files(bundle, "training"))
    if not data.is_dir():
        raise DataError(f"no folder {data}", "the folder of the data set", "give it with --data DIR")
    overrides["dataset_dir"] = str(data.resolve())
    if manifest is not None:
        read_manifest(manifest)
        overrides["manifest"] = str(manifest.resolve())
    if budget is not None:
        overrides["budget"] = budget
    target = output or Path("runs") / bundle.resolve().name
    if not resume:
        copy_bundle(bundle, target, overrides, overwrite=overwrite)
    elif not (target / "models" / "checkpoint.pt").is_file():
        raise OutputError(
            f"no checkpoint.pt in {target / 'models'}", "a run to go on with", "leave out --resume"
        )
    else:
        overrides["resume"] = True
    places = {
        "bundle_root": str(bundle.resolve()),
        "output_dir": str((target / "eval").resolve()),
        "ckpt_dir": str((target / "models").resolve()),
    }
    unseal(target)
    run_verb(bundle, "training", {**places, **overrides}, trust=trust, output=target)
    seal(target, known=mode.full and not trust)
    typer.echo(f"trained bundle in {target}; next: medseg predict {target} -i SCANS -o FOLDER")
