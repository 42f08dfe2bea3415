"""Memory that is kept between windows, seen by the pages that the system has to fill."""

from __future__ import annotations

import subprocess
import sys

import pytest

from medseg.inference.allocation import keep_freed_memory

PROGRAM = """
import resource, sys
import torch
from medseg.inference.allocation import keep_freed_memory, return_freed_memory
from medseg.inference.memory import resident_bytes

torch.set_num_threads(1)
if sys.argv[1] == "kept":
    assert keep_freed_memory()
x = torch.zeros(16 << 20)
for _ in range(4):
    (x + 1) * 2
faults = []
for _ in range(4):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    (x + 1) * 2
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(4 * min(faults))
return_freed_memory()
print(resident_bytes() >> 20)
"""


def faults_and_mib(way: str) -> list[int]:
    done = subprocess.run([sys.executable, "-c", PROGRAM, way], capture_output=True, text=True, check=True)
    return [int(line) for line in done.stdout.split()]


@pytest.mark.skipif(not keep_freed_memory(), reason="glibc alone can be told")
def test_results_of_one_size_are_put_where_the_last_ones_were_and_given_back_when_asked() -> None:
    (plain, without), (kept, held) = faults_and_mib("plain"), faults_and_mib("kept")
    # 128 MB a round, in pages of 4 kB: four times the best of four, for a block may land elsewhere once.
    assert plain > 100_000
    assert kept < plain / 10
    assert held < without + 32
