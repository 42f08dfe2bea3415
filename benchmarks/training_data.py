"""How many training samples a second: MONAI's plain recipe against the cached, crop-first one.

    python benchmarks/training_data.py [--samples 6] [--size 240 240 155]

One synthetic case of four channels (noise and a ball) in one process, patches of 96^3. Both recipes cut a
patch about a structure, turn, scale and bend it, and add noise. CPU seconds are counted, so a busy machine
hardly matters; one thread, as in a loader's worker process.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from monai import transforms as m
from monai.data import Dataset

from medseg.training import CachedDataset
from medseg.transforms import ForegroundPointsd, RandNoised, RandPatchd

KEYS = ["image", "label"]
PATCH = (96, 96, 96)


def write_case(folder: Path, size: tuple[int, ...]) -> dict[str, Any]:
    """A synthetic case on disk: four gzipped channels with noise, and a label map of two structures."""
    chance = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in size], indexing="ij"))
    radius = np.sqrt((grid**2).sum(0))
    label = (radius < 0.4).astype(np.int16) + (radius < 0.2)
    paths = []
    for channel in range(4):
        image = np.where(radius < 0.8, 500 + 100 * label + chance.normal(0, 30, size), 0).astype(np.int16)
        paths.append(str(folder / f"channel{channel}.nii.gz"))
        nib.save(nib.Nifti1Image(image, np.eye(4)), paths[-1])
    nib.save(nib.Nifti1Image(label.astype(np.uint8), np.eye(4)), folder / "label.nii.gz")
    return {"case": "synthetic", "image": paths, "label": str(folder / "label.nii.gz")}


def preprocessing() -> list[Any]:
    """What both recipes do before chance."""
    return [
        m.LoadImaged(KEYS, reader="NibabelReader"),
        m.EnsureChannelFirstd(KEYS),
        m.NormalizeIntensityd("image", nonzero=True, channel_wise=True),
        m.EnsureTyped(KEYS, dtype=[torch.float32, torch.uint8]),
    ]


def plain_recipe(row: dict[str, Any]) -> Dataset:
    """MONAI's tutorials' way: load, crop, turn, bend, noise at each visit."""
    chance = [
        m.RandCropByPosNegLabeld(KEYS, label_key="label", spatial_size=PATCH, pos=1, neg=1, num_samples=1),
        m.RandAffined(
            KEYS, prob=1.0, rotate_range=[0.35] * 3, scale_range=[0.2] * 3, mode=["bilinear", "nearest"]
        ),
        m.Rand3DElasticd(
            KEYS, prob=1.0, sigma_range=(5, 7), magnitude_range=(50, 150), mode=["bilinear", "nearest"]
        ),
        m.RandGaussianNoised("image", prob=1.0, std=0.1),
    ]
    return Dataset([row], m.Compose([*preprocessing(), *chance]))


def crop_first_recipe(row: dict[str, Any], cache: str | None) -> CachedDataset:
    """Ours: prepared once, one interpolation for all deformations of the patch alone."""
    chance = [
        RandPatchd(KEYS, PATCH, rotate=0.35, scale=0.2, elastic=6.0, elastic_grid=24),
        RandNoised("image", prob=1.0, std=(0.1, 0.1)),
    ]
    prepare = m.Compose([*preprocessing(), ForegroundPointsd("label")])
    return CachedDataset([row], prepare, m.Compose(chance), cache_dir=cache)


def per_sample(samples: Callable[[int], Any], n: int) -> tuple[float, float]:
    """CPU and wall seconds for each of `n` samples, after one to get warm."""
    samples(0)
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(n):
        samples(0)
    return (time.process_time() - cpu) / n, (time.perf_counter() - wall) / n


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--samples", type=int, default=6)
    parser.add_argument("--size", type=int, nargs=3, default=[240, 240, 155])
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        row = write_case(folder, tuple(options.size))
        recipes = {
            "MONAI, plain": plain_recipe(row),
            "MONAI, plain, cases in memory": _in_memory(row),
            "medseg, mapped files": crop_first_recipe(row, str(folder / "cache")),
            "medseg, in memory": crop_first_recipe(row, None),
        }
        print("| recipe | CPU ms per sample | wall ms | samples per CPU second | times the plain one |")
        print("|---|---|---|---|---|")
        first = 0.0
        for told, dataset in recipes.items():
            cpu, wall = per_sample(dataset.__getitem__, options.samples)
            first = first or cpu
            print(f"| {told} | {1000 * cpu:.0f} | {1000 * wall:.0f} | {1 / cpu:.2f} | {first / cpu:.1f} |")


def _in_memory(row: dict[str, Any]) -> Dataset:
    plain = plain_recipe(row).transform.transforms
    n = len(preprocessing())
    prepared = m.Compose(plain[:n])(row)
    return Dataset([prepared], m.Compose(plain[n:]))


if __name__ == "__main__":
    main()
