"""A scan whose header makes it larger than the machine costs its own case alone."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from medseg.cli.app import main
from tests.toy_bundle import config, write_bundle


def _predict(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(["predict", *map(str, arguments)])
    return int(stopped.value.code or 0)


def _scan(path: Path, spacing: float) -> Path:
    array = np.random.default_rng(0).normal(size=(40, 36, 20)).astype(np.float32)
    nib.save(nib.Nifti1Image(array, np.diag([spacing] * 3 + [1.0])), path)
    return path


@pytest.mark.parametrize("engine", ["auto", "stock"])
def test_half_a_metre_per_voxel_is_refused_and_the_other_scan_is_done(tmp_path: Path, engine: str) -> None:
    bundle = write_bundle(tmp_path / "toy", config())
    (tmp_path / "in").mkdir()
    _scan(tmp_path / "in" / "micrometres.nii.gz", 500.0)
    _scan(tmp_path / "in" / "right.nii.gz", 1.0)
    assert _predict(bundle, "-i", tmp_path / "in", "-o", tmp_path / "out", "--engine", engine) == 3
    (failure,) = json.loads((tmp_path / "out" / "failures.json").read_text())
    assert failure["case"] == "micrometres"
    assert "voxels of 500 x 500 x 500 mm" in failure["reason"]
    assert "trace" not in failure
    assert (tmp_path / "out" / "right.nii.gz").is_file()
