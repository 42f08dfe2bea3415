"""Two processes that talk by gloo, as torchrun starts them, against one process on the doubled batch."""

import csv
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from ignite.engine import Events
from torch import nn

from medseg import training as t
from medseg.cli.demo import DEMO_BUNDLE
from medseg.data.phantoms import write_phantoms
from tests.training import toy

ROOT = Path(__file__).parents[2]
N_EPOCHS = 4


def network() -> nn.Module:
    """InstanceNorm and no dropout: what a case gives doesn't depend on who else is in its batch.

    No bias before the norm, which takes it away: its gradient is rounding alone, and Adam would blow that up.
    """
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv3d(1, 4, 3, padding=1, bias=False),
        nn.InstanceNorm3d(4, affine=True),
        nn.ReLU(),
        nn.Conv3d(4, 2, 3, padding=1),
    )


class KillOne:
    """SIGKILL to process 1 in the middle of a run."""

    def __init__(self, step: int) -> None:
        self.step = step

    def attach(self, engine) -> None:
        engine.add_event_handler(Events.ITERATION_STARTED, self)

    def __call__(self, engine) -> None:
        if engine.state.iteration == self.step and os.environ["RANK"] == "1":
            os.kill(os.getpid(), signal.SIGKILL)


def run(folder: Path, rank: int, n: int, port: int, kill: int = 0, resume: bool = False) -> None:
    places = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": n, "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in places.items()}, MASTER_ADDR="127.0.0.1")
    t.start(0)
    options = {"batch_size": 2 // n, "interval": 1, "every_s": 0.0, "resume": resume}
    extra = [KillOne(kill)] if kill else []
    toy.trainer(folder, epochs=N_EPOCHS, net=network(), extra=extra, **options).run()
    t.finish()


def free_port() -> int:
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        return int(place.getsockname()[1])


@pytest.fixture(scope="module")
def started():
    """Starts `n` processes that have already imported torch and MONAI, and gives them."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.training.toy"])

    def start(folder, n, **options):
        port = free_port()
        processes = [
            context.Process(target=run, args=(folder, rank, n, port), kwargs=options) for rank in range(n)
        ]
        for process in processes:
            process.start()
        return processes

    return start


def exit_codes(processes, within_s: float = 120.0) -> list[int | None]:
    for process in processes:
        process.join(within_s)
    codes = [process.exitcode for process in processes]
    for process in processes:
        process.kill()
    return codes


@pytest.fixture(scope="module")
def one_and_two(started, tmp_path_factory):
    folder = tmp_path_factory.mktemp("processes")
    assert exit_codes(started(folder / "one", 1)) == [0]
    assert exit_codes(started(folder / "two", 2)) == [0, 0]
    return folder


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "last.pt", weights_only=True)


def scores(folder: Path) -> list[float]:
    with (folder / "history.csv").open(newline="") as file:
        return [float(row["score"]) for row in csv.DictReader(file)]


def test_two_processes_come_to_the_weights_of_one_on_the_doubled_batch(one_and_two):
    one, two = weights(one_and_two / "one"), weights(one_and_two / "two")
    start = network().state_dict()
    assert one.keys() == two.keys()
    for name, values in one.items():
        torch.testing.assert_close(two[name], values, atol=1e-4, rtol=1e-4)
    # They have moved much further from the start than they differ by.
    assert float((one["0.weight"] - start["0.weight"]).abs().max()) > 0.01


def test_they_score_the_same(one_and_two):
    assert scores(one_and_two / "two") == pytest.approx(scores(one_and_two / "one"), abs=1e-3)


def test_when_one_is_killed_the_other_ends_with_an_error_and_the_run_can_be_resumed(
    started, one_and_two, tmp_path
):
    first, second = started(tmp_path, 2, kill=8)
    second.join(120)
    assert second.exitcode == -signal.SIGKILL
    began = time.monotonic()
    codes = exit_codes([first], within_s=30.0)
    assert time.monotonic() - began < 30
    assert codes == [1]
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] == 7
    assert exit_codes(started(tmp_path, 2, resume=True)) == [0, 0]
    for name, values in weights(one_and_two / "two").items():
        assert torch.equal(weights(tmp_path)[name], values)


@pytest.mark.slow
def test_torchrun_trains_a_bundle_by_the_same_config_and_one_process_alone_writes(tmp_path):
    write_phantoms(tmp_path / "data", 6, size=12)
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc_per_node=2",
        f"--master_port={free_port()}",
    ]
    command += ["-m", "monai.bundle", "run", "training", "--config_file", "configs/train.yaml"]
    command += [
        "--dataset_dir",
        str(tmp_path / "data"),
        "--manifest",
        str(tmp_path / "data" / "manifest.json"),
    ]
    command += ["--roi_size", "[8, 8, 8]", "--max_epochs", "2", "--output_dir", str(tmp_path / "run")]
    command += ["--batch_size", "1", "--trackers", "['tensorboard']"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(
        command, cwd=DEMO_BUNDLE, env=environment, capture_output=True, text=True, timeout=300
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    rows = (tmp_path / "run" / "history.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows[1:]] == ["1", "2"]
    assert len(list((tmp_path / "run" / "tensorboard").iterdir())) == 1
    assert ended.stderr.count("validation  Mean_Dice") == 1
