"""How a cohort scales on this machine: start-up, seconds a case, and the ratio of two workers to one.

    python benchmarks/cohort.py BUNDLE [--size 160 160 96] [--cases 2 6] [--ray]

Each line is `medseg predict` in a process of its own on copies of one phantom; the time of a case is the
slope between a small and a larger cohort, the start-up what is left. One thread per worker, so that workers
are compared and not threads.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import nibabel as nib
import numpy as np


def phantom(path: Path, size: tuple[int, ...]) -> None:
    """Write a ball in air, with noise."""
    rng = np.random.default_rng(0)
    values = rng.normal(0, 30, size)
    grid = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in size), indexing="ij"))
    values += np.where((grid**2).sum(0) < 0.6, 60, -900)
    image = nib.Nifti1Image(values.astype(np.int16), np.diag([1.0, 1.0, 1.0, 1.0]))
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(image, path)


def wall_s(bundle: Path, scans: Path, n: int, *options: str) -> float:
    """Seconds of `medseg predict` on the first ``n`` scans."""
    with tempfile.TemporaryDirectory() as out:
        given = [arg for path in sorted(scans.iterdir())[:n] for arg in ("-i", str(path))]
        command = [sys.executable, "-m", "medseg", "predict", str(bundle), *given, "-o", out, *options]
        start = perf_counter()
        subprocess.run(command, check=True, capture_output=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
        return perf_counter() - start


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--size", type=int, nargs=3, default=(160, 160, 96))
    parser.add_argument("--cases", type=int, nargs=2, default=(2, 6))
    parser.add_argument("--ray", action="store_true")
    given = parser.parse_args()
    few, many = given.cases
    ways = {"1 process": (), "2 processes": ("--workers", "2")}
    if given.ray:
        ways["2 Ray workers"] = ("--ray", "local", "--workers", "2")
    with tempfile.TemporaryDirectory() as folder:
        scans = Path(folder)
        phantom(scans / "s0.nii.gz", tuple(given.size))
        for i in range(1, many):
            shutil.copy(scans / "s0.nii.gz", scans / f"s{i}.nii.gz")
        # The first run compiles what is kept for all others.
        wall_s(given.bundle, scans, 1)
        first = None
        size = "x".join(map(str, given.size))
        print(f"| {size} voxels | start-up s | s a case | ratio | core hours per 1000 |")
        print("|---|---|---|---|---|")
        for name, options in ways.items():
            short, long = (wall_s(given.bundle, scans, n, *options) for n in (few, many))
            case_s = (long - short) / (many - few)
            first = first or case_s
            cores = 1 if name == "1 process" else 2
            hours = case_s * cores * 1000 / 3600
            print(
                f"| {name} | {short - few * case_s:.1f} | {case_s:.2f} | {first / case_s:.2f} | {hours:.2f} |"
            )


if __name__ == "__main__":
    main()
