"""Checking takes the memory of a case, however many there are."""

import re
import subprocess
import sys
from pathlib import Path

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "data_check.py"
CASE_MB = 1.0  # four channels and a label map of 48 x 48 x 48 voxels, at the least


def test_six_times_as_many_cases_take_no_more_memory():
    # The benchmark takes each figure in a process of its own, whose peak is not that of this one.
    command = [sys.executable, str(BENCHMARK), "--phantoms", "48", "--cases", "8", "48"]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    few, many = [[float(n) for n in re.findall(r"[\d.]+", line)] for line in shown.splitlines()[2:]]
    assert (few[0], many[0]) == (8, 48)
    for held_by_few, held_by_many in zip(few[-2:], many[-2:], strict=True):
        assert held_by_many < held_by_few + 0.5 * (48 - 8) * CASE_MB
