"""What docs/tutorial.md says of real scans: planted copies and exchanged channels are found, others not."""

import copy
import os
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from medseg.data.channels import channel_findings
from medseg.data.checking import _request
from medseg.data.child import HERE
from medseg.data.duplicates import duplicate_findings
from medseg.data.profile import profile, thumb
from medseg.data.reading import examine
from medseg.data.scanning import scan

pytestmark = pytest.mark.data


def profiles(name, n_cases):
    folder = Path(os.environ["MEDSEG_TEST_DATA"]) / name
    manifest, _ = scan(folder, reader=HERE, hashes=False)
    return (
        manifest,
        folder,
        [profile(_request(manifest, folder, c, False, False), HERE) for c in manifest.items[:n_cases]],
    )


def test_copies_of_hippocampus_scans_are_found_and_different_scans_are_not_accused():
    _, folder, known = profiles("msd_hippocampus", 60)
    assert duplicate_findings(known) == []
    rng = np.random.default_rng(0)
    found = 0
    for p in known[:40:4]:
        image, _ = examine(folder / p.channels[0].file, reader=HERE)
        x = image.array.astype(float)
        noise = x.std() * rng.standard_normal(x.shape)
        for changed in (x + 0.05 * noise, x + 0.2 * noise, 3 * x + 7, x**0.8, x[1:, 1:, 1:], x[:, 1:]):
            channel = replace(p.channels[0], thumb=thumb(image, changed), content="changed")
            twin = replace(p, case="copy", channels=[channel])
            accused = [(f.case, p.case in f.found) for f in duplicate_findings([*known, twin])]
            found += accused == [("copy", True)]
    assert found == 60


@pytest.mark.slow
def test_every_exchange_of_two_channels_of_brats_is_found_and_no_other_case_is_accused():
    manifest, _, known = profiles("brats2018", 12)
    assert channel_findings(manifest, known) == []
    found = 0
    for number, (a, b) in ((n, pair) for n in range(12) for pair in combinations(range(4), 2)):
        changed = copy.deepcopy(known)
        victim = changed[number]
        victim.channels[a], victim.channels[b] = victim.channels[b], victim.channels[a]
        for s in victim.structures:
            s.intensity[a], s.intensity[b] = s.intensity[b], s.intensity[a]
        found += [f.case for f in channel_findings(manifest, changed)] == [victim.case]
    assert found == 72
