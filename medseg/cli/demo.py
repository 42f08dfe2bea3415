"""`medseg demo`: the whole way of a scan on synthetic phantoms, in a few minutes and without any data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from medseg.data.manifest import Manifest

DEMO_BUNDLE = Path(__file__).parent / "demo_bundle"
N_CASES = 16


def demo(
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for everything it makes.")] = Path(
        "demo_output"
    ),
    max_epochs: Annotated[int, typer.Option(min=1, help="Length of the training.")] = 40,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier demo.")] = False,
) -> None:
    """Make synthetic phantoms, train on them, predict, evaluate and report: everything here is synthetic."""
    from medseg.bundle.copying import copy_bundle
    from medseg.bundle.run import run_verb
    from medseg.cli.evaluate import evaluate
    from medseg.data.manifest import read_manifest
    from medseg.data.phantoms import write_phantoms

    bundle, data = output / "bundle", output / "phantoms"
    copy_bundle(DEMO_BUNDLE, bundle, {}, overwrite=overwrite)
    typer.echo(f"1/4  {N_CASES} synthetic phantoms, four MR-like channels each, in {data}")
    manifest = write_phantoms(data, N_CASES, size=48, overwrite=overwrite)
    typer.echo("2/4  training a small 3D U-Net on the synthetic training cases")
    settings = {
        "dataset_dir": str(data.resolve()),
        "manifest": str(manifest.resolve()),
        "output_dir": str((output / "training").resolve()),
        "ckpt_dir": str((bundle / "models").resolve()),
        "max_epochs": max_epochs,
    }
    run_verb(bundle, "training", settings, output=output)
    typer.echo(f"3/4  predicting the synthetic test cases, label maps in {output / 'predictions'}")
    _predict(bundle, data, read_manifest(manifest), output / "predictions", overwrite=overwrite)
    typer.echo(
        "4/4  scoring the written files against the references (synthetic: says nothing about patients)"
    )
    evaluate(
        predictions=output / "predictions",
        manifest=manifest,
        data=data,
        split="test",
        output=output / "report",
        overwrite=overwrite,
    )


def _predict(bundle: Path, data: Path, manifest: Manifest, folder: Path, *, overwrite: bool) -> None:
    from medseg.bundle.predicting import load_predictor
    from medseg.inference.cases import Case

    predictor = load_predictor(bundle)
    for case in manifest.cases("test"):
        images = tuple(data / image for image in case.image)
        predictor.predict(Case(case.case, images, folder / f"{case.case}.nii.gz"), overwrite=overwrite)
