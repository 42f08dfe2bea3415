"""Eight bits: nearly the same labels, and told how nearly."""

from __future__ import annotations

import pytest
import torch

from medseg.inference.decision import Decision
from medseg.inference.int8 import busiest_windows, dice_cost, in_words, int8_network
from medseg.inference.slabs import VolumeSource
from medseg.inference.tiling import Tiling
from medseg.inference.torch_runtime import torch_network
from medseg.inference.windows import Windows


def test_a_network_in_eight_bits_gives_nearly_the_same_labels() -> None:
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv3d(1, 8, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv3d(8, 3, 3, padding=1)
    ).eval()
    windows = [torch.randn((1, 1, 8, 8, 8)) for _ in range(3)]
    rounded = int8_network(network, windows)
    difference = (rounded(windows[0]) - torch_network(network)(windows[0])).abs().max()
    assert 0 < float(difference) < 0.05
    cost = dice_cost(torch_network(network), rounded, windows, Decision())
    assert set(cost) == {1, 2}
    assert 0.95 < min(cost.values()) <= 1


def shifted(windows: torch.Tensor) -> torch.Tensor:
    """Two regions; the second holds where the input is positive."""
    return torch.cat([windows - 100, windows], 1)


@pytest.mark.parametrize(("offset", "dice"), [(0.0, 1.0), (2.0, 2 / 3)])
def test_the_cost_is_the_dice_of_channels_that_are_there(offset: float, dice: float) -> None:
    window = torch.tensor([1.0, -1.0, 1.0, -1.0]).view(1, 1, 4)
    cost = dice_cost(shifted, lambda x: shifted(x + offset), [window], Decision("sigmoid", 0.5))
    assert cost == {1: pytest.approx(dice)}
    assert f"{dice:.4f}" in in_words(cost)


def test_ranges_are_taken_from_windows_with_most_to_see() -> None:
    volume = torch.zeros((1, 8, 8, 24))
    volume[:, 4:, :4, 8:16] = torch.randn((1, 4, 4, 8))
    tiling = Tiling(Windows((4, 4, 8), 0.0), (8, 8, 24), 2)
    first, *others = busiest_windows(VolumeSource(volume), tiling)
    torch.testing.assert_close(first[0], volume[:, 4:, :4, 8:16])
    assert [float(window.abs().max()) for window in others] == [0.0] * 3
