"""MONAI's own command line, alone in charge, from the bundle's folder."""

import json
import os
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from medseg.bundle.predicting import load_predictor
from medseg.data import read_manifest
from medseg.data.label_maps import read_label_map
from medseg.data.phantoms import write_phantoms
from medseg.inference import scans_in

ROOT = Path(__file__).parents[2]
BUNDLE = ROOT / "bundles" / "hippocampus_mr_unet3d"
# The phantoms have three structures; the override shows that the class count follows the labels.
LABELS = "{'background': 0, 'necrosis': 1, 'oedema': 2, 'enhancing': 3}"


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantoms")
    write_phantoms(folder, 6, size=24, channels=1)
    return folder


def monai(*arguments):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "monai.bundle", "run", *map(str, arguments)]
    return subprocess.run(command, cwd=BUNDLE, env=environment, capture_output=True, text=True, timeout=600)


@pytest.mark.slow
def test_training_inferring_and_evaluating_with_stock_monai(phantoms, tmp_path):
    common = ["--dataset_dir", phantoms, "--roi_size", "[16, 16, 16]", "--labels", LABELS]
    trained = monai(
        *["training", "--config_file", "configs/train.yaml", "--manifest", phantoms / "manifest.json"],
        *[*common, "--max_epochs", "1", "--output_dir", tmp_path / "run"],
    )
    assert trained.returncode == 0, trained.stderr
    assert (tmp_path / "run" / "history.csv").read_text().count("\n") == 2
    weights = tmp_path / "run" / "models" / "model.pt"
    inferred = monai(
        *["inferring", "--config_file", "configs/inference.yaml", "--dataset_dir", phantoms / "images"],
        *["--roi_size", "[16, 16, 16]", "--labels", LABELS],
        *["--ckpt_path", weights, "--output_dir", tmp_path / "predictions"],
    )
    assert inferred.returncode == 0, inferred.stderr
    scans = sorted((phantoms / "images").glob("*.nii.gz"))
    written = sorted((tmp_path / "predictions").glob("*.nii.gz"))
    assert [path.name for path in written] == [path.name for path in scans]
    for scan, label_map in zip(map(nib.load, scans), map(nib.load, written), strict=True):
        assert label_map.shape == scan.shape
        assert label_map.get_data_dtype() == np.uint8
        np.testing.assert_array_equal(label_map.affine, scan.affine)
        assert int(label_map.header["sform_code"]) == int(scan.header["sform_code"])
    evaluated = monai(
        *["evaluating", "--config_file", "['configs/train.yaml','configs/evaluate.yaml']", *common],
        *[
            "--manifest",
            phantoms / "manifest.json",
            "--ckpt_path",
            weights,
            "--output_dir",
            tmp_path / "scores",
        ],
    )
    assert evaluated.returncode == 0, evaluated.stderr
    assert (tmp_path / "scores" / "cases.csv").is_file()


STOCK = """
import json, sys
from monai.bundle import run
for verb, config_file, overrides in json.loads(sys.argv[1]):
    run(verb, config_file=config_file, **overrides)
"""
REGIONS = {"WT": [1, 2, 3], "TC": [1, 3], "ET": [3]}
NEW = [
    *("brats_mr_deeplab3d", "brats_mr_unet3d"),
    *("isic_dermoscopy_deeplab2d", "isic_dermoscopy_unet2d"),
]


def small(name, folder):
    """What makes a bundle's run on phantoms a matter of seconds."""
    if name.startswith("isic"):
        write_phantoms(folder, 4, size=40, dimensions=2)
        return {"roi_size": [32, 32]}
    write_phantoms(folder, 4, size=24, channels=4)
    return {
        "roi_size": [16, 16, 16],
        "spacing_mm": [1.5, 1.5, 1.5],
        "labels": {"background": 0, "necrosis": 1, "oedema": 2, "enhancing": 3},
        "regions": REGIONS,
    }


def stock(bundle, *runs):
    """The verbs one after the other in one process: importing takes longer than running."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", "-c", STOCK, json.dumps(runs)]
    done = subprocess.run(command, cwd=bundle, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", NEW)
def test_a_bundle_trains_predicts_and_evaluates_with_stock_monai(name, tmp_path):
    bundle, data = ROOT / "bundles" / name, tmp_path / "data"
    common = small(name, data)
    learning = {**common, "dataset_dir": str(data), "manifest": str(data / "manifest.json")}
    weights = {"ckpt_path": str(tmp_path / "run" / "models" / "model.pt")}
    short = {"max_epochs": 1, "batch_size": 2, "output_dir": str(tmp_path / "run")}
    if name.startswith("isic"):
        learning["pretrained"] = None
    predicting = {"dataset_dir": str(data / "images"), "output_dir": str(tmp_path / "predictions")}
    stock(
        bundle,
        ("training", "configs/train.yaml", {**learning, **short}),
        ("inferring", "configs/inference.yaml", {**common, **weights, **predicting}),
        (
            "evaluating",
            ["configs/train.yaml", "configs/evaluate.yaml"],
            {**learning, **weights, "output_dir": str(tmp_path / "scores")},
        ),
    )
    cases = {case.case for case in read_manifest(data / "manifest.json").items}
    written = sorted((tmp_path / "predictions").iterdir())
    assert {path.name.split(".")[0] for path in written} == cases
    allowed = {0, 255} if name.startswith("isic") else {0, 1, 2, 4}
    for path in written:
        assert set(np.unique(read_label_map(path).array)) <= allowed
    case = read_manifest(data / "manifest.json").items[0]
    predictor = load_predictor(bundle, trust=True, **common, ckpt_path=weights["ckpt_path"])
    # The phantoms' manifest has another order of channels than the bundle, whose own is told by names.
    channels = None if name.startswith("isic") else ["FLAIR", "T1", "T1ce", "T2"]
    files = [np.atleast_1d(row["image"]).tolist() for row in scans_in(data / "images", channels=channels)]
    images = next(given for given in files if case.case in Path(given[0]).name)
    labels = predictor.to_labels(tuple(map(Path, images)))
    file = next(path for path in written if path.name.split(".")[0] == case.case)
    stored = read_label_map(file).array
    np.testing.assert_array_equal(labels, stored if labels.ndim == 3 else stored.T)
    rows = (tmp_path / "scores" / "cases.csv").read_text().splitlines()[1:]
    structures = {row.split(",")[1] for row in rows} - {"all"}
    assert structures == ({"lesion"} if name.startswith("isic") else set(REGIONS))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["brats_mr_deeplab3d", "brats_mr_unet3d"])
def test_the_full_network_trains_and_predicts_by_the_commands_of_its_file(name, tmp_path):
    bundle, data = ROOT / "bundles" / name, tmp_path / "data"
    # Windows of 32 are the least that its five strides of two leave something of.
    common = {**small(name, data), "roi_size": [32, 32, 32]}
    learning = {**common, "dataset_dir": str(data), "manifest": str(data / "manifest.json")}
    short = {"max_epochs": 1, "batch_size": 2, "output_dir": str(tmp_path / "run")}
    weights = {"ckpt_path": str(tmp_path / "run" / "models" / "model.pt")}
    predicting = {"dataset_dir": str(data / "images"), "output_dir": str(tmp_path / "predictions")}
    stock(
        bundle,
        ("training", ["configs/train.yaml", "configs/train_full.yaml"], {**learning, **short}),
        (
            "inferring",
            ["configs/inference.yaml", "configs/train_full.yaml"],
            {**common, **weights, **predicting},
        ),
    )
    rows = (tmp_path / "run" / "history.csv").read_text().splitlines()
    assert rows[1].startswith("1,1,")
    assert len(list((tmp_path / "predictions").iterdir())) == 4
