"""What a network costs, against closed forms; and the command that lists it."""

import json

import pytest
import torch
from torch import nn

from medseg.cli.app import main
from medseg.networks.cost import cost, on_meta


def test_one_convolution_costs_its_closed_form():
    """3 x 3, 2 to 8 channels, on 16 x 16 voxels: 9 * 2 * 8 products per voxel; kept: its input."""
    with torch.device("meta"):
        layer = nn.Conv2d(2, 8, 3, padding=1)
    found = cost(layer, (1, 2, 16, 16))
    assert found.parameters == 9 * 2 * 8 + 8
    assert found.multiply_adds == 9 * 2 * 8 * 16 * 16
    assert found.inference_bytes == 4 * (found.parameters + (2 + 8) * 16 * 16)
    assert found.training_bytes == 4 * (4 * found.parameters + 2 * 16 * 16)


def test_memory_in_inference_is_that_of_two_neighbours_where_nothing_else_is_kept():
    """A chain 1 -> 4 -> 16 -> 1: the most alive at once is the input, the 4 and the 16."""
    with torch.device("meta"):
        chain = nn.Sequential(*(nn.Conv3d(a, b, 1, bias=False) for a, b in ((1, 4), (4, 16), (16, 1))))
    found = cost(chain, (1, 1, 8, 8, 8))
    assert found.inference_bytes == 4 * ((4 + 64 + 16) + (1 + 4 + 16) * 8**3)


def test_costs_are_counted_without_memory_for_weights():
    network = on_meta("unet", 3, 1, 2)
    assert all(p.is_meta for p in network.parameters())
    assert (
        cost(network, (1, 1, 32, 32, 32)).multiply_adds * 8 == cost(network, (1, 1, 64, 64, 64)).multiply_adds
    )


def _json(capsys, *arguments):
    with pytest.raises(SystemExit, match="0"):
        main(["networks", *arguments, "--json"])
    return json.loads(capsys.readouterr().out)


def test_the_command_gives_parameters_products_and_memory(capsys):
    (row,) = _json(capsys, "fpn", "--encoder", "mobilenetv2", "--size", "64x64", "--channels", "3")[
        "networks"
    ]
    assert (row["network"], row["encoder"]) == ("fpn", "mobilenetv2")
    assert row["parameters"] == 3_557_634
    assert row["inference_bytes"] < row["training_bytes"]
    assert row["multiply_adds"] > 1e8


def test_the_command_names_a_size_that_monai_refuses(capsys):
    (row,) = _json(capsys, "UNet", "--size", "33x33")["networks"]
    assert "refused" in row


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["ufo"], "network 'ufo'"),
        (["fpn", "--size", "64"], "size '64'"),
        (["--encoder", "ufo"], "encoder 'ufo'"),
    ],
    ids=["network", "size", "encoder"],
)
def test_the_command_refuses_what_it_does_not_know(capsys, arguments, reason):
    with pytest.raises(SystemExit, match="2"):
        main(["networks", *arguments])
    assert reason in capsys.readouterr().err
