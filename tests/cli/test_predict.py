from __future__ import annotations

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import run

from medseg.bundle.predicting import load_predictor
from medseg.cli.app import main
from tests.toy_bundle import config, write_bundle, write_scan


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "toy")


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    write_scan(tmp_path / "scans" / "one.nii.gz")
    write_scan(tmp_path / "scans" / "two.nii", (12, 25, 9), seed=1)
    return tmp_path / "scans"


def predict(*arguments: object) -> int:
    """The exit code of `medseg predict`."""
    with pytest.raises(SystemExit) as end:
        main(["predict", *map(str, arguments)])
    return int(end.value.code or 0)


def labels_of(path: Path) -> np.ndarray:
    return np.asarray(nib.load(path).dataobj)


def test_a_folder_gives_one_label_map_per_scan_on_its_own_grid(
    bundle: Path, scans: Path, tmp_path: Path
) -> None:
    assert predict(bundle, "-i", scans, "-o", tmp_path / "out") == 0
    source, written = nib.load(scans / "one.nii.gz"), nib.load(tmp_path / "out" / "one.nii.gz")
    assert written.shape == source.shape
    assert written.get_data_dtype() == np.uint8
    np.testing.assert_array_equal(written.affine, source.affine)
    assert (written.header["qform_code"], written.header["sform_code"]) == (1, 2)
    assert set(np.unique(labels_of(tmp_path / "out" / "one.nii.gz"))) == {0, 1, 2}
    assert (tmp_path / "out" / "two.nii").exists()


def test_safetensors_give_the_labels_of_the_file_that_they_replace(
    bundle: Path, scans: Path, tmp_path: Path
) -> None:
    from safetensors.torch import save_file

    assert predict(bundle, "-i", scans / "one.nii.gz", "-o", tmp_path / "pt") == 0
    weights = bundle / "models" / "model.pt"
    save_file(torch.load(weights, weights_only=True), weights.with_suffix(".safetensors"))
    weights.unlink()
    assert predict(bundle, "-i", scans / "one.nii.gz", "-o", tmp_path / "safe") == 0
    expected, got = (labels_of(tmp_path / kind / "one.nii.gz") for kind in ("pt", "safe"))
    np.testing.assert_array_equal(got, expected)


def test_the_stock_command_gives_the_same_files(bundle: Path, scans: Path, tmp_path: Path) -> None:
    run("inferring", config_file=str(bundle / "configs" / "inference.yaml"), bundle_root=str(bundle),
        dataset_dir=str(scans), output_dir=str(tmp_path / "stock"), logging_file=False)  # fmt: skip
    assert predict(bundle, "-i", scans, "-o", tmp_path / "ours") == 0
    for name in ("one.nii.gz", "two.nii"):
        np.testing.assert_array_equal(
            labels_of(tmp_path / "ours" / name), labels_of(tmp_path / "stock" / name)
        )


def test_a_bundle_that_saves_with_monai_is_written_by_us(scans: Path, tmp_path: Path) -> None:
    content = config()
    content["postprocessing"]["transforms"][-1] = {
        "_target_": "SaveImaged",
        "keys": "pred",
        "output_dir": "@output_dir",
    }
    bundle = write_bundle(tmp_path / "zoo", content)
    assert predict(bundle, "-i", scans / "one.nii.gz", "-o", tmp_path / "out") == 0
    assert labels_of(tmp_path / "out" / "one.nii.gz").max() == 2
    assert not (bundle / "eval").exists()


def test_a_pattern_reaches_down_and_names_never_collide(bundle: Path, scans: Path, tmp_path: Path) -> None:
    (scans / "b").mkdir()
    shutil.copy(scans / "one.nii.gz", scans / "b" / "one.nii.gz")
    assert predict(bundle, "-i", scans / "**" / "one.nii.gz", "-o", tmp_path / "out") == 0
    written = sorted((tmp_path / "out").rglob("*.nii.gz"))
    assert [path.relative_to(tmp_path / "out").as_posix() for path in written] == [
        "b/one.nii.gz",
        "scans/one.nii.gz",
    ]


def test_an_output_that_exists_is_kept_unless_overwrite(
    bundle: Path, scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out" / "one.nii.gz"
    out.parent.mkdir()
    out.write_text("mine")
    assert predict(bundle, "-i", scans / "one.nii.gz", "-o", out.parent) == 0
    assert out.read_text() == "mine"
    assert "kept" in capsys.readouterr().out
    assert predict(bundle, "-i", scans / "one.nii.gz", "-o", out.parent, "--overwrite") == 0
    assert labels_of(out).shape == (30, 26, 20)


def test_a_case_that_fails_is_told_and_the_others_go_on(
    bundle: Path, scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (scans / "broken.nii.gz").write_bytes((scans / "one.nii.gz").read_bytes()[:2000])
    assert predict(bundle, "-i", scans, "-o", tmp_path / "out") == 3
    told = capsys.readouterr()
    assert told.err.startswith("medseg: broken: ")
    assert "2 done, 0 kept, 1 failed" in told.out
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "failures.json",
        *("one.nii.gz", "one.volumes.csv", "two.nii", "two.volumes.csv", "volumes.csv"),
    ]
    (failure,) = json.loads((tmp_path / "out" / "failures.json").read_text())
    assert failure["case"] == "broken"
    assert "stream is damaged" in failure["reason"]


@pytest.mark.parametrize("given", ["empty", "nowhere", "empty/*.nii.gz"])
def test_nothing_to_predict_is_an_error(
    bundle: Path, tmp_path: Path, given: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    assert predict(bundle, "-i", tmp_path / given, "-o", tmp_path / "out") == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_scan_is_never_replaced_by_its_label_map(bundle: Path, scans: Path) -> None:
    before = (scans / "one.nii.gz").read_bytes()
    assert predict(bundle, "-i", scans / "one.nii.gz", "-o", scans, "--overwrite") == 2
    assert (scans / "one.nii.gz").read_bytes() == before


def test_a_folder_that_is_no_bundle_is_told(
    scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(tmp_path, "-i", scans, "-o", tmp_path / "out") == 2
    assert "configs/inference.yaml" in capsys.readouterr().err


def test_weights_of_another_network_are_refused(scans: Path, tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "toy")
    other = write_bundle(tmp_path / "other", config(n_classes=5))
    shutil.copy(other / "models" / "model.pt", bundle / "models" / "model.pt")
    assert predict(bundle, "-i", scans, "-o", tmp_path / "out") == 2


def test_the_engine_gives_the_labels_of_the_bundles_own_steps(
    bundle: Path, scans: Path, tmp_path: Path
) -> None:
    assert predict(bundle, "-i", scans, "-o", tmp_path / "stock", "--engine", "stock") == 0
    assert predict(bundle, "-i", scans, "-o", tmp_path / "stream", "--engine", "stream") == 0
    for name in ("one.nii.gz", "two.nii"):
        np.testing.assert_array_equal(
            labels_of(tmp_path / "stream" / name), labels_of(tmp_path / "stock" / name)
        )


def test_regions_come_as_one_map_each_as_in_the_bundles_own_steps(scans: Path, tmp_path: Path) -> None:
    content = config()
    steps = content["postprocessing"]["transforms"]
    steps[0] = {"_target_": "Activationsd", "keys": "pred", "sigmoid": True}
    steps[2] = {"_target_": "AsDiscreted", "keys": "pred", "threshold": 0.5}
    bundle = write_bundle(tmp_path / "regions", content)
    for engine in ("stock", "stream"):
        assert predict(bundle, "-i", scans / "two.nii", "-o", tmp_path / engine, "--engine", engine) == 0
    assert labels_of(tmp_path / "stream" / "two.nii").shape == (12, 25, 9, 3)
    np.testing.assert_array_equal(
        labels_of(tmp_path / "stream" / "two.nii"), labels_of(tmp_path / "stock" / "two.nii")
    )


def test_painted_regions_of_a_normalised_brain_are_streamed_as_in_the_bundles_own_steps(
    scans: Path, tmp_path: Path
) -> None:
    content = config()
    steps = content["postprocessing"]["transforms"]
    steps[0] = {"_target_": "Activationsd", "keys": "pred", "sigmoid": True}
    steps[2] = {"_target_": "AsDiscreted", "keys": "pred", "threshold": 0.5}
    numbers = {"WT": 2, "TC": 1, "ET": 4}
    steps.insert(3, {"_target_": "medseg.postprocess.RegionsToLabelsd", "keys": "pred", "numbers": numbers})
    content["preprocessing"]["transforms"][4]["nonzero"] = True
    bundle = write_bundle(tmp_path / "regions", content)
    (scans / "one.nii.gz").unlink()
    write_scan(scans / "upright.nii", (20, 24, 18), affine=np.diag([-0.75, -0.75, 3.0, 1.0]))
    for engine in ("stock", "stream"):
        assert predict(bundle, "-i", scans, "-o", tmp_path / engine, "--engine", engine) == 0
    for name in ("two.nii", "upright.nii"):
        labels = labels_of(tmp_path / "stream" / name)
        assert set(np.unique(labels)) == {0, 1, 2, 4}
        np.testing.assert_array_equal(labels, labels_of(tmp_path / "stock" / name))
    assert load_predictor(bundle, trust=True).understood.rest == ()


def test_steps_after_the_decision_are_the_bundles_own(scans: Path, tmp_path: Path) -> None:
    content = config()
    content["postprocessing"]["transforms"].insert(
        3, {"_target_": "KeepLargestConnectedComponentd", "keys": "pred", "applied_labels": [1, 2]}
    )
    bundle = write_bundle(tmp_path / "largest", content)
    for engine in ("stock", "stream"):
        assert predict(bundle, "-i", scans / "two.nii", "-o", tmp_path / engine, "--engine", engine) == 0
    np.testing.assert_array_equal(
        labels_of(tmp_path / "stream" / "two.nii"), labels_of(tmp_path / "stock" / "two.nii")
    )


def test_a_bundle_that_the_engine_does_not_know_goes_its_own_way(
    scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = config()
    steps = content["postprocessing"]["transforms"]
    steps[1], steps[2] = steps[2], {**steps[1], "nearest_interp": True}
    bundle = write_bundle(tmp_path / "labels_first", content)
    assert predict(bundle, "-i", scans / "two.nii", "-o", tmp_path / "out") == 0
    assert "bundle's own post-processing is used" in capsys.readouterr().err
    assert predict(bundle, "-i", scans / "two.nii", "-o", tmp_path / "no", "--engine", "stream") == 2


def test_two_bundles_are_averaged_and_order_does_not_matter(
    bundle: Path, scans: Path, tmp_path: Path
) -> None:
    other = write_bundle(tmp_path / "other", seed=7)
    for name, order in {
        "ab": (bundle, other),
        "ba": (other, bundle),
        "a": (bundle,),
        "aa": (bundle, bundle),
    }.items():
        assert predict(*order, "-i", scans / "two.nii", "-o", tmp_path / name) == 0
    maps = {name: labels_of(tmp_path / name / "two.nii") for name in ("ab", "ba", "a", "aa")}
    np.testing.assert_array_equal(maps["ab"], maps["ba"])
    np.testing.assert_array_equal(maps["aa"], maps["a"])
    assert (maps["ab"] != maps["a"]).any()


def test_an_ensemble_of_different_tasks_is_refused(bundle: Path, scans: Path, tmp_path: Path) -> None:
    content = config()
    content["inferer"]["roi_size"] = [8, 8, 8]
    other = write_bundle(tmp_path / "other", content)
    assert predict(bundle, other, "-i", scans, "-o", tmp_path / "out") == 2


def test_a_memory_limit_that_can_be_kept_changes_nothing(bundle: Path, scans: Path, tmp_path: Path) -> None:
    assert predict(bundle, "-i", scans, "-o", tmp_path / "free") == 0
    assert predict(bundle, "-i", scans, "-o", tmp_path / "bounded", "--max-ram", "8G") == 0
    for name in ("one.nii.gz", "two.nii"):
        np.testing.assert_array_equal(
            labels_of(tmp_path / "bounded" / name), labels_of(tmp_path / "free" / name)
        )


def test_a_memory_limit_that_no_way_keeps_is_told_before_the_start(
    bundle: Path, scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(bundle, "-i", scans / "two.nii", "-o", tmp_path / "out", "--max-ram", "100M") == 3
    assert "expected at least" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["failures.json"]


def test_a_size_that_is_none_is_told(bundle: Path, scans: Path, tmp_path: Path) -> None:
    assert predict(bundle, "-i", scans, "-o", tmp_path / "out", "--max-ram", "lots") == 2


@pytest.mark.parametrize("runtime", ["onnx", "openvino", "auto"])
def test_every_runtime_gives_the_labels_of_torch(
    bundle: Path, scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runtime: str
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("torch", runtime):
        assert (
            predict(bundle, "-i", scans / "two.nii", "-o", tmp_path / name, "--runtime", name, "--trust") == 0
        )
    np.testing.assert_array_equal(
        labels_of(tmp_path / runtime / "two.nii"), labels_of(tmp_path / "torch" / "two.nii")
    )


def test_int8_says_what_it_costs(
    bundle: Path, scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert predict(bundle, "-i", scans / "one.nii.gz", "-o", out, "--runtime", "int8", "--trust") == 0
    assert "int8: Dice 0.9" in capsys.readouterr().err
    assert labels_of(out / "one.nii.gz").max() == 2


def test_windows_below_the_threshold_that_the_bundle_states_are_background(
    scans: Path, tmp_path: Path
) -> None:
    everything = write_bundle(tmp_path / "all", config(skip_below=1e9))
    nothing = write_bundle(tmp_path / "none", config(skip_below=-1e9))
    for bundle in (everything, nothing):
        assert predict(bundle, "-i", scans / "one.nii.gz", "-o", tmp_path / bundle.name / "out") == 0
    assert labels_of(tmp_path / "all" / "out" / "one.nii.gz").max() == 0
    assert labels_of(tmp_path / "none" / "out" / "one.nii.gz").max() == 2


def test_a_threshold_that_is_no_number_is_told(scans: Path, tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "toy", config(skip_below="low"))
    assert predict(bundle, "-i", scans, "-o", tmp_path / "out") == 2
