"""Weights are read without running code, and only if they are the listed ones."""

from __future__ import annotations

import pickle
import subprocess
from pathlib import Path

import pytest
import torch

from medseg.bundle.recorded import digest, recorded_as, seal, unseal
from medseg.bundle.weights import (
    changed_files,
    check_listed,
    check_sums,
    load_weights,
    read_sums,
    read_weights,
    write_sums,
)
from medseg.errors import BundleError
from tests.bundle import toy


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    root = toy.write(tmp_path / "toy")
    torch.save({"w": torch.zeros(2)}, root / "models" / "model.pt")
    write_sums(root)
    return root


def test_both_lists_are_what_sha256sum_reads(bundle: Path) -> None:
    for folder in (bundle, bundle / "models"):
        done = subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=folder, check=False)
        assert done.returncode == 0
    assert (check_sums(bundle), changed_files(bundle)) == (1, [])


def test_a_changed_a_new_and_a_missing_file_are_each_told(bundle: Path) -> None:
    (bundle / "docs" / "README.md").write_text("other")
    (bundle / "new").write_text("x")
    (bundle / "LICENSE").unlink()
    told = ["LICENSE is missing", "docs/README.md is changed", "new is not listed"]
    assert changed_files(bundle) == told


def test_results_of_runs_are_no_change(bundle: Path) -> None:
    (bundle / "eval").mkdir()
    (bundle / "eval" / "x.nii.gz").write_text("x")
    assert changed_files(bundle) == []


def test_other_weights_under_the_listed_name_are_refused(bundle: Path) -> None:
    torch.save({"w": torch.ones(2)}, bundle / "models" / "model.pt")
    with pytest.raises(BundleError, match=r"model\.pt has sha256 .*--sums"):
        check_sums(bundle)


def test_weights_that_are_not_listed_are_refused_where_there_is_a_list(bundle: Path) -> None:
    torch.save({}, bundle / "models" / "other.pt")
    with pytest.raises(BundleError, match="not listed"):
        check_listed(bundle / "models" / "other.pt", bundle)
    (bundle / "models" / "SHA256SUMS").unlink()
    assert check_listed(bundle / "models" / "other.pt", bundle) is None


def test_an_empty_list_says_that_no_weights_belong_there(bundle: Path) -> None:
    (bundle / "models" / "SHA256SUMS").write_text("")
    with pytest.raises(BundleError, match="not listed"):
        check_sums(bundle)


@pytest.mark.parametrize(
    "line", ["nonsense", f"{'0' * 64}  ../x", f"{'0' * 64}  /etc/passwd", f"{'g' * 64}  x"]
)
def test_a_list_that_leads_outside_or_is_no_list_is_an_error(bundle: Path, line: str) -> None:
    (bundle / "models" / "SHA256SUMS").write_text(line + "\n")
    with pytest.raises(BundleError, match="SHA256SUMS:1"):
        read_sums(bundle)


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_pickle_that_names_more_than_tensors_is_refused(tmp_path: Path, protocol: int) -> None:
    toy.archive(tmp_path / "x.pt", pickle.dumps(print, protocol=protocol))
    with pytest.raises(BundleError, match="print"):
        read_weights(tmp_path / "x.pt")


def test_safetensors_are_read(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"w": torch.arange(3.0)}, tmp_path / "x.safetensors")
    assert load_weights(tmp_path / "x.safetensors")["w"].tolist() == [0, 1, 2]
    (tmp_path / "x.safetensors").write_bytes(b"\xff" * 40)
    with pytest.raises(BundleError, match="damaged"):
        load_weights(tmp_path / "x.safetensors")


def test_a_bundle_trained_from_a_recorded_one_is_remembered_and_from_a_stranger_s_is_not(
    bundle: Path,
) -> None:
    unseal(bundle)
    assert read_sums(bundle) == {}
    seal(bundle, known=False)
    assert (recorded_as(digest(bundle)), changed_files(bundle)) == ("", [])
    seal(bundle, known=True)
    assert recorded_as(digest(bundle)) == "toy"


def test_weights_do_not_change_the_digest_and_a_letter_of_a_config_does(bundle: Path) -> None:
    before = digest(bundle)
    (bundle / "configs" / "overrides.json").write_text("{}")
    torch.save({}, bundle / "models" / "model.pt")
    assert digest(bundle) == before
    toy.edit(bundle / "configs" / "train.json", lambda config: config.update(val_interval=2))
    assert digest(bundle) != before
