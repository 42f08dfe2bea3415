"""MONAI's sliding window over mirrored views: its mean, its labels by the engine, its refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from medseg.bundle.predicting import load_predictor
from medseg.errors import MedsegError
from medseg.inference import MirroredWindowInferer
from tests.inference.test_inferer import labels_by_stock_command
from tests.inference.test_plan import side
from tests.toy_bundle import config, write_bundle, write_scan


def leaning(windows: torch.Tensor) -> torch.Tensor:
    """Two scores that depend on where a voxel lies, so that each view has another opinion."""
    ramp = torch.linspace(-1, 1, windows.shape[2]).view(1, 1, -1, 1)
    return torch.cat([windows * ramp, windows.square()], 1)


def test_it_returns_the_mean_probabilities_of_all_views() -> None:
    x = torch.rand((1, 1, 6, 4))
    views = [(), (2,), (3,), (2, 3)]
    expected = sum(torch.softmax(leaning(x.flip(v)).flip(v), 1) for v in views) / 4
    found = MirroredWindowInferer([6, 4], mirror_axes=[0, 1])(x, leaning)
    torch.testing.assert_close(found, expected)
    assert not torch.allclose(found, torch.softmax(leaning(x), 1), atol=1e-3)


def test_left_and_right_channels_swap_with_their_axis() -> None:
    x = (torch.rand((1, 1, 6, 4, 4)) > 0.5).float()
    inferer = MirroredWindowInferer(
        [6, 4, 4], mirror_axes=[0, 2], left_right_axis=0, swapped_channels=[[1, 2]]
    )
    torch.testing.assert_close(inferer(x, side), torch.softmax(side(x), 1))


def mirrored(content: dict[str, Any]) -> dict[str, Any]:
    """The toy bundle with its inferer mirrored and no activation after it."""
    window = {k: v for k, v in content["inferer"].items() if k != "_target_"}
    inferer = {"_target_": "medseg.inference.MirroredWindowInferer", **window, "mirror_axes": [0, 2]}
    steps = [s for s in content["postprocessing"]["transforms"] if "Activations" not in s["_target_"]]
    return {**content, "inferer": inferer, "postprocessing": {"_target_": "Compose", "transforms": steps}}


def test_the_engine_gives_the_labels_of_the_stock_command(tmp_path: Path) -> None:
    scan = tmp_path / "scans" / "scan.nii.gz"
    write_scan(scan, (23, 26, 17))
    bundle = write_bundle(tmp_path / "mirrored", mirrored(config()))
    stock = labels_by_stock_command(bundle, scan.parent, tmp_path / "stock")
    found = load_predictor(bundle, engine="stream", trust=True).to_labels((scan,))
    np.testing.assert_array_equal(np.asarray(found), stock)
    plain = write_bundle(tmp_path / "plain", config())
    other = labels_by_stock_command(plain, scan.parent, tmp_path / "other")
    assert (stock != other).any(), "the views should change a voxel at least"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"mirror_axes": [2]}, "mirror_axes [2]"),
        ({"mirror_axes": [0, 0]}, "mirror_axes [0, 0]"),
        ({"mirror_axes": [0], "activation": "relu"}, "relu"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(MedsegError) as error:
        MirroredWindowInferer([6, 4], **options)
    assert told in str(error.value)
