import numpy as np
import pytest
import torch
from monai.data import DataLoader
from monai.transforms import Compose, Identityd, RandFlipd, RandGaussianNoised
from monai.utils import set_determinism

from medseg.training import CachedDataset

CASES = [{"image": torch.arange(8.0).reshape(1, 2, 2, 2), "case": str(i)} for i in range(4)]


@pytest.fixture
def _seeded():
    set_determinism(0)
    yield
    set_determinism(None)


def noisy():
    steps = [RandFlipd("image", prob=0.5, spatial_axis=0), RandGaussianNoised("image", prob=1.0)]
    return CachedDataset(CASES, Compose([Identityd("image")]), Compose(steps))


@pytest.mark.usefixtures("_seeded")
def test_chance_differs_from_visit_to_visit_even_in_a_seeded_run():
    cases = noisy()
    visits = np.stack([np.asarray(cases[0]["image"]) for _ in range(4)])
    assert len(np.unique(visits.round(6), axis=0)) == 4


@pytest.mark.usefixtures("_seeded")
def test_chance_differs_from_epoch_to_epoch_and_repeats_with_the_seed():
    def two_epochs():
        set_determinism(0)
        loader = DataLoader(noisy(), batch_size=2, num_workers=0)
        return [torch.cat([batch["image"] for batch in loader]) for _ in range(2)]

    first, second = two_epochs()
    assert not torch.equal(first, second)
    assert torch.equal(first, two_epochs()[0])


def test_a_visit_leaves_the_case_as_it_was():
    cases = noisy()
    cases[0]
    assert torch.equal(CASES[0]["image"], torch.arange(8.0).reshape(1, 2, 2, 2))
