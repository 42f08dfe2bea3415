"""MONAI's own command line, alone in charge, from the bundle's folder."""

import os
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from medseg.data.phantoms import write_phantoms

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
