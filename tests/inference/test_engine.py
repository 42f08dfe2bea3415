"""The engine against volumes computed whole: MONAI's window, then every class interpolated at every voxel."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from monai.inferers import sliding_window_inference
from scipy.ndimage import map_coordinates
from scipy.special import softmax

from medseg.inference.decision import Decision
from medseg.inference.engine import Block, label_blocks, label_volume
from medseg.inference.probabilities import kept, read_back
from medseg.inference.slabs import VolumeSource, moved
from medseg.inference.wayback import WayBack, axis_map
from medseg.inference.windows import Windows


class RandomNetwork(torch.nn.Module):
    """Scores that are noise but for the same window always the same."""

    def __init__(self, n_channels: int, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.conv = torch.nn.Conv3d(1, n_channels, 3, padding=1)

    @torch.no_grad()
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x) * 4


@dataclass
class Setting:
    volume: torch.Tensor
    coordinates: list[np.ndarray]
    native_axes: list[int]
    windows: Windows
    n_channels: int
    seed: int

    @property
    def way(self) -> WayBack:
        """The way back, with the resampled scan filling the grid."""
        shape = self.volume.shape[1:]
        maps = [
            axis_map(c, n, size, box=(0.0, size - 1.0))
            for c, n, size in zip(self.coordinates, self.native_axes, shape, strict=True)
        ]
        native = [0, 0, 0]
        for m in maps:
            native[m.native_axis] = len(m.below)
        return WayBack(tuple(maps), tuple(native))

    def labels(self, decision: Decision, **options: Any) -> np.ndarray:
        """By the engine."""
        return label_volume(self.blocks(decision, **options), self.way.shape)

    def blocks(self, decision: Decision, **options: Any) -> Iterator[Block]:
        """The engine's."""
        network = RandomNetwork(self.n_channels, self.seed)
        return label_blocks(VolumeSource(self.volume), network, self.windows, self.way, decision, **options)

    def plain(self, decision: Decision) -> np.ndarray:
        """By MONAI's window and scipy's interpolation of every class."""
        native = self.plain_scores(decision)
        codes = native.argmax(0) if decision.threshold is None else _bits(native >= decision.threshold)
        return codes.transpose(np.argsort(self.native_axes))

    def plain_scores(self, decision: Decision) -> np.ndarray:
        """Activated scores at every voxel, shape (channel, …) with axes as on the grid."""
        w = self.windows
        scores = sliding_window_inference(
            self.volume[None],
            w.roi_size,
            1,
            RandomNetwork(self.n_channels, self.seed),
            w.overlap,
            mode=w.mode,
        )[0]
        clipped = [c.clip(0, n - 1) for c, n in zip(self.coordinates, scores.shape[1:], strict=True)]
        grid = np.meshgrid(*clipped, indexing="ij")
        probabilities = decision.activated(scores.double()).numpy()
        return np.stack([map_coordinates(p, grid, order=1) for p in probabilities])


def _bits(regions: np.ndarray) -> np.ndarray:
    return (regions * 2 ** np.arange(len(regions))[:, None, None, None]).sum(0)


@st.composite
def any_setting(draw: st.DrawFn) -> Setting:
    shape = [draw(st.integers(1, 11)) for _ in range(3)]
    seed = draw(st.integers(0, 2**16))
    rng = np.random.default_rng(seed)
    coordinates = []
    for n in shape:
        scale = draw(st.sampled_from([1.0, 0.5, 0.73, 1.9]))
        shift = draw(st.sampled_from([0.0, 0.31, -0.4]))
        c = shift + scale * np.arange(max(int(n / scale), 1))
        coordinates.append(c[::-1] if draw(st.booleans()) else c)
    windows = Windows(
        tuple(draw(st.integers(4, 9)) for _ in range(3)),
        draw(st.sampled_from([0.0, 0.25, 0.5, 0.6])),
        draw(st.sampled_from(["gaussian", "constant"])),
        batch_size=draw(st.integers(1, 3)),
    )
    volume = torch.from_numpy(rng.normal(size=(1, *shape)).astype(np.float32))
    axes = draw(st.permutations([0, 1, 2]))
    return Setting(volume, coordinates, list(axes), windows, draw(st.integers(1, 4)), seed)


DECISIONS = [Decision("softmax"), Decision("none"), Decision("sigmoid", 0.5), Decision("sigmoid", 0.3)]


@pytest.mark.parametrize("decision", DECISIONS)
@settings(max_examples=15, deadline=None, derandomize=True)
@given(setting=any_setting())
def test_interpolating_only_where_corners_disagree_changes_no_voxel(
    decision: Decision, setting: Setting
) -> None:
    np.testing.assert_array_equal(setting.labels(decision), setting.labels(decision, skip_agreeing=False))


@pytest.mark.parametrize("decision", DECISIONS)
@settings(max_examples=15, deadline=None, derandomize=True)
@given(setting=any_setting())
def test_streamed_labels_are_those_of_the_whole_volume(decision: Decision, setting: Setting) -> None:
    np.testing.assert_array_equal(setting.labels(decision), setting.plain(decision))


@pytest.mark.parametrize("decision", DECISIONS[1:3])
@settings(max_examples=15, deadline=None, derandomize=True)
@given(setting=any_setting(), n_strips=st.integers(2, 5))
def test_strips_change_no_voxel(decision: Decision, setting: Setting, n_strips: int) -> None:
    setting.windows = Windows(**{**vars(setting.windows), "batch_size": 1})
    np.testing.assert_array_equal(setting.labels(decision, n_strips=n_strips), setting.labels(decision))


@pytest.mark.parametrize("decision", DECISIONS[:3])
@settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(setting=any_setting(), n_strips=st.integers(1, 3))
def test_kept_probabilities_are_those_of_the_whole_volume(tmp_path, decision, setting, n_strips) -> None:
    after = "softmax" if decision.activation == "none" else "none"
    blocks = setting.blocks(decision, n_strips=n_strips, probabilities_after=after)
    list(kept(blocks, tmp_path / "raw", setting.way.shape, setting.n_channels))
    found = read_back(tmp_path / "raw", setting.way.shape)
    expected = setting.plain_scores(decision).transpose(0, *(1 + np.argsort(setting.native_axes)))
    expected = softmax(expected, 0) if decision.activation == "none" else expected
    np.testing.assert_allclose(np.moveaxis(found, -1, 0), expected, atol=2e-5)


@pytest.mark.parametrize(
    ("device", "is_there", "steps"),
    [
        ("cuda", False, ["contiguous", "pin_memory", "to cuda without waiting"]),
        ("cuda", True, ["to cuda"]),
        ("cpu", False, ["to cpu"]),
    ],
)
def test_only_what_goes_to_a_gpu_is_pinned(device: str, is_there: bool, steps: list[str]) -> None:
    """No GPU here: what would be asked of torch is written down instead."""
    asked: list[str] = []

    class Rows:
        is_cuda = is_there

        def contiguous(self) -> Rows:
            asked.append("contiguous")
            return self

        def pin_memory(self) -> Rows:
            asked.append("pin_memory")
            return self

        def to(self, place: torch.device, *, non_blocking: bool = False) -> Rows:
            asked.append(f"to {place.type}{' without waiting' if non_blocking else ''}")
            return self

    moved(Rows(), torch.device(device))  # type: ignore[arg-type]
    assert asked == steps
