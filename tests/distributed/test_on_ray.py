from __future__ import annotations

import filecmp
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from medseg.distributed.job import Job
from medseg.distributed.run import run_cohort
from medseg.distributed.spread import Work, results_of
from medseg.evaluation import Inputs, evaluate
from medseg.inference.cases import Case
from medseg.inference.intake import gather
from tests.distributed.workers import MortalScorer, MortalWorker
from tests.toy_bundle import write_bundle, write_scan


@pytest.fixture
def cohort(tmp_path: Path) -> tuple[Path, Path]:
    bundle = write_bundle(tmp_path / "toy")
    for i in range(5):
        write_scan(tmp_path / "scans" / f"s{i}.nii.gz", (12, 11, 10), seed=i)
    return bundle, tmp_path / "scans"


def cases_of(scans: Path, output: Path) -> list[Case]:
    return gather([str(scans)], output)


# Ray's own sockets and its use of deprecated calls are not ours to mend.
@pytest.mark.filterwarnings("default")
@pytest.mark.slow
def test_two_ray_workers_one_killed_give_the_files_of_a_single_process(
    cohort: tuple[Path, Path], tmp_path: Path
) -> None:
    bundle, scans = cohort
    alone, spread = tmp_path / "alone", tmp_path / "spread"
    done = run_cohort(Job((bundle,), alone), cases_of(scans, alone), alone)
    assert [outcome.status for outcome in done] == ["done"] * 5
    job = Job((bundle,), spread)
    mortal = partial(MortalWorker, job, "s2", spread / ".died")
    work = Work(mortal, cases_of(scans, spread), lambda case: case)
    outcomes = list(results_of(work, n_workers=2, ray_address="local"))
    assert (spread / ".died").exists()
    assert sorted((o.case.name, o.status) for o in outcomes) == [(f"s{i}", "done") for i in range(5)]
    names = [f"s{i}{ending}" for i in range(5) for ending in (".nii.gz", ".volumes.csv")]
    assert sorted(p.name for p in spread.iterdir() if not p.name.startswith(".")) == sorted(names)
    assert filecmp.cmpfiles(alone, spread, names, shallow=False) == (names, [], [])


@pytest.mark.filterwarnings("default")
@pytest.mark.slow
def test_two_ray_workers_one_killed_give_the_scores_of_a_single_process(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for folder in ("predictions", "references"):
        (tmp_path / folder).mkdir()
        for i in range(4):
            labels = nib.Nifti1Image(rng.integers(0, 3, (6, 7, 8), np.uint8), np.eye(4))
            nib.save(labels, tmp_path / folder / f"case_{i}.nii.gz")
    marker = tmp_path / "died"

    def spread_mortally(pairs, protocol):
        work = Work(partial(MortalScorer, protocol, "case_2", marker), pairs, lambda pair: pair)
        return results_of(work, n_workers=2, ray_address="local")

    inputs = Inputs(tmp_path / "predictions", tmp_path / "references")
    evaluate(inputs, tmp_path / "alone")
    evaluate(inputs, tmp_path / "spread", spread=spread_mortally)
    assert marker.exists()
    tables = ["cases.csv", "summary.csv"]
    assert filecmp.cmpfiles(tmp_path / "alone", tmp_path / "spread", tables, shallow=False) == (
        tables,
        [],
        [],
    )
