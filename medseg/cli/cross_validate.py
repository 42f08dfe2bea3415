"""`medseg cross-validate`: a training per fold, every case predicted out of fold, one report."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from medseg.cli.options import SOME_FAILED, BundleFolder, ManifestData, OwnManifest, RayAddress, Trust
from medseg.cli.overrides import parse_overrides


def cross_validate(
    context: typer.Context,
    bundle: BundleFolder,
    data: ManifestData,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Folder for all it makes; runs/NAME-folds if left out."),
    ] = None,
    manifest: OwnManifest = None,
    folds: Annotated[
        int | None, typer.Option(help="How many; the manifest's own folds, or 5, if left out.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the order in which patients are dealt to folds.")] = 0,
    budget: Annotated[str | None, typer.Option(help="Time for each fold's training: 45m, 1.5h.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on; finished folds are kept.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is in the folder.")] = False,
    trust: Trust = False,
    workers: Annotated[int, typer.Option(min=0, help="Folds at a time; with --ray 0 for all it can.")] = 1,
    ray: RayAddress = "",
) -> None:
    """Train once per fold and score every case by the network that never saw it or its patient.

    Folds are dealt by patient and evenly over the structures present. The predictions are those of each
    run's last step, not of the epoch that looked best on the held-out cases. Any id of the bundle's train
    config may be overridden: --max_epochs 1.
    """
    from medseg.bundle.training import Training
    from medseg.distributed.cross_validation import Spread, one_by_one
    from medseg.distributed.cross_validation import cross_validate as run

    target = output or Path("runs") / f"{bundle.resolve().name}-folds"
    training = Training(
        bundle,
        data,
        target,
        manifest,
        n_folds=folds,
        budget=budget,
        overrides=parse_overrides(context.args),
        trust=trust,
    )
    spread: Spread = one_by_one
    if ray or workers > 1:
        from medseg.distributed.folds import spread_folds

        spread = partial(spread_folds, n_workers=workers, ray_address=ray)
    found = run(training, seed=seed, resume=resume, overwrite=overwrite, spread=spread)
    for fold, scores in found.folds.items():
        told = "  ".join(f"{structure} {dice:.4f}" for structure, dice in scores.items())
        typer.echo(f"fold {fold}  mean Dice  {told}")
    for row in found.evaluation.summary:
        if row.metric == "dice":
            typer.echo(f"all {row.n} cases  {row.structure}  Dice {row.mean:.4f} (sd {row.sd:.4f})")
    for case, reason in found.failures.items():
        typer.echo(f"{case}: {reason}", err=True)
    typer.echo(
        f"out-of-fold predictions in {target / 'predictions'}, report: {target / 'report' / 'report.html'}"
    )
    if found.failures or found.evaluation.n_errors:
        raise typer.Exit(SOME_FAILED)
