"""Splits keep patients whole, spread strata, obey the shares, and come out of the seed."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medseg.data import Case, Manifest
from medseg.data.splits import split, strata_of
from medseg.errors import ManifestError


def manifest(patients, test=()):
    items = [Case(f"c{n}", f"p{p}", (f"{n}.nii",), split="training") for n, p in enumerate(patients)]
    items += [Case(f"t{n}", f"p{p}", (f"t{n}.nii",), split="test") for n, p in enumerate(test)]
    return Manifest("m", "1", ("MR",), {"x": 1}, items=tuple(items))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 3), min_size=12, max_size=25), st.integers(0, 99))
def test_no_patient_is_ever_in_two_splits_or_two_folds(sizes, seed):
    patients = [n for n, size in enumerate(sizes) for _ in range(size)]
    dealt = split(manifest(patients), validation=0.2, test=0.2, n_folds=3, seed=seed)
    assert len(dealt.items) == len(patients)
    assert len({(c.patient, c.split) for c in dealt.items}) == len(set(patients))
    folds = {(c.patient, c.fold) for c in dealt.items if c.split != "test"}
    assert len(folds) == len({c.patient for c in dealt.items if c.split != "test"})
    assert all((c.fold is None) is (c.split == "test") for c in dealt.items)


def test_the_shares_are_met_when_patients_are_single():
    counts = Counter(c.split for c in split(manifest(range(100)), validation=0.2, test=0.1).items)
    assert counts == {"training": 70, "validation": 20, "test": 10}


def test_one_seed_deals_the_same_and_another_otherwise():
    known = manifest(range(30))
    assert split(known, seed=1) == split(known, seed=1)
    assert split(known, seed=1) != split(known, seed=2)


def test_each_stratum_is_spread_in_proportion():
    known = manifest(range(50))
    strata = {f"c{n}": "rare" if n < 10 else "common" for n in range(50)}
    dealt = split(known, validation=0.2, n_folds=5, strata=strata)
    assert sum(strata[c.case] == "rare" for c in dealt.cases("validation")) == 2
    assert Counter(c.fold for c in dealt.items if strata[c.case] == "rare") == dict.fromkeys(range(5), 2)


def test_a_test_split_that_is_there_stays_and_takes_its_patients_along():
    dealt = split(manifest(range(10), test=(0, 11)), validation=0.2)
    assert {c.case for c in dealt.cases("test")} == {"t0", "t1", "c0"}


def test_a_test_split_is_dealt_anew_when_asked():
    dealt = split(manifest(range(10), test=range(10, 20)), validation=0.2, test=0.2, keep_test=False)
    assert len(dealt.cases("test")) == 4


@pytest.mark.parametrize("options", [{"validation": 1.0}, {"validation": 0.6, "test": 0.5}, {"n_folds": 9}])
def test_what_cannot_be_dealt_is_an_error(options):
    with pytest.raises(ManifestError):
        split(manifest(range(4)), **options)


def test_strata_tell_which_structures_and_how_large():
    found = strata_of({"a": {1: 5.0}, "b": {1: 50.0}, "c": {1: 500.0, 2: 1.0}, "d": {}})
    assert found["a"].startswith("1|")
    assert found["c"].startswith("1,2|")
    assert len(set(found.values())) == 4
