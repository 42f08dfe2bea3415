"""Our bundles are the recorded ones, so that they open in full mode and every file of them is vouched for."""

import json
from pathlib import Path

import pytest

from medseg.bundle.recorded import digest, shipped
from medseg.bundle.restricted import check
from medseg.bundle.weights import changed_files, check_sums

ROOT = Path(__file__).parents[2]
BUNDLES = sorted(path.parents[1] for path in ROOT.glob("bundles/*/configs/metadata.json"))
DEMO = ROOT / "medseg" / "cli" / "demo_bundle"
MEND = "after changing a bundle say `make record` and commit what it writes"


@pytest.mark.parametrize("bundle", [*BUNDLES, DEMO], ids=lambda path: path.name)
def test_the_package_knows_the_bundle_as_it_is_and_opens_it_in_full_mode(bundle):
    version = json.loads((bundle / "configs" / "metadata.json").read_text())["version"]
    assert shipped().get(digest(bundle)) == f"{bundle.name} {version}", MEND
    assert check(bundle).full


def test_nothing_is_recorded_that_is_not_shipped():
    assert set(shipped()) == {digest(bundle) for bundle in [*BUNDLES, DEMO]}, MEND


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)
def test_every_file_of_the_bundle_is_the_listed_one(bundle):
    assert changed_files(bundle) == [], MEND
    n_weights = sum(path.suffix == ".pt" for path in (bundle / "models").iterdir())
    assert check_sums(bundle, required=True) == n_weights
