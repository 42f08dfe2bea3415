"""The score that chooses the weights is what `medseg evaluate` says of their written label maps."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import yaml

from medseg.bundle.run import run_verb
from medseg.cli.demo import DEMO_BUNDLE
from medseg.data.manifest import read_manifest, write_manifest
from medseg.data.phantoms import write_phantoms

KEEP = {"_target_": "medseg.postprocess.KeepLargestd", "keys": "pred", "labels": "@labels"}


def turned(manifest: Path, degrees: float) -> Path:
    """The manifest, with all its files turned about two axes and stretched along the third."""
    a, b = np.radians([degrees, degrees / 2])
    about_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    turn = np.eye(4)
    turn[:3, :3] = about_z @ about_x @ np.diag([0.8, 1.0, 2.3])
    for file in manifest.parent.rglob("*.nii.gz"):
        volume = nib.load(file)
        affine = turn @ volume.affine
        moved = nib.Nifti1Image(np.asarray(volume.dataobj), affine)
        moved.set_sform(affine, 1)
        moved.set_qform(affine, 1)
        nib.save(moved, file)
    # Where a manifest has regions they are what is scored.
    return write_manifest(replace(read_manifest(manifest), regions={}), manifest, overwrite=True)


def bundle_that_keeps_the_largest(folder: Path) -> Path:
    shutil.copytree(DEMO_BUNDLE, folder)
    file = folder / "configs" / "train.yaml"
    config = yaml.safe_load(file.read_text())
    config["postprocessing"]["transforms"].append(KEEP)
    file.write_text(yaml.safe_dump(config, sort_keys=False))
    return folder


def trained_and_evaluated(bundle: Path, manifest: Path, folder: Path, **more: object) -> tuple[dict, dict]:
    """The row of the best epoch, and the report of the weights that were kept for it."""
    common = {"bundle_root": str(bundle), "dataset_dir": str(manifest.parent), "manifest": str(manifest)}
    common |= {"roi_size": [16, 16, 16], **more}
    run, scores = folder / "run", folder / "scores"
    learning = {"max_epochs": 4, "val_interval": 2, "output_dir": str(run), "learning_rate": 0.01}
    run_verb(bundle, "training", {**common, **learning}, trust=True, output=folder)
    with (run / "history.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["score"]]
    weights = {"ckpt_path": str(run / "models" / "model.pt"), "output_dir": str(scores)}
    run_verb(bundle, "evaluating", {**common, **weights}, trust=True, output=folder)
    report = json.loads((scores / "report.json").read_text())
    return max(rows, key=lambda row: float(row["score"])), report


def means(report: dict) -> dict[str, float]:
    """Mean Dice over cases of each structure of the bundle."""
    found = {row["structure"]: row["mean"] for row in report["summary"] if row["metric"] == "dice"}
    return {name: found[name] for name in ("necrosis", "oedema", "enhancing")}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:NvImgCodecPydicomReader:UserWarning")
@pytest.mark.parametrize("cache", [None, "cache"])
def test_the_best_score_of_a_run_is_the_mean_dice_of_its_written_label_maps(tmp_path, cache):
    manifest = turned(write_phantoms(tmp_path / "data", 10, size=20), 11.0)
    bundle = bundle_that_keeps_the_largest(tmp_path / "bundle")
    places = {"cache_dir": None if cache is None else str(tmp_path / cache)}
    if cache:  # the second run finds what another process of another time has prepared
        trained_and_evaluated(bundle, manifest, tmp_path / "first", **places)
    best, report = trained_and_evaluated(bundle, manifest, tmp_path, **places)
    told = means(report)
    assert float(best["score"]) > 0.05
    assert {name: float(best[name]) for name in told} == pytest.approx(told, abs=1e-9)
    assert float(best["score"]) == pytest.approx(np.mean(list(told.values())), abs=1e-9)
