"""How long `medseg data check` takes and how much memory, over a growing number of cases.

    python benchmarks/data_check.py --data DIR --manifest M      # the cases of M again and again, by links
    python benchmarks/data_check.py --phantoms 96                # phantoms of 96 voxels an edge, 4 channels
    python benchmarks/data_check.py --cases 10 40 --phantoms 16  # small, to see that it runs

Each row is one run in a process of its own: wall seconds, processor seconds of all its processes, and the
most memory that one process held. Memory is flat where the last two columns do not grow with the cases.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from medseg.data import Manifest, read_manifest, write_manifest

WORKERS = 2


def repeated(known: Manifest, source: Path, folder: Path, n_cases: int) -> Path:
    """A manifest of so many cases whose files are links to those of another one, case after case."""
    items = []
    for number in range(n_cases):
        case = known.items[number % len(known.items)]
        names = {path: f"{number}/{path}" for _, path, _ in case.files()}
        for path, link in names.items():
            (folder / link).parent.mkdir(parents=True, exist_ok=True)
            (folder / link).symlink_to((source / path).resolve())
        label = None if case.label is None else names[case.label]
        image = tuple(names[p] for p in case.image)
        items.append(replace(case, case=f"{number}", patient=f"{number}", image=image, label=label))
    return write_manifest(known.with_cases(tuple(items)), folder / "manifest.json")


def one_run(manifest: Path, folder: Path) -> dict[str, float]:
    """Figures of one check, taken in this process and its children."""
    from medseg.data.checking import check

    begin = time.monotonic()
    report = check(read_manifest(manifest), folder, workers=WORKERS)
    own, children = (resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return {
        "wall_s": time.monotonic() - begin,
        "cpu_s": sum(u.ru_utime + u.ru_stime for u in (own, children)),
        "main_mb": own.ru_maxrss / 1024,
        "worker_mb": children.ru_maxrss / 1024,
        "files": report.n_files,
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, nargs="+", default=[25, 250])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--manifest", type=Path)
    parser.add_argument("--phantoms", type=int, default=64)
    parser.add_argument("--one", nargs=2, type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one_run(*options.one)))
        return
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        if options.data:
            known, source = read_manifest(options.manifest), options.data
        else:
            from medseg.data.phantoms import write_phantoms

            source = root / "phantoms"
            known = read_manifest(write_phantoms(source, 10, size=options.phantoms))
        print(f"{WORKERS} workers")
        print(f"{'cases':>8}{'files':>8}{'wall s':>9}{'cpu s':>9}{'main MB':>9}{'worker MB':>11}")
        for n_cases in options.cases:
            folder = root / f"{n_cases}"
            manifest = repeated(known, source, folder, n_cases)
            command = [sys.executable, __file__, "--one", str(manifest), str(folder)]
            run = subprocess.run(command, check=True, capture_output=True, text=True)
            f = json.loads(run.stdout)
            print(
                f"{n_cases:8}{f['files']:8.0f}{f['wall_s']:9.1f}{f['cpu_s']:9.1f}"
                f"{f['main_mb']:9.0f}{f['worker_mb']:11.0f}"
            )


if __name__ == "__main__":
    main()
