import csv
import json
from functools import partial

import pytest
from typer.testing import CliRunner

from medseg.cli.app import app, main
from medseg.cli.demo import DEMO_BUNDLE
from medseg.data.manifest import read_manifest
from medseg.data.phantoms import write_phantoms
from medseg.distributed.spread import Work, results_of
from tests.distributed.workers import MortalTrainer

pytestmark = pytest.mark.filterwarnings("ignore:NvImgCodecPydicomReader:UserWarning")
SMALL = ["--roi_size", "[8, 8, 8]", "--max_epochs", "1"]


def arguments(verb, folder, data, *more):
    return [verb, str(DEMO_BUNDLE), "--data", str(data), "-o", str(folder), *more, *SMALL]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_phantoms(folder, 7, size=12)
    return folder


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def done(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("folds") / "out"
    given = arguments(
        "cross-validate", folder, data, "--manifest", str(data / "manifest.json"), "--folds", "2"
    )
    ended = CliRunner().invoke(app, given)
    assert ended.exit_code == 0, ended.output
    return folder, ended.output, given


@pytest.mark.slow
def test_every_case_outside_the_test_split_is_predicted_and_scored_once(data, done):
    folder, _, _ = done
    known = read_manifest(data / "manifest.json")
    expected = {c.case for c in known.items if c.split != "test"}
    written = sorted((folder / "predictions").glob("*.nii.gz"))
    assert {path.name.removesuffix(".nii.gz") for path in written} == expected
    assert {row["case"] for row in rows(folder / "report" / "cases.csv")} == expected
    assert (folder / "report" / "report.html").is_file()


@pytest.mark.slow
def test_no_fold_is_trained_on_what_it_holds_out(done):
    folder, _, _ = done
    held = []
    for fold in (0, 1):
        run = read_manifest(folder / f"fold_{fold}" / "eval" / "manifest.json")
        held.append({c.patient for c in run.cases("validation")})
        assert held[fold].isdisjoint(c.patient for c in run.cases("training"))
        assert (folder / f"fold_{fold}" / "models" / "model.pt").is_file()
    assert held[0].isdisjoint(held[1])


@pytest.mark.slow
def test_a_folds_weights_are_those_of_the_last_step(done):
    models = done[0] / "fold_0" / "models"
    assert (models / "model.pt").read_bytes() == (models / "last.pt").read_bytes()
    assert (models / "best.pt").is_file()


@pytest.mark.slow
def test_the_volumes_of_all_cases_are_in_one_table(done):
    assert len({row["case"] for row in rows(done[0] / "predictions" / "volumes.csv")}) == 6


@pytest.mark.slow
def test_each_folds_mean_and_the_mean_over_all_are_told(done):
    folder, output, _ = done
    assert "fold 1  mean Dice  WT" in output
    assert "all 6 cases  WT  Dice" in output
    assert set(json.loads((folder / "report" / "folds.json").read_text())) == {"0", "1"}


@pytest.mark.slow
def test_a_cross_validation_that_was_stopped_goes_on_without_training_a_finished_fold_again(done):
    folder, _, given = done
    state = folder / "cross_validation.json"
    known = json.loads(state.read_text())
    state.write_text(json.dumps({**known, "trained": [0]}))
    before = (folder / "fold_0" / "models" / "checkpoint.pt").stat().st_mtime_ns
    next((folder / "predictions").glob("*.nii.gz")).unlink()
    ended = CliRunner().invoke(app, [*given[: -len(SMALL)], "--resume"])  # the overrides are remembered
    assert ended.exit_code == 0, ended.output
    assert (folder / "fold_0" / "models" / "checkpoint.pt").stat().st_mtime_ns == before
    assert json.loads(state.read_text()) == {**known, "trained": [0, 1]}
    assert known["overrides"] == {"roi_size": [8, 8, 8], "max_epochs": 1}
    assert len(list((folder / "predictions").glob("*.nii.gz"))) == 6


@pytest.mark.slow
def test_a_fold_whose_worker_is_killed_is_done_by_another_and_gives_the_same_files(
    data, done, tmp_path, monkeypatch
):
    marker = tmp_path / "killed"

    def spread_mortally(tasks, *, n_workers, ray_address):
        make = partial(MortalTrainer, 1, marker)
        return results_of(Work(make, tasks, str), n_workers=n_workers, ray_address=ray_address)

    monkeypatch.setattr("medseg.distributed.folds.spread_folds", spread_mortally)
    given = arguments("cross-validate", tmp_path / "out", data, *done[2][6:10], "--workers", "2")
    ended = CliRunner().invoke(app, given)
    assert ended.exit_code == 0, ended.output
    assert marker.exists()
    truth = sorted((done[0] / "predictions").glob("*.nii.gz"))
    assert [path.read_bytes() for path in sorted((tmp_path / "out" / "predictions").glob("*.nii.gz"))] == [
        path.read_bytes() for path in truth
    ]


@pytest.mark.slow
def test_training_one_fold_is_what_cross_validation_trains(data, done, tmp_path):
    folder, _, _ = done
    manifest = str(data / "manifest.json")
    one = arguments("train", tmp_path / "one", data, "--manifest", manifest, "--fold", "1", "--folds", "2")
    ended = CliRunner().invoke(app, one)
    assert ended.exit_code == 0, ended.output
    history = "eval/history.csv"
    assert (tmp_path / "one" / history).read_bytes() == (folder / "fold_1" / history).read_bytes()


def told(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    return capsys.readouterr().err


def test_a_folder_with_work_in_it_is_not_overwritten(data, tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("work")
    assert "--overwrite" in told(arguments("cross-validate", tmp_path, data), capsys)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_there_must_be_a_cross_validation_to_go_on_with(data, tmp_path, capsys):
    message = told(arguments("cross-validate", tmp_path / "none", data, "--resume"), capsys)
    assert "no cross-validation in" in message
