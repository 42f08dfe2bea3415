"""Files of any tool: names, formats, pictures, manifests, tables."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import jsonschema
import nibabel as nib
import numpy as np
import pytest
import SimpleITK
from PIL import Image
from pyarrow import parquet

from medseg.data.label_map_errors import DamagedFileError, NonIntegerLabelsError
from medseg.data.label_maps import read_label_map
from medseg.errors import DataError, MedsegError
from medseg.evaluation import Inputs, Options, evaluate, schema
from medseg.evaluation.affixes import without_affixes
from medseg.evaluation.matching import Reference, case_ids, match

BOX = np.zeros((9, 8, 7), np.uint8)
BOX[2:6, 2:6, 2:6] = 1


def _nifti(path: Path, array: np.ndarray = BOX) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, np.diag([1.0, 2.0, 3.0, 1.0])), path)
    return path


def _png(path: Path, array: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
    return path


@pytest.mark.parametrize(
    ("name", "bare"),
    [
        ("case_7_seg", "case_7"),
        ("pred_case_7", "case_7"),
        ("case-7-prediction", "case-7"),
        ("seg_case_7_pred_mask", "case_7"),
        ("ISIC_0000012_segmentation", "ISIC_0000012"),
        ("_seg", "_seg"),
    ],
)
def test_usual_affixes_are_taken_off(name: str, bare: str) -> None:
    assert without_affixes(name) == bare


def test_the_same_name_wins_over_a_name_without_affixes() -> None:
    references = [Reference("case_1", Path("case_1.nii")), Reference("case_1_seg", Path("case_1_seg.nii"))]
    predictions = {Path("p/case_1.nii"): "case_1", Path("p/case_1_seg.nii"): "case_1_seg"}
    found = match(references, predictions, "")
    assert [paths for _, paths in found.pairs] == [(Path("p/case_1.nii"),), (Path("p/case_1_seg.nii"),)]


def test_files_of_one_name_take_their_folders_name() -> None:
    files = [Path("a/case_1/seg.nii.gz"), Path("a/case_2/seg.nii.gz")]
    assert list(case_ids(files).values()) == ["case_1", "case_2"]


def _matched(references: list[str], predictions: list[str]) -> list[tuple[str, ...]]:
    files = [Path(p) for p in predictions]
    named = [Reference(case, Path(path)) for path, case in case_ids([Path(r) for r in references]).items()]
    return [tuple(p.as_posix() for p in paths) for _, paths in match(named, case_ids(files), "").pairs]


@pytest.mark.parametrize(
    ("reference", "prediction"),
    [
        ("case_001.nii.gz", "CASE_001_PRED.nii.gz"),
        ("case_001.nii.gz", "case-001.nii.gz"),
        ("case_001.nii.gz", "case_001_0000.nii.gz"),
        ("segmentation-1.nii", "volume-1.nii"),
        ("label0001.nii.gz", "img0001.nii.gz"),
        ("M\u00fcller.nii.gz", "Mu\u0308ller.nii.gz"),
        ("BraTS20_Training_001_seg.nii.gz", "BraTS20_Training_001_t1ce_seg.nii.gz"),
        ("sub-01_label-lesion_mask.nii.gz", "sub-01_T1w_pred.nii.gz"),
        ("s1/seg.nii.gz", "s1/pred.nii.gz"),
    ],
)
def test_names_of_other_tools_are_matched(reference: str, prediction: str) -> None:
    assert _matched([reference], [prediction]) == [(prediction,)]


def test_the_channel_of_a_reference_is_part_of_its_id() -> None:
    assert _matched(["a_t1.nii.gz", "b_t1.nii.gz"], ["a_t2_pred.nii.gz", "b_t1_pred.nii.gz"]) == [
        (),
        ("b_t1_pred.nii.gz",),
    ]


def test_folders_of_a_cohort_tell_the_case_at_any_depth() -> None:
    references = ["s1/anat/seg.nii.gz", "s2/anat/seg.nii.gz"]
    assert _matched(references, ["s1.nii.gz", "s2.nii.gz"]) == [("s1.nii.gz",), ("s2.nii.gz",)]


def test_the_same_way_below_both_folders_is_the_same_case(tmp_path: Path) -> None:
    for way in ("p1/t1/c", "p1/t2/c", "p2/t1/c"):
        _nifti(tmp_path / "r" / f"{way}.nii.gz")
        _nifti(tmp_path / "p" / f"{way}.nii.gz")
    found = evaluate(Inputs(tmp_path / "p", tmp_path / "r"), tmp_path / "out")
    assert [(r.reference.case, r.status) for r in found.results] == [
        ("p1_t1_c", "ok"),
        ("p1_t2_c", "ok"),
        ("p2_t1_c", "ok"),
    ]


def test_scans_among_the_references_are_no_missing_predictions(tmp_path: Path) -> None:
    for name in ("x_flair", "x_t1", "x_seg"):
        _nifti(tmp_path / "r" / f"{name}.nii.gz")
    _nifti(tmp_path / "p" / "x.nii.gz")
    with pytest.raises(DataError, match="holds scans beside label maps"):
        evaluate(Inputs(tmp_path / "p", tmp_path / "r"), tmp_path / "out")
    # Who names the files has looked.
    named = Inputs(tmp_path / "p", tmp_path / "r", reference_name="{case}.nii.gz")
    found = evaluate(named, tmp_path / "out")
    assert [r.status for r in found.results].count("missing_prediction") == 2


def test_a_prediction_of_a_kind_that_is_not_read_is_an_error_row(tmp_path: Path) -> None:
    for name in ("a", "b"):
        _nifti(tmp_path / "r" / f"{name}.nii.gz")
    _nifti(tmp_path / "p" / "a.nii.gz")
    (tmp_path / "p" / "b.npz").write_bytes(b"x")
    (tmp_path / "p" / "a.npz").write_bytes(b"x")
    found = evaluate(Inputs(tmp_path / "p", tmp_path / "r"), tmp_path / "out")
    assert [r.status for r in found.results] == ["ok", "error:unreadable"]
    assert "b.npz ends in .npz" in found.results[1].message


def test_a_folder_without_label_maps_tells_what_it_holds(tmp_path: Path) -> None:
    _nifti(tmp_path / "r" / "a.nii.gz")
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "a.jpg").write_bytes(b"x")
    with pytest.raises(DataError, match=r"holds a\.jpg; expected files that end in \.nii"):
        evaluate(Inputs(tmp_path / "p", tmp_path / "r"), tmp_path / "out")


def test_a_float_beyond_all_labels_is_no_label(tmp_path: Path) -> None:
    path = _nifti(tmp_path / "x.nii.gz", np.full((2, 2, 2), 1e20, np.float32))
    with pytest.raises(NonIntegerLabelsError, match="up to 1e"):
        read_label_map(path)


@pytest.mark.parametrize("ending", ["mha", "nrrd"])
@pytest.mark.parametrize("is_compressed", [True, False])
def test_a_cut_label_map_is_damaged_and_not_filled_with_zeros(
    tmp_path: Path, ending: str, is_compressed: bool
) -> None:
    labels = np.random.default_rng(0).integers(0, 3, (20, 30, 40)).astype(np.uint8)
    path = tmp_path / f"x.{ending}"
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(labels), str(path), is_compressed)
    assert (read_label_map(path).array == labels.T).all()
    content = re.sub(rb"CompressedDataSize = \d+\n", b"", path.read_bytes())
    path.write_bytes(content[:-1500])
    with pytest.raises(DamagedFileError, match=f"x.{ending}"):
        read_label_map(path)


def test_grey_pictures_with_alpha_are_label_maps(tmp_path: Path) -> None:
    grey = np.arange(6, dtype=np.uint8).reshape(2, 3)
    Image.fromarray(np.dstack([grey, np.full_like(grey, 255)])).save(tmp_path / "x.png")
    assert (read_label_map(tmp_path / "x.png").array == grey).all()


def test_a_template_tells_the_case_and_leaves_other_files_out() -> None:
    files = [Path("x_flair.nii.gz"), Path("x_seg.nii.gz")]
    assert case_ids(files, "{case}_seg.nii.gz") == {Path("x_seg.nii.gz"): "x"}
    with pytest.raises(MedsegError, match=r"one \{case\}"):
        case_ids(files, "seg.nii.gz")


@pytest.mark.parametrize("suffix", [".nrrd", ".mha", ".nii", ".nii.gz"])
def test_formats_agree_on_array_spacing_and_affine(tmp_path: Path, suffix: str) -> None:
    labels = np.random.default_rng(0).integers(0, 400, (6, 5, 4)).astype(np.uint16)
    image = SimpleITK.GetImageFromArray(labels.T)
    image.SetSpacing((0.5, 2.0, 3.0))
    image.SetOrigin((1.0, 2.0, 3.0))
    path = tmp_path / f"labels{suffix}"
    SimpleITK.WriteImage(image, str(path))
    found = read_label_map(path)
    assert found.array.dtype == np.uint16
    assert (found.array == labels).all()
    assert found.spacing_mm == (0.5, 2.0, 3.0)
    assert found.affine is not None
    assert found.affine[:3, 3].tolist() == [-1.0, -2.0, 3.0]


def test_a_nifti_that_claims_more_than_it_holds_is_damaged(tmp_path: Path) -> None:
    path = _nifti(tmp_path / "x.nii.gz")
    import gzip

    content = bytearray(gzip.decompress(path.read_bytes()))
    content[42:48] = np.asarray([30000] * 3, "<i2").tobytes()
    path.write_bytes(gzip.compress(bytes(content)))
    with pytest.raises(DamagedFileError, match="claims"):
        read_label_map(path)


def test_pictures_of_0_and_255_score_without_a_word(tmp_path: Path) -> None:
    mask = np.zeros((20, 30), np.uint8)
    mask[5:12, 6:20] = 255
    _png(tmp_path / "r" / "ISIC_1_segmentation.png", mask)
    _png(tmp_path / "p" / "ISIC_1.png", np.roll(mask, 1, axis=1))
    found = evaluate(Inputs(tmp_path / "p", tmp_path / "r"), tmp_path / "out")
    row = found.results[0]
    assert row.score is not None
    metrics = row.score.structures[0].metrics
    assert (row.status, metrics["hausdorff_mm"], metrics["dice"]) == ("ok", 1, pytest.approx(26 / 28))
    assert "no_spacing:reference" in row.flags
    assert "none" in row.spacing_source


def test_thresholded_jaccard_drops_to_0_below_065(tmp_path: Path) -> None:
    mask = np.zeros((20, 30), np.uint8)
    mask[5:12, 6:20] = 255
    for case, shift in (("near", 1), ("far", 7)):
        _png(tmp_path / "r" / f"{case}.png", mask)
        _png(tmp_path / "p" / f"{case}.png", np.roll(mask, shift, axis=1))
    found = evaluate(
        Inputs(tmp_path / "p", tmp_path / "r"), tmp_path / "out", options=Options(labels={"lesion": 255})
    )
    values = {r.reference.case: r.score.structures[0].metrics for r in found.results if r.score}
    assert values["near"]["thresholded_jaccard"] == values["near"]["iou"] == pytest.approx(13 / 15)
    assert (values["far"]["thresholded_jaccard"], values["far"]["iou"]) == (0, pytest.approx(1 / 3))


@pytest.fixture
def study(tmp_path: Path) -> Path:
    entries = []
    for n in range(4):
        _nifti(tmp_path / "data" / "labels" / f"s{n}_label.nii.gz")
        _nifti(tmp_path / "predictions" / f"s{n}_pred.nii.gz", np.roll(BOX, n % 2, axis=0))
        entry = {"case": f"s{n}", "patient": f"p{n // 2}", "image": f"images/s{n}.nii.gz"}
        entries.append(entry | {"label": f"labels/s{n}_label.nii.gz"})
    header = {"name": "toy", "version": "1", "channels": ["MR"], "labels": {"background": 0, "organ": 1}}
    content = header | {"training": entries[:2], "validation": entries[2:]}
    (tmp_path / "manifest.json").write_text(json.dumps(content))
    return tmp_path


def test_a_manifest_gives_references_patients_and_names(study: Path) -> None:
    inputs = Inputs(
        study / "predictions", manifest=study / "manifest.json", data=study / "data", split="validation"
    )
    found = evaluate(inputs, study / "out")
    jsonschema.validate(found.report, schema())
    assert [(c["case"], c["patient"]) for c in found.report["cases"]] == [("s2", "p1"), ("s3", "p1")]
    assert found.report["cases"][0]["reference"]["path"] == "labels/s2_label.nii.gz"
    assert found.report["cases"][0]["image"] == ["images/s2.nii.gz"]
    assert [s["name"] for s in found.report["structures"]] == ["organ"]
    assert found.report["counts"]["n_unmatched_predictions"] == 2


def test_workers_change_no_number(study: Path) -> None:
    inputs = Inputs(study / "predictions", study / "data" / "labels")
    one, three = (evaluate(inputs, study / f"out{n}", workers=n) for n in (1, 3))
    assert (study / "out1" / "cases.csv").read_bytes() == (study / "out3" / "cases.csv").read_bytes()
    assert one.summary == three.summary


def test_every_table_tells_the_same(study: Path) -> None:
    out = study / "out"
    evaluate(
        Inputs(study / "predictions", study / "data" / "labels"), out, options=Options(labels={"organ": 1})
    )
    tidy = list(csv.DictReader((out / "cases.csv").read_text().splitlines()))
    wide = list(csv.DictReader((out / "cases_wide.csv").read_text().splitlines()))
    table = parquet.read_table(out / "cases.parquet").to_pylist()
    assert list(tidy[0]) == ["case", "structure", "metric", "value", "status", "flags"]
    dice = {r["case"]: float(r["value"]) for r in tidy if (r["metric"], r["structure"]) == ("dice", "organ")}
    assert dice == {r["case"]: float(r["dice"]) for r in wide}
    assert dice == {
        r["case"]: r["value"] for r in table if (r["metric"], r["structure"]) == ("dice", "organ")
    }
    nnunet = json.loads((out / "summary.json").read_text())
    assert nnunet["mean"]["1"]["Dice"] == pytest.approx(np.mean(list(dice.values())))
    assert nnunet["metric_per_case"][0]["metrics"]["1"]["n_ref"] == 64
    challenge = json.loads((out / "metrics.json").read_text())
    assert challenge["aggregates"]["organ_dice"]["mean"] == pytest.approx(np.mean(list(dice.values())))


@pytest.mark.parametrize("preset", ["medseg", "metrics_reloaded"])
def test_nnunets_summary_has_nnunets_own_numbers_under_any_preset(study: Path, preset: str) -> None:
    inputs = Inputs(study / "predictions", study / "data" / "labels")
    options = Options({"organ": 1, "nowhere": 5}, {"either": (5, 1)}, preset=preset)
    evaluate(inputs, study / "out", options=options)
    found = json.loads((study / "out" / "summary.json").read_text())
    assert list(found["mean"]) == list(found["metric_per_case"][0]["metrics"]) == ["(1, 5)", "1", "5"]
    shifted = {"Dice": 0.75, "FN": 16, "FP": 16, "IoU": 0.6, "TN": 424, "TP": 48, "n_pred": 64, "n_ref": 64}
    assert found["metric_per_case"][1]["metrics"]["1"] == pytest.approx(shifted)
    absent = found["metric_per_case"][0]["metrics"]["5"]
    assert np.isnan([absent["Dice"], absent["IoU"], found["mean"]["5"]["Dice"]]).all()
    # Its mean over foreground is undefined as soon as one structure is; the counts are not.
    assert np.isnan(found["foreground_mean"]["Dice"])
    assert found["foreground_mean"]["n_ref"] == pytest.approx(128 / 3)


def test_nothing_in_common_is_an_error_that_shows_names(tmp_path: Path) -> None:
    _nifti(tmp_path / "r" / "alpha.nii.gz")
    _nifti(tmp_path / "p" / "beta.nii.gz")
    with pytest.raises(DataError, match=r"beta\.nii\.gz.*alpha"):
        evaluate(Inputs(tmp_path / "p", tmp_path / "r"), tmp_path / "out")


def test_a_tolerance_for_nobody_is_an_error(study: Path) -> None:
    options = Options(labels={"organ": 1}, tolerances_mm={"organ": [1.0], "orgam": [2.0]})
    with pytest.raises(MedsegError, match="orgam"):
        evaluate(Inputs(study / "predictions", study / "data" / "labels"), study / "out", options=options)


def test_a_picture_of_several_pages_is_an_error_and_not_its_first_page(tmp_path: Path) -> None:
    mask = np.zeros((20, 30), np.uint8)
    mask[5:10, 5:15] = 1
    _png(tmp_path / "r" / "a.png", mask)
    (tmp_path / "p").mkdir()
    pages = [Image.fromarray(mask), Image.fromarray(mask)]
    pages[0].save(tmp_path / "p" / "a.tif", save_all=True, append_images=pages[1:])
    found = evaluate(Inputs(tmp_path / "p", tmp_path / "r"), tmp_path / "out", options=Options({"it": 1}))
    assert found.results[0].status == "error:several_pages"
