import os

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged, ScaleIntensityd

from medseg import training as t

KEYS = ["image", "label"]


class Counting(LoadImaged):
    """Counts in a file beside its data how often it reads, whichever process does."""

    n_read = 0

    def __call__(self, data, **options):
        type(self).n_read += 1
        return super().__call__(data, **options)


@pytest.fixture(autouse=True)
def _none_read():
    Counting.n_read = 0


@pytest.fixture
def rows(tmp_path):
    found = []
    for number in range(3):
        chance = np.random.default_rng(number)
        for name, array in {
            "image": chance.random((6, 5, 4)),
            "label": chance.integers(0, 2, (6, 5, 4)),
        }.items():
            nib.save(
                nib.Nifti1Image(array.astype(np.float32), np.diag([2, 3, 4, 1])),
                tmp_path / f"{name}{number}.nii.gz",
            )
        found.append(
            {"case": str(number), **{name: str(tmp_path / f"{name}{number}.nii.gz") for name in KEYS}}
        )
    return found


def dataset(rows, folder, *, maximum=1.0, cache_gb=1.0):
    steps = [
        Counting(KEYS, reader="NibabelReader"),
        EnsureChannelFirstd(KEYS),
        ScaleIntensityd("image", maxv=maximum),
    ]
    return t.CachedDataset(rows, Compose(steps), labels={"a": 1}, cache_dir=str(folder), cache_gb=cache_gb)


def test_a_second_run_reads_no_source_file_and_gives_the_same(rows, tmp_path):
    first = [case["image"].clone() for case in dataset(rows, tmp_path / "cache")]
    assert Counting.n_read == 3
    again = dataset(rows, tmp_path / "cache")
    assert Counting.n_read == 3
    for before, case in zip(first, again, strict=True):
        assert torch.equal(before, case["image"])
        assert isinstance(case["image"], MetaTensor)
        assert torch.equal(before.affine, case["image"].affine)
        assert before.applied_operations == case["image"].applied_operations


def test_a_changed_file_is_noticed_though_its_time_and_size_are_the_same(rows, tmp_path):
    dataset(rows, tmp_path / "cache")
    source = tmp_path / "image1.nii.gz"
    times = source.stat()
    content = bytearray(source.read_bytes())
    content[4] ^= 1  # the time in the gzip header: other bytes, same voxels
    source.write_bytes(content)
    os.utime(source, ns=(times.st_atime_ns, times.st_mtime_ns))
    dataset(rows, tmp_path / "cache")
    assert Counting.n_read == 4


def test_a_changed_argument_is_noticed(rows, tmp_path):
    dataset(rows, tmp_path / "cache")
    assert float(dataset(rows, tmp_path / "cache", maximum=2.0)[0]["image"].max()) == 2.0
    assert Counting.n_read == 6


def bytes_in(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def two_and_a_half(rows, tmp_path):
    """Gigabytes that hold two and a half cases."""
    dataset(rows[:1], tmp_path / "measured")
    return 2.5 * bytes_in(tmp_path / "measured") / 1e9


def test_it_never_takes_more_than_its_limit(rows, tmp_path, two_and_a_half, capsys):
    cases = dataset(rows, tmp_path / "cache", cache_gb=two_and_a_half)
    assert len(list((tmp_path / "cache").iterdir())) == 2
    assert bytes_in(tmp_path / "cache") <= two_and_a_half * 1e9
    assert "the cache is full" in capsys.readouterr().err
    assert cases[2]["case"] == "2"


def test_room_is_made_by_what_was_used_longest_ago(rows, tmp_path, two_and_a_half):
    dataset(rows[:1], tmp_path / "cache", cache_gb=two_and_a_half)
    old = next((tmp_path / "cache").iterdir())
    os.utime(old / "case.json", (0, 0))
    dataset(rows[1:2], tmp_path / "cache", cache_gb=two_and_a_half)
    dataset(rows[2:], tmp_path / "cache", cache_gb=two_and_a_half)
    assert not old.exists()
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_no_file_of_it_is_a_pickle(rows, tmp_path):
    dataset(rows, tmp_path / "cache")
    files = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".npy", ".json"}
    for path in files:
        if path.suffix == ".npy":
            np.load(path, allow_pickle=False)


@pytest.mark.parametrize("name", ["case.json", "1.npy", "2.npy"])
def test_a_damaged_entry_is_made_anew(rows, tmp_path, name):
    dataset(rows[:1], tmp_path / "cache")
    entry = next((tmp_path / "cache").iterdir())
    torn = entry / name
    torn.write_bytes(torn.read_bytes()[: torn.stat().st_size // 2])
    case = dataset(rows[:1], tmp_path / "cache")[0]
    assert case["image"].shape == (1, 6, 5, 4)
    n_read = Counting.n_read
    dataset(rows[:1], tmp_path / "cache")
    assert Counting.n_read == n_read


def test_what_a_visit_changes_in_place_nobody_else_sees(rows, tmp_path):
    cases = dataset(rows, tmp_path / "cache")
    before = cases[0]["image"].clone()
    cases[0]["image"][:] = 7
    assert torch.equal(cases[0]["image"], before)
