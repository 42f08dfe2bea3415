import json
import multiprocessing
import os
import random
import signal
from pathlib import Path

import pytest
import torch
from ignite.engine import Events

from medseg.errors import OutputError, TrainingError
from medseg.training import checkpoints
from tests.training import toy

N_STEPS = 15  # 5 epochs of 3 steps
KEPT = ("history.csv", "model.pt", "last.pt")


class KillItself:
    """SIGKILL to its own process at a step: before the step, after it, or in the middle of the next save."""

    def __init__(self, step: int, moment: str) -> None:
        self.step, self.moment = step, moment

    def attach(self, engine) -> None:
        when = Events.ITERATION_STARTED if self.moment == "before" else Events.ITERATION_COMPLETED
        engine.add_event_handler(when, self)

    def __call__(self, engine) -> None:
        if engine.state.iteration != self.step:
            return
        if self.moment == "in_save":
            os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
        else:
            os.kill(os.getpid(), signal.SIGKILL)


def run(folder: Path, kill: tuple[int, str] | None = None, every_s: float = 1e9, resume: bool = True) -> None:
    extra = [KillItself(*kill)] if kill else []
    options = {"patience": 9, "accumulate": 2, "rate": {"shape": "plateau", "patience": 0}}
    toy.trainer(folder, epochs=5, resume=resume, every_s=every_s, extra=extra, **options).run()


@pytest.fixture(scope="module")
def forked():
    """Starts a function in a process of its own that has already imported torch and MONAI."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.training.toy"])

    def start(*arguments) -> int:
        process = context.Process(target=run, args=arguments)
        process.start()
        process.join()
        return process.exitcode

    return start


@pytest.fixture(scope="module")
def uninterrupted(forked, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    assert forked(folder) == 0
    return folder


def contents(folder: Path) -> list[bytes]:
    return [(folder / name).read_bytes() for name in KEPT]


def killed_and_resumed(forked, folder: Path, n_kills: int, every_s: float) -> None:
    chance = random.Random(n_kills)
    for step in sorted(chance.sample(range(1, N_STEPS), n_kills)):
        moment = chance.choice(["before", "after", "in_save"])
        assert forked(folder, (step, moment), every_s) == -signal.SIGKILL
    assert forked(folder, None, every_s) == 0


def test_a_run_killed_at_ten_random_steps_equals_the_uninterrupted_one_bit_for_bit(
    forked, uninterrupted, tmp_path
):
    killed_and_resumed(forked, tmp_path, n_kills=10, every_s=0.0)
    assert contents(tmp_path) == contents(uninterrupted)


def test_it_does_so_when_it_is_saved_after_validations_alone(forked, uninterrupted, tmp_path):
    killed_and_resumed(forked, tmp_path, n_kills=3, every_s=1e9)
    assert contents(tmp_path) == contents(uninterrupted)


def test_a_finished_run_that_is_resumed_stays_as_it_is(tmp_path):
    run(tmp_path)
    before = contents(tmp_path)
    run(tmp_path)
    assert contents(tmp_path) == before


def spoil(engine) -> None:
    for weights in engine.network.parameters():
        weights.data.fill_(-1.0)


def test_a_worse_score_after_a_resume_never_replaces_the_best_weights(tmp_path):
    run(tmp_path)
    best = (tmp_path / "model.pt").read_bytes()
    scores = json.loads((tmp_path / "best.json").read_text())
    # The checkpoint is older than the weights, as after a kill between the two.
    old = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    old["parts"]["checkpoint"]["best"] = -1.0
    torch.save(old, tmp_path / "checkpoint.pt")
    resumed = toy.trainer(
        tmp_path, epochs=6, resume=True, patience=9, accumulate=2, rate={"shape": "constant"}
    )
    resumed.add_event_handler(Events.ITERATION_COMPLETED, spoil)
    resumed.run()
    assert (tmp_path / "model.pt").read_bytes() == best
    assert json.loads((tmp_path / "best.json").read_text()) == scores


class Scaler:
    """Gives a trainer on a CPU the scaler that MONAI gives one on CUDA when its run begins."""

    def __init__(self, scale: float) -> None:
        self.scaler = torch.amp.GradScaler("cpu", init_scale=scale)

    def attach(self, engine) -> None:
        engine.add_event_handler(Events.STARTED, lambda: setattr(engine, "scaler", self.scaler))


def test_the_scale_of_mixed_precision_is_where_it_was(tmp_path):
    toy.trainer(tmp_path, epochs=1, clip=None, extra=[Scaler(128.0)]).run()
    resumed = Scaler(4.0)
    toy.trainer(tmp_path, epochs=2, clip=None, resume=True, extra=[resumed]).run()
    assert resumed.scaler.get_scale() == 128.0


def test_a_checkpoint_of_another_batch_size_is_refused(tmp_path):
    run(tmp_path)
    with pytest.raises(TrainingError, match="3 steps per epoch, the run has 2"):
        toy.trainer(tmp_path, resume=True, batch_size=3, accumulate=2).run()


def test_a_damaged_checkpoint_is_refused(tmp_path):
    (tmp_path / "checkpoint.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(TrainingError, match="expected a checkpoint of this run"):
        toy.trainer(tmp_path, resume=True).run()


def test_a_full_disk_leaves_the_old_checkpoint_whole(tmp_path, monkeypatch):
    target = tmp_path / "model.pt"
    checkpoints.save_weights(toy.network(), target)
    before = target.read_bytes()

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints.os, "fsync", full)
    with pytest.raises(OutputError, match="No space left"):
        checkpoints.save_weights(toy.network(), target)
    assert target.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["model.pt"]
