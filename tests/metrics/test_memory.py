"""Scoring needs little more memory than the two label maps."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import re
from pathlib import Path
import numpy as np
from medseg.metrics import score

def labels(n):
    out = np.full((n, n, n), 0, np.uint8, order="F")
    out[n // 4 : n // 2, n // 4 : n // 2, n // 4 : n // 2] = 1
    return out

def peak():
    # ru_maxrss begins at what the parent process held when it forked; VmHWM is this process's own.
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text()).group(1)) * 1024

score(labels(16), labels(16), {"it": 1}, (1.0, 1.0, 1.0))
before = peak()
one, other = labels(320), labels(320)
other[:, :, 100] = 0
score(other, one, {"it": 1}, (1.0, 1.0, 1.0))
print((peak() - before) / (one.nbytes + other.nbytes))
"""


def test_peak_memory_stays_under_three_times_the_two_label_maps() -> None:
    found = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert 0.9 < float(found.stdout) < 3
