"""Files that other projects keep because they broke something: a right output or a clear line."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from medseg.cli.app import main
from tests.toy_bundle import config, write_bundle

ROOT = Path(os.environ.get("MEDSEG_TEST_DATA", "")) / "bad_inputs"
# One of each kind, small.
SOME = (
    *("highdicom/ct_image.dcm", "highdicom/sm_image_jpegls.dcm", "highdicom/seg_image_ct_binary_overlap.dcm"),
    *("highdicom/sr_document.dcm", "highdicom/frame_rgb.jpeg", "misc/small_64D.nii", "misc/aniso_vox.nii.gz"),
    *("nibabel/standard.nii.gz", "nibabel/nifti1.hdr", "nibabel/minc1_1_scale.mnc", "nibabel/T1.PAR"),
    *("nibabel/minc2_baddim.mnc", "nibabel/bad_attribute+orig.HEAD", "nibabel/resampled_anat_moved.nii"),
    *("nibabel/decimal_rescale.dcm", "nibabel/README.rst", "nifti_reader_js/5D_zeros.nii.gz"),
    *("nifti_reader_js/big.nii.gz", "nifti_reader_js/air.hdr.gz", "pydicom/MR_small_RLE.dcm"),
    *("pydicom/JPEGLSNearLossless_08.dcm", "pydicom/rtdose.dcm", "pydicom/no_meta.dcm"),
    *("dcmqi/sparse_labelmap_ppv5_seg.nrrd", "pydicom/dicomdirtests/DICOMDIR"),
)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    content = config()
    del content["preprocessing"]["transforms"][3]
    content["inferer"] |= {"roi_size": [64, 64, 64], "overlap": 0.1}
    return write_bundle(tmp_path_factory.mktemp("bundles") / "toy", content)


def check(bundle: Path, files: list[Path], output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every file is a case with a label map on its grid, or a failure with one line and no trace."""
    given = [argument for file in files for argument in ("-i", str(file))]
    with pytest.raises(SystemExit) as end:
        main(["predict", str(bundle), *given, "-o", str(output)])
    assert end.value.code == 3
    failures = json.loads((output / "failures.json").read_text())
    assert not [f for f in failures if "trace" in f or "\n" in f["reason"] or len(f["reason"]) < 20]
    done, failed = (int(n) for n in capsys.readouterr().out.rpartition("\n")[0].split("\n")[-1].split()[:5:4])
    assert (done + failed, failed) == (len(files), len(failures))
    with (output / "volumes.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len({row["case"] for row in rows}) == done


@pytest.mark.data
def test_odd_files_give_a_right_output_or_a_clear_line(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    check(bundle, [ROOT / name for name in SOME], tmp_path, capsys)
    for name in ("misc/aniso_vox.nii.gz", "nifti_reader_js/big.nii.gz"):
        source, written = nib.load(ROOT / name), nib.load(tmp_path / Path(name).name)
        np.testing.assert_array_equal(source.affine, written.affine)
        assert source.shape == written.shape


@pytest.mark.data
@pytest.mark.all
def test_every_odd_file_gives_a_right_output_or_a_clear_line(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lists = (".json", ".txt", ".csv", ".tsv")
    files = sorted(p for p in ROOT.rglob("*") if p.is_file() and p.suffix not in lists)
    check(bundle, files, tmp_path, capsys)
