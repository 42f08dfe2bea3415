import csv
import xml.etree.ElementTree as ET

import pytest
import torch
from ignite.engine import Events
from rich.console import Console

from medseg import training as t
from medseg.errors import TrainingError
from medseg.training.curves import curves_svg
from medseg.training.history import table
from tests.training import toy

SVG = "{http://www.w3.org/2000/svg}"


def rows_of(folder):
    with (folder / "history.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A folder of four epochs, validated every second, followed by TensorBoard."""
    folder = tmp_path_factory.mktemp("run")
    toy.trainer(folder, trackers=["tensorboard"]).run()
    return folder


def test_the_history_has_a_row_per_epoch_and_a_score_where_it_was_validated(run):
    rows = rows_of(run)
    assert [(row["epoch"], row["step"]) for row in rows] == [("1", "3"), ("2", "6"), ("3", "9"), ("4", "12")]
    assert [row["score"] != "" for row in rows] == [False, True, False, True]
    assert all(float(row["score"]) == float(row["ball"]) for row in rows[1::2])
    assert all(float(row["loss"]) > 0 for row in rows)


def test_the_picture_shows_every_column_of_the_history_at_its_place(run):
    picture = ET.parse(run / "curves.svg").getroot()
    lines = {line.get("data-name"): line.get("points").split() for line in picture.iter(f"{SVG}polyline")}
    assert set(lines) == {"loss", "score", "ball", "learning_rate"}
    assert len(lines["loss"]) == 4
    assert len(lines["score"]) == 2


def test_the_highest_value_of_a_curve_is_at_the_top_and_the_lowest_at_the_bottom():
    rows = [{"epoch": n, "loss": loss, "learning_rate": 1.0} for n, loss in enumerate([3.0, 1.0, 2.0], 1)]
    picture = ET.fromstring(curves_svg(rows))
    line = next(p for p in picture.iter(f"{SVG}polyline") if p.get("data-name") == "loss")
    heights = [float(point.split(",")[1]) for point in line.get("points").split()]
    assert heights[0] < heights[2] < heights[1]
    assert heights[2] == pytest.approx((heights[0] + heights[1]) / 2)


def test_a_table_keeps_every_digit_and_leaves_what_is_not_known_empty():
    text = table([{"epoch": 1, "loss": 0.1 + 0.2}, {"epoch": 2, "loss": float("nan"), "score": 1.0}])
    assert text.splitlines()[1:] == ["1,,0.30000000000000004,,", "2,,,,1.0"]


def test_tensorboard_holds_what_the_history_holds(run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    rows = rows_of(run)
    assert [(e.step, e.value) for e in events.Scalars("loss")] == [
        (int(row["step"]), pytest.approx(float(row["loss"]), rel=1e-6)) for row in rows
    ]
    assert [e.step for e in events.Scalars("score")] == [6, 12]


@pytest.mark.slow
# MLflow's store of SQLAlchemy and its own modules warn of what they will change.
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_mlflow_holds_what_the_history_holds_and_a_resumed_run_goes_on_in_it(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_DISABLE_TELEMETRY", raising=False)
    toy.trainer(tmp_path, epochs=2, trackers=["mlflow"]).run()
    toy.trainer(tmp_path, epochs=4, trackers=["mlflow"], resume=True).run()
    from mlflow.telemetry.utils import is_telemetry_disabled
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    number = client.get_experiment_by_name("medseg").experiment_id
    (found,) = client.search_runs([number])
    assert found.info.status == "FINISHED"
    kept = {m.step: m.value for m in client.get_metric_history(found.info.run_id, "loss")}
    assert kept == {int(row["step"]): float(row["loss"]) for row in rows_of(tmp_path)}
    assert len(kept) == 4
    assert is_telemetry_disabled()


def test_a_run_that_fails_is_marked_as_failed(tmp_path):
    closed = []

    class Tracker:
        def write(self, _):
            raise TrainingError("a full disk", "room", "make some")

        def close(self, status):
            closed.append(status)

    trainer = toy.trainer(tmp_path, trackers=["tensorboard"])
    trackers = trainer.state.parts["trackers"]
    trainer.add_event_handler(Events.EPOCH_STARTED, lambda: setattr(trackers, "_open", [Tracker()]))
    with pytest.raises(TrainingError, match="a full disk"):
        trainer.run()
    assert closed == ["FAILED"]


def test_an_unknown_tracker_is_told():
    with pytest.raises(TrainingError, match="any of mlflow, tensorboard"):
        t.Trackers(["wandb"], "somewhere")


def test_progress_on_a_terminal_tells_epoch_loss_score_and_time_left(tmp_path):
    console = Console(record=True, force_terminal=True, width=100)
    trainer = toy.trainer(tmp_path, epochs=2, interval=1, console=console)
    trainer.run()
    shown = console.export_text()
    assert "epoch 2/2  loss" in shown
    assert "0 s left" in shown
    assert "validation  Mean_Dice" in shown


def test_before_the_first_validation_no_score_is_told(tmp_path, capsys):
    toy.trainer(tmp_path, epochs=2, interval=1, told_every=-1).run()
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("training  epoch")]
    assert [("not validated yet" in line) for line in told] == [line.split()[2] == "1/2" for line in told]
    assert not any("nan" in line for line in told)
    assert len(told) > 2


def test_scores_of_another_grid_are_told_once(tmp_path, capsys):
    from monai.data import MetaTensor

    rows = toy.cases()
    coarse = torch.diag(torch.tensor([2.0, 1.0, 1.0, 1.0], dtype=torch.float64))
    for row in rows:
        for key in ("image", "label"):
            meta = {"original_affine": torch.eye(4, dtype=torch.float64), "spatial_shape": [16, 8, 8]}
            row[key] = MetaTensor(torch.from_numpy(row[key]), affine=coarse, meta=meta)
    toy.trainer(tmp_path, interval=1, data=rows).run()
    assert capsys.readouterr().err.count("not on the scans' own") == 1
