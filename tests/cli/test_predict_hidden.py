"""`medseg predict --hide-names`: a name that only a path tells appears nowhere."""

from __future__ import annotations

import csv
import gzip
import json
import os
import shutil
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK

from medseg.cli.app import main
from medseg.inference.intake import gather
from tests.dicom_files import ct
from tests.toy_bundle import config, write_bundle, write_scan

SECRETS = ("doe", "jane", "roe", "patients")


def predict(*arguments: object) -> int:
    """The exit code of `medseg predict --hide-names`."""
    with pytest.raises(SystemExit) as end:
        main(["predict", "--hide-names", *map(str, arguments)])
    return int(end.value.code or 0)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "toy")


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """NIfTI in three dresses, NRRD, a series, an archive, and a damaged one of each reader."""
    folder = tmp_path / "patients"
    write_scan(folder / "doe_jane.nii.gz", (12, 11, 10))
    write_scan(folder / "more" / "Doe" / "roe.nii", (12, 11, 10), seed=1)
    for number, name in enumerate(("doe_1", "doe_2")):
        scan = nib.load(write_scan(folder / "temporary.nii", (12, 11, 10), seed=2 + number))
        nib.save(nib.Nifti1Pair(scan.dataobj, scan.affine, scan.header), folder / f"{name}.hdr")
    (folder / "temporary.nii").unlink()
    image = SimpleITK.GetImageFromArray(np.arange(720, dtype=np.int16).reshape(8, 9, 10))
    SimpleITK.WriteImage(image, str(folder / "roe.nrrd"))
    SimpleITK.WriteImage(image, str(folder / "doe.mhd"))
    (folder / "doe.raw").write_bytes((folder / "doe.raw").read_bytes()[:99])
    whole = (folder / "doe_jane.nii.gz").read_bytes()
    (folder / "roe_cut.nii.gz").write_bytes(whole[:900])
    (folder / "jane_text.nii.gz").write_bytes(gzip.compress(b"jane" * 200))
    ct(folder / "ROE_JANE" / "DOE", pixels=np.random.default_rng(0).integers(0, 99, (5, 10, 12)))
    with zipfile.ZipFile(folder / "doe.zip", "w") as archive:
        archive.write(write_scan(tmp_path / "x.nii.gz", (9, 11, 10)), "doe_jane/roe.nii.gz")
    return folder


def everything(folder: Path) -> str:
    """Names of all files, and what those of text hold."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    texts = [path.read_text() for path in files if path.suffix in (".csv", ".json")]
    return "\n".join([*(str(path.relative_to(folder)) for path in files), *texts])


@pytest.mark.parametrize("workers", ["1", "2"])
def test_no_part_of_a_path_is_written_or_said(
    bundle: Path, scans: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], workers: str
) -> None:
    more = ("--preview", "--rtstruct", "--workers", workers)
    assert predict(bundle, "-i", scans, "-i", scans / "more", "-o", tmp_path / "out", *more) == 3
    told = capfd.readouterr()
    said = "\n".join([everything(tmp_path / "out"), told.out, told.err]).lower()
    assert [word for word in SECRETS if word in said] == []
    failures = json.loads((tmp_path / "out" / "failures.json").read_text())
    assert len(failures) == 3
    assert {failure["input"] for failure in failures} == {"***"}
    assert "7 done, 0 kept, 3 failed" in told.out


def test_the_same_command_goes_on_and_a_copy_elsewhere_has_the_same_name(
    bundle: Path, scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = scans / "doe_jane.nii.gz"
    assert predict(bundle, "-i", one, "-o", tmp_path / "out") == 0
    (written,) = (tmp_path / "out").glob("*.nii.gz")
    shutil.copy(one, tmp_path / "other.nii.gz")
    assert predict(bundle, "-i", tmp_path / "other.nii.gz", "-o", tmp_path / "out") == 0
    assert "0 done, 1 kept" in capsys.readouterr().out
    assert predict(bundle, "-i", tmp_path / "other.nii.gz", "-i", one, "-o", tmp_path / "out") == 0
    assert sorted(p.name for p in (tmp_path / "out").glob("*.nii.gz")) == [
        written.name,
        written.name.replace(".nii", "_2.nii"),
    ]


def test_labels_are_those_of_a_run_with_names_and_the_key_tells_whose(
    bundle: Path, scans: Path, tmp_path: Path
) -> None:
    key = tmp_path / "key.csv"
    given = (bundle, "-i", scans, "-o", tmp_path / "out", "--names-key", key)
    assert predict(*given) == predict(*given) == 3
    assert os.stat(key).st_mode & 0o777 == 0o600
    with key.open(newline="") as file:
        rows = {row["input"]: row["case"] for row in csv.DictReader(file)}
    assert f"{(scans / 'doe.zip').resolve()}#doe_jane/roe.nii.gz" in rows
    with pytest.raises(SystemExit):
        main(["predict", str(bundle), "-i", str(scans), "-o", str(tmp_path / "named"), "--with-names"])
    for given, named in (("doe_jane.nii.gz", "doe_jane.nii.gz"), ("doe_2.hdr", "doe_2.nii.gz")):
        hidden = tmp_path / "out" / f"{rows[str((scans / given).resolve())]}.nii.gz"
        assert hidden.read_bytes()[20:] == (tmp_path / "named" / named).read_bytes()[20:]


def test_a_key_is_never_replaced_by_anothers_nor_put_among_the_results(
    bundle: Path, scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.csv").write_text("mine\n")
    one = (bundle, "-i", scans / "doe_jane.nii.gz", "-o", tmp_path / "out")
    assert predict(*one, "--names-key", tmp_path / "mine.csv") == 2
    assert (tmp_path / "mine.csv").read_text() == "mine\n"
    assert predict(*one, "--names-key", tmp_path / "out" / "key.csv") == 2
    assert predict(*one, "--with-names") == 2
    assert capsys.readouterr().err.count("\n") == 3
    assert predict(*one, "--names-key", tmp_path / "mine.csv", "--overwrite") == 0
    assert "doe_jane" in (tmp_path / "mine.csv").read_text()


def test_series_of_one_uid_with_other_pixels_have_names_of_their_own(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        for file in ct(tmp_path / name, n=1):
            data = pydicom.dcmread(file)
            data.Rows, data.Columns, data.PixelData = 99, 99, rng.bytes(2 * 99 * 99)
            data.save_as(file)
    inputs = [str(tmp_path / name) for name in ("a", "b", "a")]
    names = {case.name for case in gather(inputs, tmp_path / "out", hide=True)}
    assert len(names) == 2
    assert not any(name.endswith("_2") for name in names)


@pytest.mark.parametrize("given", ["nowhere_doe", "empty_doe", "doe.csv", "doe.json", "jane*"])
def test_what_is_wrong_with_the_inputs_is_told_without_them(
    bundle: Path, tmp_path: Path, given: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty_doe").mkdir()
    (tmp_path / "doe.csv").write_text("case,picture\njane,doe.nii\n")
    (tmp_path / "doe.json").write_text('{"jane": 1}')
    assert predict(bundle, "-i", tmp_path / given, "-o", tmp_path / "out") in (2, 3)
    said = capsys.readouterr().err.lower()
    assert said.count("\n") == 1
    assert not [word for word in SECRETS if word in said]


def test_a_list_is_hidden_with_its_cases_and_what_lacks_a_channel_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    two = write_bundle(tmp_path / "two", config(channels=2))
    stated = {"inputs": {"image": {"num_channels": 2}}}
    (two / "configs" / "metadata.json").write_text(json.dumps({"network_data_format": stated}))
    for name in ("doe_0000", "doe_0001", "jane_0000"):
        write_scan(tmp_path / "patients" / f"{name}.nii.gz", (9, 8, 7), seed=len(name))
    (tmp_path / "list.csv").write_text(
        "case,image,image_2\njane,patients/doe_0000.nii.gz,patients/doe_0001.nii.gz\n"
        "roe,patients/doe_0000.nii.gz,patients/missing_doe.nii.gz\n"
    )
    for given, count in (("list.csv", "1 done, 0 kept, 1 failed"), ("patients", "0 done, 1 kept, 1 failed")):
        assert predict(two, "-i", tmp_path / given, "-o", tmp_path / "out") == 3
        told = capsys.readouterr()
        assert count in told.out
        said = "\n".join([everything(tmp_path / "out"), told.out, told.err]).lower()
        assert [word for word in SECRETS if word in said] == []


def test_what_monai_logs_of_a_failed_step_tells_no_path(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    content = config()
    content["preprocessing"]["transforms"][3] = {
        "_target_": "monai.transforms.SqueezeDimd",
        "keys": "image",
        "dim": 3,
    }
    bundle = write_bundle(tmp_path / "odd", content)
    write_scan(tmp_path / "patients" / "doe_jane.nii.gz", (9, 8, 7))
    assert predict(bundle, "-i", tmp_path / "patients", "-o", tmp_path / "out") == 3
    told = capfd.readouterr()
    said = "\n".join([everything(tmp_path / "out"), told.out, told.err]).lower()
    assert "squeeze" in said
    assert [word for word in SECRETS if word in said] == []
