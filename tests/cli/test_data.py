"""`medseg data` on the command line."""

import json
import shutil
import subprocess
import sys

import pytest

from medseg.cli.app import main
from medseg.data import read_manifest
from medseg.data.phantoms import write_phantoms


def run(*arguments):
    """The exit code of `medseg data …` in this process."""
    with pytest.raises(SystemExit) as end:
        main(["data", *map(str, arguments)])
    return end.value.code or 0


def test_data_get_of_an_unknown_name_lists_the_known_ones(capsys, tmp_path):
    assert run("get", "msd_hipocampus", "--to", tmp_path) == 2
    assert "msd_hippocampus" in capsys.readouterr().err


def test_data_get_of_a_manifest_without_a_source_is_one_line(capsys, tmp_path):
    path = write_phantoms(tmp_path, 3, size=8, channels=1)
    shutil.rmtree(tmp_path / "images")
    assert run("get", path, "--to", tmp_path) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_importing_the_verbs_imports_nothing_heavy():
    code = "import sys, medseg.cli.data; print({'numpy', 'nibabel', 'torch', 'monai'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantoms")
    write_phantoms(folder, 5, 1, size=12, channels=1)
    return folder


def test_from_a_folder_to_a_fingerprint(phantoms, tmp_path, capsys):
    made = tmp_path / "m.json"
    assert run("scan", phantoms) == 0
    assert "nothing written" in capsys.readouterr().out
    assert run("scan", phantoms, "-o", made) == 0
    told = capsys.readouterr().out
    assert "layout     images and labels" in told
    assert "5, 5 with a label map" in told
    assert run("check", made, "--data", phantoms) == 0
    assert "5 cases, 10 files" in capsys.readouterr().out
    assert run("split", made, "--data", phantoms, "--folds", 2, "--seed", 3) == 0
    assert "stratified by structures" in capsys.readouterr().out
    assert {c.fold for c in read_manifest(made).items} == {0, 1}
    assert run("fingerprint", made, "--data", phantoms, "-o", tmp_path / "f") == 0
    assert (tmp_path / "f/fingerprint.html").stat().st_size > 1000


def test_scan_does_not_replace_a_manifest_unasked(phantoms, tmp_path, capsys):
    (tmp_path / "m.json").write_text("mine")
    assert run("scan", phantoms, "-o", tmp_path / "m.json") == 2
    assert (tmp_path / "m.json").read_text() == "mine"
    assert "--overwrite" in capsys.readouterr().err


def test_check_exits_with_1_where_something_blocks_and_prints_json_and_jobs(phantoms, tmp_path, capsys):
    shutil.copytree(phantoms, tmp_path / "d")
    (tmp_path / "d/labels/phantom_002.nii.gz").unlink()
    manifest = tmp_path / "d/manifest.json"
    assert run("check", manifest, "--data", tmp_path / "d", "--json") == 1
    told = json.loads(capsys.readouterr().out)
    assert told["counts"]["blocks"] == 1
    assert (told["findings"][0]["rule"], told["findings"][0]["case"]) == ("missing", "phantom_002")
    assert run("check", manifest, "--data", tmp_path / "d", "--fix-report", "--workers", 1) == 1
    assert "- [ ] fetch it (blocks: missing, 1)" in capsys.readouterr().out


def test_check_without_a_manifest_is_one_line_and_exit_code_2(capsys, tmp_path):
    assert run("check", tmp_path / "no.json", "--data", tmp_path) == 2
    assert capsys.readouterr().err.count("\n") == 1
