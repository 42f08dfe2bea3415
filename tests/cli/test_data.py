"""`medseg data` on the command line."""

import shutil
import subprocess
import sys

import pytest

from medseg.cli.app import main
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
