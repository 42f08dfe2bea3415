"""`--max-ram` where it counts: under a limit of the system's own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.toy_bundle import config, write_bundle, write_scan

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS holds on Linux alone")
def test_a_scan_too_large_for_the_plain_path_gets_the_same_labels_within_a_hard_limit(tmp_path: Path) -> None:
    content = config(n_classes=24)
    content["inferer"].update(roi_size=[32, 32, 32], overlap=0.25)
    content["preprocessing"]["transforms"][-1] = {
        "_target_": "monai.transforms.ScaleIntensityRanged",
        "keys": "image",
        "a_min": 0.0,
        "a_max": 2000.0,
        "b_min": -2.0,
        "b_max": 2.0,
    }
    bundle = write_bundle(tmp_path / "toy", content)
    scan = write_scan(tmp_path / "scan.nii.gz", (150, 150, 110))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.inference.limited", bundle, scan, tmp_path],
        cwd=ROOT,
        # One arena, because each thread's reserves address space that is never used.
        env={**os.environ, "MALLOC_ARENA_MAX": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    # Python, torch's allocator, and oneDNN each have their own words for it.
    assert re.search("MemoryError|alloc|could not create a (primitive|memory)", told["plain"]), told
    assert told["equal"] == "True"
    assert int(told["n_labels"]) > 5
