"""The grid of medseg's own networks, a sample of which runs by default."""

import pytest
import torch


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)
