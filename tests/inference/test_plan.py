"""Averaging, slices, empty windows, and the memory that is told beforehand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from medseg.errors import MedsegError
from medseg.inference.averaging import Mirroring, averaged
from medseg.inference.decision import Decision
from medseg.inference.engine import label_blocks, label_volume
from medseg.inference.memory import Load, MemoryLimitError, parse_size, ways_of_running, within
from medseg.inference.plan import Plan
from medseg.inference.slabs import VolumeSource
from medseg.inference.wayback import WayBack, axis_map, way_back
from medseg.inference.windows import Windows


def same_grid(*shape: int) -> WayBack:
    maps = [axis_map(np.arange(n) * 1.0, a, n, box=(0.0, n - 1.0)) for a, n in enumerate(shape)]
    return WayBack(tuple(maps), shape)


def labels(volume: torch.Tensor, network: object, windows: Windows, decision: Decision) -> np.ndarray:
    way = same_grid(*volume.shape[1:])
    return label_volume(label_blocks(VolumeSource(volume), network, windows, way, decision), way.shape)  # type: ignore[arg-type]


def side(windows: torch.Tensor) -> torch.Tensor:
    """Background, left and right by the position of a bright voxel: not symmetric by itself."""
    n = windows.shape[2]
    ramp = torch.linspace(-1, 1, n).view(1, 1, n, 1, 1).expand_as(windows)
    return torch.cat([0.5 - windows, windows * (ramp < 0), windows * (ramp > 0)], 1)


def test_mirrored_views_with_swapped_pairs_agree_with_a_network_that_tells_sides() -> None:
    x = (torch.rand((2, 1, 6, 4, 4)) > 0.5).float()
    mirroring = Mirroring((0, 1), left_right=0, pairs=((1, 2),))
    mean = averaged([side], Decision("softmax"), mirroring)(x)
    torch.testing.assert_close(mean, torch.softmax(side(x), 1))


def test_mirrored_views_without_swapping_mix_left_and_right() -> None:
    x = torch.ones((1, 1, 6, 4, 4))
    mean = averaged([side], Decision("softmax"), Mirroring((0,)))(x)
    torch.testing.assert_close(mean[:, 1], mean[:, 2])


def test_a_2d_network_over_slices_gives_each_slice_its_own_labels() -> None:
    volume = torch.randn((1, 7, 6, 5))
    network = torch.nn.Conv2d(1, 3, 3, padding=1).requires_grad_(False)
    plan = Plan(Windows((7, 6, 1), 0.0), slice_axis=2)
    expected = [network(volume[None, ..., k])[0].argmax(0) for k in range(5)]
    got = labels(volume, plan.scoring([network]), plan.windows, plan.decision)
    np.testing.assert_array_equal(got, torch.stack(expected, -1).numpy())


def test_windows_without_content_are_background_and_never_run() -> None:
    volume = torch.zeros((1, 8, 8, 24))
    volume[..., 16:] = 1
    seen = []

    def network(windows: torch.Tensor) -> torch.Tensor:
        seen.append(float(windows.max()))
        return torch.cat([torch.zeros_like(windows), torch.ones_like(windows)], 1)

    got = labels(volume, network, Windows((8, 8, 8), 0.0, skip_below=0.0), Decision("softmax"))
    np.testing.assert_array_equal(got, volume[0].numpy().astype(np.uint8))
    # One window tells the number of channels, one has content.
    assert seen == [0.0, 1.0]


def test_regions_are_painted_in_their_order() -> None:
    volume = torch.linspace(-1, 1, 9).view(1, 1, 1, 9)
    decision = Decision("sigmoid", 0.5, numbers=(2, 4))
    got = labels(volume, lambda x: torch.cat([x, x - 0.5], 1), Windows((1, 1, 9), 0.0), decision)
    assert got.ravel().tolist() == [0, 0, 0, 0, 2, 2, 4, 4, 4]


def ct(n_slices: int) -> tuple[WayBack, tuple[int, int, int]]:
    shape = (273, 273, int(n_slices * 1.5))
    way = way_back(np.diag([0.8, 0.8, 3, 1.0]), (512, 512, n_slices), np.diag([1.5, 1.5, 2, 1.0]), shape)
    return way, shape


def test_the_predicted_peak_is_flat_in_the_number_of_slices() -> None:
    load = Load(600 << 20, 300 << 20, 78 << 20, 1, 14, True)
    peaks = []
    for n_slices in (150, 300, 600):
        way, shape = ct(n_slices)
        demand = within(3 << 30, ways_of_running(load, Windows((96, 96, 96), 0.5), way, shape))
        peaks.append(demand.peak_bytes)
    assert max(peaks) < 1.1 * min(peaks)


def test_a_lower_limit_takes_more_strips_until_none_will_do() -> None:
    load = Load(600 << 20, 100 << 20, 78 << 20, 1, 105, True)
    way, shape = ct(150)
    ways = list(ways_of_running(load, Windows((96, 96, 96), 0.5), way, shape))
    assert within(None, iter(ways)).n_strips == 1
    assert within(3 << 30, iter(ways)).n_strips > 1
    with pytest.raises(MemoryLimitError, match="at least"):
        within(700 << 20, iter(ways))


@pytest.mark.parametrize(
    ("text", "size"), [("4G", 4 << 30), ("800m", 800 << 20), ("1.5GiB", 3 << 29), ("4096", 4096)]
)
def test_sizes_are_read(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "much", "-1G", "0"])
def test_what_is_no_size_is_told(text: str) -> None:
    with pytest.raises(MedsegError):
        parse_size(text)
