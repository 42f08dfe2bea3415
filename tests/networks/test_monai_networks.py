"""MONAI's networks by the same registry."""

import monai.networks.nets as nets
import pytest
import torch

from medseg.errors import MedsegError
from medseg.networks import build
from medseg.networks.monai_networks import NAMES


def test_the_object_is_monais_own_class():
    assert type(build("UNet", 3, 1, 2)) is nets.UNet


@pytest.mark.parametrize("spatial_dims", [2, 3])
@pytest.mark.parametrize("name", ["UNet", "DynUNet", "SegResNet", "FlexibleUNet", "VNet", "BasicUNet"])
def test_monais_networks_give_a_score_per_class_and_voxel(name, spatial_dims):
    x = torch.rand(1, 2, *[32] * spatial_dims)
    with torch.inference_mode():
        assert build(name, spatial_dims, 2, 3).eval()(x).shape == (1, 3, *[32] * spatial_dims)


@pytest.mark.parametrize("name", NAMES)
def test_every_listed_name_can_be_built(name):
    network = build(name, 3, 1, 2)
    assert sum(p.numel() for p in network.parameters()) > 100_000


def test_options_reach_monais_class():
    network = build("DynUNet", 2, 1, 2, filters=[4] * 5, deep_supervision=True)
    assert network.train()(torch.rand(2, 1, 32, 32)).shape == (2, 3, 2, 32, 32)


def test_the_encoder_of_flexible_unet_is_chosen_by_name():
    assert build("FlexibleUNet", 2, 1, 2, encoder="resnet18").backbone == "resnet18"


REFUSED = {
    "an unknown name": ({"name": "UNett"}, "did you mean 'UNet'"),
    "an unknown option": ({"name": "UNet", "chanels": (8, 16)}, "option 'chanels'"),
    "an encoder where there is none": ({"name": "UNet", "encoder": "resnet18"}, "encoder of its own"),
    "supervision where there is none": ({"name": "UNet", "deep_supervision": True}, "DynUNet"),
    "four dimensions": ({"name": "UNet", "spatial_dims": 4}, "two or three"),
}


@pytest.mark.parametrize("title", REFUSED)
def test_what_cannot_be_built_is_refused_with_the_reason(title):
    options, reason = REFUSED[title]
    with pytest.raises(MedsegError, match=reason):
        build(**{"spatial_dims": 2, "in_channels": 1, "out_channels": 2, **options})
