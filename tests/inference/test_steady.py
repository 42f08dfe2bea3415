"""Normalisations by means of means against torch's own, and what OpenVINO makes of both."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from medseg.inference.runtimes import export_onnx, openvino_network
from medseg.inference.steady import SteadyNorm, steady

NORMS = [
    torch.nn.InstanceNorm3d(4),
    torch.nn.InstanceNorm3d(4, affine=True),
    torch.nn.GroupNorm(2, 4),
    torch.nn.GroupNorm(1, 4, affine=False),
]


@pytest.mark.parametrize("norm", NORMS, ids=str)
def test_the_numbers_are_those_of_torch(norm: torch.nn.Module) -> None:
    if norm.weight is not None:
        torch.nn.init.normal_(norm.weight)
        torch.nn.init.normal_(norm.bias)
    x = torch.randn((2, 4, 5, 6, 7), generator=torch.Generator().manual_seed(0)) * 3 + 1
    found = steady(torch.nn.Sequential(norm))
    assert isinstance(found[0], SteadyNorm)
    torch.testing.assert_close(found(x), norm.eval()(x))


def test_a_network_is_copied_and_what_needs_no_sums_is_left() -> None:
    network = torch.nn.Sequential(
        torch.nn.InstanceNorm3d(2, track_running_stats=True), torch.nn.BatchNorm3d(2)
    )
    assert [type(module) for module in steady(network)] == [type(module) for module in network]
    plain = torch.nn.Sequential(torch.nn.Sequential(torch.nn.InstanceNorm2d(2)))
    steady(plain)
    assert isinstance(plain[0][0], torch.nn.InstanceNorm2d)


def test_openvino_keeps_its_digits_where_most_voxels_are_alike(tmp_path: Path) -> None:
    x = torch.full((1, 1, 64, 64, 64), 0.3)
    x[..., :8] += torch.randn((64, 64, 8), generator=torch.Generator().manual_seed(0))
    network = torch.nn.Sequential(torch.nn.InstanceNorm3d(1)).eval()
    exact = network(x.double())

    def error(module: torch.nn.Module, name: str) -> float:
        scores = openvino_network(export_onnx(module, x, tmp_path / name))(x)
        return float((scores.double() - exact).abs().mean())

    assert error(steady(network), "steady.onnx") < error(network, "plain.onnx") / 4
