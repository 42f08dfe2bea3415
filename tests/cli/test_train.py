import json
import shutil
from pathlib import Path

import nibabel as nib
import pytest
import yaml
from typer.testing import CliRunner

from medseg.bundle.verbs import config_files, read_config, with_overrides
from medseg.cli.app import app, main
from medseg.cli.demo import DEMO_BUNDLE
from medseg.cli.overrides import parse_overrides
from medseg.data.manifest import read_manifest
from medseg.data.phantoms import write_phantoms
from medseg.errors import OverrideError
from medseg.writers.lock import hold


def told(capsys):
    return capsys.readouterr().err.strip()


def test_a_misspelt_override_is_one_line_with_the_nearest_name(capsys, tmp_path):
    with pytest.raises(SystemExit) as stop:
        main(["train", str(DEMO_BUNDLE), "--data", str(tmp_path), "-o", str(tmp_path / "out"), "--epohcs=1"])
    assert stop.value.code == 2
    message = told(capsys)
    assert "--epohcs" in message
    assert "--max_epochs" in message
    assert "\n" not in message
    assert not (tmp_path / "out").exists()


def test_a_missing_data_folder_is_told_before_anything_is_written(capsys, tmp_path):
    with pytest.raises(SystemExit) as stop:
        main(["train", str(DEMO_BUNDLE), "--data", str(tmp_path / "none"), "-o", str(tmp_path / "out")])
    assert stop.value.code == 2
    assert str(tmp_path / "none") in told(capsys)
    assert not (tmp_path / "out").exists()


def test_a_folder_with_work_in_it_is_not_overwritten(capsys, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("work")
    with pytest.raises(SystemExit) as stop:
        main(["train", str(DEMO_BUNDLE), "--data", str(tmp_path), "-o", str(tmp_path / "out")])
    assert stop.value.code == 2
    assert "--overwrite" in told(capsys)
    assert (tmp_path / "out" / "mine.txt").read_text() == "work"
    assert not (tmp_path / "out" / "configs").exists()


def test_show_config_prints_the_merged_values_with_overrides_in_place():
    arguments = [
        "show-config",
        str(DEMO_BUNDLE),
        "train",
        "--max_epochs",
        "3",
        "--train#dataloader#num_workers=2",
    ]
    shown = yaml.safe_load(CliRunner().invoke(app, arguments).stdout)
    assert shown["max_epochs"] == 3
    assert shown["train"]["dataloader"]["num_workers"] == 2
    assert shown["labels"] == {"background": 0, "necrosis": 1, "oedema": 2, "enhancing": 3}


def test_overrides_reach_into_lists_and_leave_the_original_alone():
    config = read_config(config_files(DEMO_BUNDLE, "train"))
    changed = with_overrides(config, {"network_def#channels#0": 7, "augmentation::transforms::0::prob": 0.5})
    assert changed["network_def"]["channels"] == [7, 32, 64]
    assert changed["augmentation"]["transforms"][0]["prob"] == 0.5
    assert config["network_def"]["channels"] == [16, 32, 64]


def test_an_override_without_a_value_is_refused():
    with pytest.raises(OverrideError, match="--id value"):
        parse_overrides(["--max_epochs"])


def test_numbers_are_read_as_people_write_them():
    given = ["--a", "1e-4", "--b=.5E3", "--c", "[1e-3, 2]", "--d", "e5", "--e", "'$1e-4'"]
    assert parse_overrides(given) == {"a": 1e-4, "b": 500.0, "c": [1e-3, 2], "d": "e5", "e": "$1e-4"}


def test_a_text_for_a_number_is_refused_before_anything_is_run(capsys, tmp_path):
    arguments = ["train", str(DEMO_BUNDLE), "--data", str(tmp_path), "-o", str(tmp_path / "out")]
    with pytest.raises(SystemExit) as stop:
        main([*arguments, "--max_epochs", "ten"])
    assert stop.value.code == 2
    assert "--max_epochs 'ten'; expected a number" in told(capsys)


@pytest.mark.filterwarnings("ignore:NvImgCodecPydicomReader:UserWarning")
@pytest.mark.parametrize(
    ("override", "text"),
    [
        ("--max_epochs=0", "max_epochs"),
        ("--learning_rate=-1", "Invalid learning rate: -1"),
        ("--device=gpu", "gpu"),
    ],
)
def test_a_value_that_a_component_refuses_is_told_in_one_line(capsys, tmp_path, override, text):
    write_phantoms(tmp_path / "data", 4, size=12)
    arguments = ["train", str(DEMO_BUNDLE), "--data", str(tmp_path / "data"), "-o", str(tmp_path / "out")]
    arguments += ["--manifest", str(tmp_path / "data" / "manifest.json"), override]
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    line = told(capsys)
    assert f"training ended before its first step with {override.replace('=', ' ')}" in line
    assert text in line


def test_there_must_be_a_run_to_go_on_with(capsys, tmp_path):
    with pytest.raises(SystemExit) as stop:
        main(["train", str(DEMO_BUNDLE), "--data", str(tmp_path), "-o", str(tmp_path / "out"), "--resume"])
    assert stop.value.code == 2
    assert "checkpoint.pt" in told(capsys)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:NvImgCodecPydicomReader:UserWarning")
def test_a_run_is_gone_on_with_where_it_ended(tmp_path):
    write_phantoms(tmp_path / "data", 4, size=12)
    arguments = ["train", str(DEMO_BUNDLE), "--data", str(tmp_path / "data"), "-o", str(tmp_path / "out")]
    arguments += ["--manifest", str(tmp_path / "data" / "manifest.json"), "--roi_size", "[8, 8, 8]"]
    first = CliRunner().invoke(app, [*arguments, "--max_epochs", "1"])
    assert first.exit_code == 0, first.output
    again = CliRunner().invoke(app, [*arguments, "--max_epochs", "2", "--resume"])
    assert again.exit_code == 0, again.output
    rows = (tmp_path / "out" / "eval" / "history.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows[1:]] == ["1", "2"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:NvImgCodecPydicomReader:UserWarning")
def test_demo_trains_predicts_and_scores(tmp_path):
    ended = CliRunner().invoke(app, ["demo", "-o", str(tmp_path / "demo"), "--max-epochs", "1"])
    assert ended.exit_code == 0, ended.output
    assert "synthetic" in ended.output
    predictions = sorted((tmp_path / "demo" / "predictions").glob("*.nii.gz"))
    assert len(predictions) >= 2
    assert nib.load(predictions[0]).get_data_dtype() == "uint8"
    assert (tmp_path / "demo" / "report" / "cases.csv").is_file()
    assert (tmp_path / "demo" / "bundle" / "models" / "model.pt").is_file()


@pytest.fixture
def started(monkeypatch):
    """The settings of each training that would have begun."""
    found = []
    monkeypatch.setattr("medseg.bundle.training.run_verb", lambda *given, **_: found.append(given[2]))
    return found


def test_a_run_killed_before_its_first_checkpoint_begins_anew_with_the_settings_it_had(started, tmp_path):
    write_phantoms(tmp_path / "data", 3, size=12)
    arguments = ["train", str(DEMO_BUNDLE), "--data", str(tmp_path / "data"), "-o", str(tmp_path / "out")]
    manifest = ["--manifest", str(tmp_path / "data" / "manifest.json")]
    for more in ([*manifest, "--max_epochs", "3", "--budget", "5m"], ["--resume", "--seed", "4"]):
        ended = CliRunner().invoke(app, [*arguments, *more])
        assert ended.exit_code == 0, ended.output
    begun, resumed = started
    assert resumed["budget_began"] > begun["budget_began"]
    times = {"budget_began": None}
    assert {**resumed, **times} == {**begun, **times, "resume": True, "seed": 4}


def test_a_fold_trains_on_its_own_manifest_and_so_does_its_resumption(started, tmp_path):
    write_phantoms(tmp_path / "data", 7, size=12)
    arguments = ["train", str(DEMO_BUNDLE), "--data", str(tmp_path / "data"), "-o", str(tmp_path / "out")]
    arguments += ["--manifest", str(tmp_path / "data" / "manifest.json")]
    for more in (["--fold", "1", "--folds", "3"], ["--resume"]):
        ended = CliRunner().invoke(app, [*arguments, *more])
        assert ended.exit_code == 0, ended.output
    kept = tmp_path / "out" / "eval" / "manifest.json"
    assert [settings["manifest"] for settings in started] == [str(kept)] * 2
    assert {c.fold for c in read_manifest(kept).cases("validation")} == {1}
    assert {c.fold for c in read_manifest(kept).cases("training")} == {0, 2}


@pytest.mark.filterwarnings("ignore:NvImgCodecPydicomReader:UserWarning")
@pytest.mark.parametrize(("kind", "value"), [("label", 7), ("image", float("nan"))])
def test_a_case_that_would_spoil_the_run_stops_it_in_one_line_with_its_name(capsys, tmp_path, kind, value):
    manifest = read_manifest(write_phantoms(tmp_path, 3, size=12))
    case = manifest.cases("training")[0]
    file = tmp_path / (case.label if kind == "label" else case.image[0])
    image = nib.load(file)
    voxels = image.get_fdata()
    voxels[2, 3, 4] = value
    nib.save(nib.Nifti1Image(voxels.astype("float32"), image.affine), file)
    with pytest.raises(SystemExit) as stop:
        main(
            [
                "train",
                str(DEMO_BUNDLE),
                "--data",
                str(tmp_path),
                "-o",
                str(tmp_path / "out"),
                "--manifest",
                str(tmp_path / "manifest.json"),
            ]
        )
    assert stop.value.code == 2
    (line,) = [line for line in told(capsys).splitlines() if line.startswith("medseg: ")]
    assert f"case {case.case}" in line
    assert not (tmp_path / "out" / "eval" / "history.csv").exists()


def with_brats_names(folder, channels):
    """A manifest of two cases, each with a file per channel named after it."""
    cases = [
        {"case": c, "patient": c, "image": [f"{c}_{n}.nii.gz" for n in channels], "label": f"{c}_seg.nii.gz"}
        for c in ("a", "b")
    ]
    content = {"name": "mine", "version": "1", "channels": channels, "labels": {"necrosis": 1, "oedema": 2}}
    folder.mkdir(exist_ok=True)
    (folder / "manifest.json").write_text(json.dumps({**content, "training": cases}))
    return str(folder / "manifest.json")


def demo_that_takes(folder, *channels):
    shutil.copytree(DEMO_BUNDLE, folder)
    metadata = json.loads((folder / "configs" / "metadata.json").read_text())
    metadata["network_data_format"]["inputs"]["image"]["channel_def"] = dict(enumerate(channels))
    (folder / "configs" / "metadata.json").write_text(json.dumps(metadata))
    return str(folder)


def test_the_manifests_channels_are_brought_to_the_bundles_order(started, tmp_path):
    manifest = with_brats_names(tmp_path / "data", ["T1", "T1ce", "T2", "FLAIR"])
    bundle = demo_that_takes(tmp_path / "bundle", "FLAIR", "T1", "T1ce", "T2")
    given = ["--manifest", manifest, "--data", str(tmp_path / "data"), "-o", str(tmp_path / "out")]
    ended = CliRunner().invoke(app, ["train", bundle, *given, "--trust"])
    assert ended.exit_code == 0, ended.output
    assert "FLAIR, T1, T1ce, T2, the order of the bundle" in ended.stderr
    read = read_manifest(started[0]["manifest"])
    assert read.items[0].image == ("a_FLAIR.nii.gz", "a_T1.nii.gz", "a_T1ce.nii.gz", "a_T2.nii.gz")


def test_a_manifest_that_lacks_a_channel_is_one_line_before_anything_is_written(capsys, tmp_path):
    manifest = with_brats_names(tmp_path / "data", ["T1", "T2"])
    bundle = demo_that_takes(tmp_path / "bundle", "FLAIR", "T1")
    given = ["--manifest", manifest, "--data", str(tmp_path / "data"), "-o", str(tmp_path / "out")]
    with pytest.raises(SystemExit) as stop:
        main(["train", bundle, *given, "--trust"])
    assert stop.value.code == 2
    assert "none of them FLAIR" in told(capsys)
    assert not (tmp_path / "out").exists()


def test_a_structure_with_another_number_than_the_bundles_is_refused(capsys, tmp_path):
    manifest = with_brats_names(tmp_path / "data", ["T1"])
    Path(manifest).write_text(Path(manifest).read_text().replace('"oedema": 2', '"oedema": 3'))
    given = ["--manifest", manifest, "--data", str(tmp_path / "data"), "-o", str(tmp_path / "out")]
    with pytest.raises(SystemExit) as stop:
        main(["train", str(DEMO_BUNDLE), *given])
    assert stop.value.code == 2
    assert "oedema is 3 in the manifest mine and 2 in the bundle" in told(capsys)
    assert not (tmp_path / "out").exists()


def test_a_number_that_relabel_gives_to_another_structure_of_the_bundle_is_refused(capsys, tmp_path):
    manifest = Path(with_brats_names(tmp_path / "data", ["T1", "T1ce", "T2", "FLAIR"]))
    # The files' 2 is what the bundle calls oedema, but it would be read as 1, the bundle's necrosis.
    content = json.loads(manifest.read_text()) | {"labels": {"oedema": 1}, "relabel": {"2": 1}}
    manifest.write_text(json.dumps(content))
    given = ["--manifest", str(manifest), "--data", str(tmp_path / "data"), "-o", str(tmp_path / "out")]
    with pytest.raises(SystemExit) as stop:
        main(["train", str(DEMO_BUNDLE), *given])
    assert stop.value.code == 2
    assert "oedema is 1 in the manifest mine and 2 in the bundle" in told(capsys)


def test_a_folder_that_another_run_writes_is_refused(capsys, tmp_path):
    with hold(tmp_path / "out"), pytest.raises(SystemExit) as stop:
        main(["train", str(DEMO_BUNDLE), "--data", str(tmp_path), "-o", str(tmp_path / "out")])
    assert stop.value.code == 2
    assert "one run at a time" in told(capsys)
