"""A verb runs the id of its name, or `run` in bundles of the model zoo, which have no other."""

import pytest

from medseg.bundle.run import _run_id


@pytest.mark.parametrize(
    ("ids", "verb", "run"),
    [
        (["run", "training"], "train", "training"),
        (["run"], "train", "run"),
        (["run", "evaluating"], "evaluating", "evaluating"),
        (["run", "training"], "predict", "run"),
    ],
)
def test_the_verb_s_own_id_is_run_where_there_is_one(ids, verb, run):
    assert _run_id(ids, verb) == run
