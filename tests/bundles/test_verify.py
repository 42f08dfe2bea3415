"""`medseg verify` on every bundle that we ship: each step passes, nothing is skipped."""

from pathlib import Path

import pytest

from medseg.bundle.verify import verify

ROOT = Path(__file__).parents[2]
# A bundle without weights is on test_contract's list of those to come.
BUNDLES = sorted(path.parents[1] for path in ROOT.glob("bundles/*/models/model.pt"))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)
def test_every_step_of_verify_passes_on_a_shipped_bundle(bundle):
    assert [str(step) for step in verify(bundle) if step.status != "passed"] == []
