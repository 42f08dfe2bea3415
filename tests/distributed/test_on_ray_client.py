"""``--ray ray://…``: the command in one process, the cluster in others, as `ray start` makes it."""

from __future__ import annotations

import filecmp
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from medseg.distributed.on_ray import _connected
from medseg.errors import MedsegError
from tests.toy_bundle import write_bundle, write_scan

ROOT = Path(__file__).parents[2]
# A token of the test's own: else Ray takes the user's.
ENVIRONMENT = os.environ | {
    "PYTHONPATH": str(ROOT),
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": "0" * 64,
    "OMP_NUM_THREADS": "1",
    # The head gives a client's own server 30 s to start, which is short beside another Ray on two busy cores.
    "RAY_CLIENT_SERVER_CHECK_CHANNEL_TIMEOUT_S": "180",
}


def answers(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def address() -> Iterator[str]:
    # Ray's workers take the ports from 10002 to 19999.
    port = next(n for n in range(20_001 + os.getpid() % 5000, 30_000) if not answers(n))
    # Short, for it holds sockets.
    folder = tempfile.mkdtemp(prefix="ray")
    options = [f"--ray-client-server-port={port}", "--port=0", "--num-cpus=2", f"--temp-dir={folder}"]
    options += ["--include-dashboard=false", "--disable-usage-stats", "--block"]
    command = [str(Path(sys.executable).with_name("ray")), "start", "--head", *options]
    with subprocess.Popen(
        command, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as head:
        try:
            deadline = time.monotonic() + 60
            while not answers(port) and head.poll() is None and time.monotonic() < deadline:
                time.sleep(0.2)
            assert answers(port)
            yield f"ray://127.0.0.1:{port}"
        finally:
            head.terminate()
            head.wait(30)
            shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.slow
def test_the_command_gives_the_files_of_a_single_process(address: str, tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "toy")
    names = [f"s{i}{ending}" for i in range(3) for ending in (".nii.gz", ".volumes.csv")]
    for i in range(3):
        write_scan(tmp_path / "scans" / f"s{i}.nii.gz", (12, 11, 10), seed=i)
    for folder, more in (("alone", []), ("spread", ["--ray", address, "--workers", "1"])):
        command = [sys.executable, "-m", "medseg", "predict", bundle, "-i", tmp_path / "scans"]
        command += ["-o", tmp_path / folder, *more]
        run = subprocess.run(
            [*map(str, command)], env=ENVIRONMENT, capture_output=True, text=True, check=False
        )
        assert run.returncode == 0, run.stderr
        assert "3 done, 0 kept, 0 failed" in run.stdout
    names.append("volumes.csv")
    same = filecmp.cmpfiles(tmp_path / "alone", tmp_path / "spread", names, shallow=False)
    assert same == (names, [], [])


def test_a_client_that_nobody_answers_is_told_of_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray")

    def refuse(**_: object) -> None:
        raise ConnectionError("failure from server:\nTraceback (most recent call last):\nwhy it failed")

    monkeypatch.setattr(ray, "init", refuse)
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    with pytest.raises(MedsegError, match="set RAY_AUTH_MODE=token"):
        _connected("ray://head:10001", 0)
    with pytest.raises(MedsegError, match=r"at ray://head:10001: why it failed;"):
        _connected("ray://head:10001", 0)
    with pytest.raises(MedsegError, match=r"try `ray status` there$"):
        _connected("auto", 0)
