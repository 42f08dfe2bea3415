"""`LabelMapInferer` against MONAI's own window, Invertd and AsDiscreted, through the stock bundle command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from monai.bundle import run

from tests.toy_bundle import RAS_WORLD, config, write_bundle, write_scan

SAVE = {"_target_": "medseg.writers.SaveLabelMapd", "keys": "pred", "folder": "@output_dir"}
CROP = {
    "_target_": "CropForegroundd",
    "keys": "image",
    "source_key": "image",
    "margin": 1,
    "allow_smaller": True,
}
PAD = {"_target_": "SpatialPadd", "keys": "image", "spatial_size": [24, 40, 17]}
ORIENTATIONS = {
    "oblique": RAS_WORLD,
    "RAS": np.diag([0.7, 1.1, 3.0, 1.0]),
    "LPS": np.diag([-0.9, -0.9, 2.5, 1.0]),
    "IPR": np.array([[0, 0, 1.3, 5], [0, -1.0, 0, 0], [-2.0, 0, 0, 7], [0, 0, 0, 1]]),
    "same spacing": np.diag([1.5, -1.5, 1.5, 1.0]),
}


def labels_by_stock_command(bundle: Path, scans: Path, out: Path) -> np.ndarray:
    run("inferring", config_file=str(bundle / "configs" / "inference.yaml"), bundle_root=str(bundle),
        dataset_dir=str(scans), output_dir=str(out), logging_file=False)  # fmt: skip
    return np.asarray(nib.load(out / "scan.nii.gz").dataobj)


def ours(content: dict[str, Any], **options: Any) -> dict[str, Any]:
    """The same bundle with the engine in place of the three."""
    window = {k: v for k, v in content["inferer"].items() if k != "_target_"}
    inferer = {"_target_": "medseg.inference.LabelMapInferer", **window, **options}
    return {**content, "inferer": inferer, "postprocessing": {"_target_": "Compose", "transforms": [SAVE]}}


@pytest.mark.parametrize("steps", [[], [CROP], [CROP, PAD], [PAD]], ids=["none", "crop", "crop+pad", "pad"])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_labels_are_those_of_invertd(tmp_path: Path, orientation: str, steps: list[dict[str, Any]]) -> None:
    write_scan(tmp_path / "scans" / "scan.nii.gz", (23, 26, 17), affine=ORIENTATIONS[orientation])
    content = config()
    content["preprocessing"]["transforms"] += steps
    stock = labels_by_stock_command(
        write_bundle(tmp_path / "a", content), tmp_path / "scans", tmp_path / "stock"
    )
    mine = labels_by_stock_command(
        write_bundle(tmp_path / "b", ours(content)), tmp_path / "scans", tmp_path / "ours"
    )
    np.testing.assert_array_equal(mine, stock)
    assert len(np.unique(stock)) > 1


def test_one_region_at_a_threshold_is_that_of_invertd(tmp_path: Path) -> None:
    write_scan(tmp_path / "scans" / "scan.nii.gz", (23, 26, 17))
    content = config(n_classes=1)
    content["preprocessing"]["transforms"].append(CROP)
    steps = content["postprocessing"]["transforms"]
    steps[0] = {"_target_": "Activationsd", "keys": "pred", "sigmoid": True}
    steps[2] = {"_target_": "AsDiscreted", "keys": "pred", "threshold": 0.45}
    stock = labels_by_stock_command(
        write_bundle(tmp_path / "a", content), tmp_path / "scans", tmp_path / "stock"
    )
    region = ours(content, activation="sigmoid", threshold=0.45, numbers=[1])
    mine = labels_by_stock_command(
        write_bundle(tmp_path / "b", region), tmp_path / "scans", tmp_path / "ours"
    )
    np.testing.assert_array_equal(mine, stock)
    assert len(np.unique(stock)) == 2
