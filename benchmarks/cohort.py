"""How a cohort scales on this machine: start-up, seconds a case, and the ratio of two workers to one.

    python benchmarks/cohort.py BUNDLE [--size 160 160 96] [--cases 2 6] [--ray]

Each line is `medseg predict` in a process of its own on copies of one phantom; the time of a case is the
slope between a small and a larger cohort, the start-up what is left. One thread per worker, so that workers
are compared and not threads.
"""

from __future__ import annotations

import argparse
import os
import resource
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


def spent_s(bundle: Path, scans: Path, n: int, *options: str) -> tuple[float, float]:
    """Wall and processor seconds of `medseg predict` on the first ``n`` scans."""
    with tempfile.TemporaryDirectory() as out:
        given = [arg for path in sorted(scans.iterdir())[:n] for arg in ("-i", str(path))]
        command = [sys.executable, "-m", "medseg", "predict", str(bundle), *given, "-o", out, *options]
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), perf_counter()
        subprocess.run(command, check=True, capture_output=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
        wall, after = perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
        return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


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
        spent_s(given.bundle, scans, 1)
        print(f"{'x'.join(map(str, given.size))} voxels, load {os.getloadavg()[0]:.1f}")
        print("| workers | start-up wall s | wall s a case | start-up CPU s | CPU s a case | ratio of wall |")
        print("|---|---|---|---|---|---|")
        first = None
        for name, options in ways.items():
            short, long = (spent_s(given.bundle, scans, n, *options) for n in (few, many))
            wall, cpu = ((b - a) / (many - few) for a, b in zip(short, long, strict=True))
            first = first or wall
            starts = f"{short[0] - few * wall:.1f} | {wall:.2f} | {short[1] - few * cpu:.1f} | {cpu:.2f}"
            print(f"| {name} | {starts} | {first / wall:.2f} |", flush=True)


if __name__ == "__main__":
    main()
