"""`medseg train`: a trained bundle from a bundle and a data set."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from medseg.cli.options import BundleFolder, ManifestData, OwnManifest, Trust
from medseg.cli.overrides import parse_overrides


def train(
    context: typer.Context,
    bundle: BundleFolder,
    data: ManifestData,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Folder of the trained bundle; runs/NAME if left out."),
    ] = None,
    manifest: OwnManifest = None,
    fold: Annotated[
        int | None, typer.Option(help="Hold this fold out for validation; train on the others.")
    ] = None,
    folds: Annotated[
        int | None, typer.Option(help="How many folds; the manifest's own, or 5, if left out.")
    ] = None,
    budget: Annotated[str | None, typer.Option(help="End the schedule after this time: 45m, 1.5h.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in the folder.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier run in the folder.")
    ] = False,
    trust: Trust = False,
) -> None:
    """Train a bundle; what comes out is a bundle with your weights.

    Any id of the bundle's train config may be overridden: --max_epochs 1 --learning_rate 0.001.
    """
    began = time.time()  # before torch and MONAI are imported: a budget counts those seconds too
    from medseg.bundle.training import Training, train_bundle

    target = output or Path("runs") / bundle.resolve().name
    training = Training(
        bundle,
        data,
        target,
        manifest,
        fold=fold,
        n_folds=folds,
        budget=budget,
        began=began,
        overrides=parse_overrides(context.args),
        trust=trust,
    )
    train_bundle(training, resume=resume, overwrite=overwrite)
    typer.echo(f"trained bundle in {target}; next: medseg predict {target} -i SCANS -o FOLDER")
