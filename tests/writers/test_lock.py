import json
import os
import socket
import subprocess
import sys

import pytest

from medseg.errors import OutputError
from medseg.writers.lock import LOCK, hold, holds_work


def write(folder, **changes):
    folder.mkdir(exist_ok=True)
    said = {"pid": 1, "started": "1", "host": socket.gethostname(), "command": "medseg train", **changes}
    (folder / LOCK).write_text(json.dumps(said))


def test_a_second_run_is_refused_with_the_process_that_writes(tmp_path):
    with hold(tmp_path), pytest.raises(OutputError, match=f"process {os.getpid()} on"), hold(tmp_path):
        raise AssertionError("two runs in one folder")


def test_the_lock_goes_with_the_run_and_also_where_it_fails(tmp_path):
    with pytest.raises(ZeroDivisionError), hold(tmp_path):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_was_made_for_a_run_that_wrote_nothing_goes_again(tmp_path):
    with hold(tmp_path / "new"):
        assert not holds_work(tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_what_the_run_wrote_stays(tmp_path):
    with hold(tmp_path / "new"):
        (tmp_path / "new" / "a.txt").write_text("a")
        assert holds_work(tmp_path / "new")
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["a.txt"]


def test_a_lock_that_a_killed_process_left_is_taken_over_and_that_is_told(tmp_path, capsys):
    code = "import os, sys; from pathlib import Path; from medseg.writers.lock import hold\n"
    code += "with hold(Path(sys.argv[1])): os._exit(9)"
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False).returncode == 9
    left = json.loads((tmp_path / LOCK).read_text())
    with hold(tmp_path):
        assert json.loads((tmp_path / LOCK).read_text())["pid"] == os.getpid()
    assert f"process {left['pid']}" in capsys.readouterr().err
    assert not (tmp_path / LOCK).exists()


def test_another_process_with_the_number_of_a_dead_one_keeps_nobody_out(tmp_path):
    write(tmp_path, pid=os.getpid(), started="not then")
    with hold(tmp_path):
        assert json.loads((tmp_path / LOCK).read_text())["started"] != "not then"


def test_a_lock_of_another_host_is_not_judged_from_here(tmp_path):
    write(tmp_path, host="node7", pid=2**22 + 1)
    with pytest.raises(OutputError, match=r"node7.*delete .*\.medseg\.lock"), hold(tmp_path):
        raise AssertionError("two runs in one folder")
    assert (tmp_path / LOCK).exists()


def test_an_unfinished_lock_keeps_nobody_out(tmp_path):
    (tmp_path / LOCK).write_text("")
    with hold(tmp_path):
        assert json.loads((tmp_path / LOCK).read_text())["pid"] == os.getpid()


def test_a_file_in_the_place_of_the_folder_is_told(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(OutputError, match="another"), hold(tmp_path / "out"):
        raise AssertionError("a file held as a folder")
