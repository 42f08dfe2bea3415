"""Small cases summed by hand, and parameter counts against published ones."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from medseg.errors import MedsegError
from medseg.networks import build, build_classifier
from medseg.networks.blocks import ConvNorm, PooledNorm
from medseg.networks.decoders import ASPP, pool_with_places, unpool
from medseg.networks.decoders.deeplab import paper_rates
from medseg.networks.decoders.fcn import _doubling
from medseg.networks.decoders.pspnet import BinAverage


def test_an_atrous_kernel_reads_its_taps_a_rate_apart():
    """1, 10, 100 with holes of 2 along a row of units: each place sums x[i-2], 10 x[i], 100 x[i+2]."""
    layer = ConvNorm(2, 1, 1, dilation=2, norm="none", act=False)
    nn.init.zeros_(layer.conv.weight)
    nn.init.zeros_(layer.conv.bias)
    layer.conv.weight.data[0, 0, 1] = torch.tensor([1.0, 10.0, 100.0])
    row = torch.tensor([1.0, 2, 3, 4, 5]).expand(1, 1, 5, 5)
    expected = torch.tensor([310.0, 420, 531, 42, 53])
    torch.testing.assert_close(layer(row)[0, 0, 2], expected)


@pytest.mark.parametrize("dims", [2, 3])
def test_aspp_of_one_bright_voxel_is_the_hand_sum(dims):
    """Kernels of ones, no norm: 1 at the voxel, 1 where a tap of a hole meets it, and the mean."""
    aspp = ASPP(dims, 1, 1, rates=(2, 3), separable=False, norm="none")
    for part in aspp.modules():
        if hasattr(part, "weight"):
            nn.init.ones_(part.weight)
            nn.init.zeros_(part.bias)
    x = torch.zeros(1, 1, *[9] * dims)
    x[(0, 0, *[4] * dims)] = 1
    y = aspp(x)[0, 0]
    mean = 1 / 9**dims
    centre = [4] * (dims - 1)
    along = torch.tensor([0.0, 1, 1, 0, 3, 0, 1, 1, 0]) + mean
    torch.testing.assert_close(y[tuple(centre)], along)
    assert y.sum().item() == pytest.approx(1 + 2 * 3**dims + 1, rel=1e-5)


def test_aspp_rates_are_the_papers():
    assert paper_rates(16) == (6, 12, 18)
    assert paper_rates(8) == (12, 24, 36)
    network = build("deeplabv3", 2, 1, 2, encoder="resnet18", output_stride=8)
    assert [hole.conv.dilation for hole in network.decoder.aspp.holes] == [(12, 12), (24, 24), (36, 36)]


def test_unpooling_puts_each_maximum_back_where_it_was():
    x = torch.tensor([[1.0, 2, 0, 9], [4, 3, 8, 7], [5, 6, 0, 0], [0, 0, 0, 1]]).view(1, 1, 4, 4)
    pooled, places = pool_with_places(x)
    expected = torch.tensor([[0.0, 0, 0, 9], [4, 0, 0, 0], [0, 6, 0, 0], [0, 0, 0, 1]]).view(1, 1, 4, 4)
    assert torch.equal(unpool(pooled, places, [4, 4]), expected)


def test_unpooling_is_torchs_in_3d():
    x = torch.randn(2, 3, 4, 6, 8)
    pooled, places = pool_with_places(x)
    assert torch.equal(unpool(pooled, places, [4, 6, 8]), F.max_unpool3d(pooled, places, 2))


@pytest.mark.parametrize("shape", [(6, 8), (4, 6, 8)])
def test_in_an_even_region_places_do_not_hang_on_the_last_bit(shape):
    even = torch.rand(1, 64, *[1] * len(shape)).expand(1, 64, *shape)
    shaken = even * (1 + torch.randint(-1, 2, even.shape) * torch.finfo(torch.float32).eps)
    assert not torch.equal(shaken, even)
    assert torch.equal(pool_with_places(shaken)[1], pool_with_places(even)[1])


@pytest.mark.parametrize("size", [(7, 13), (2, 3), (12, 6)])
@pytest.mark.parametrize("bins", [1, 2, 3, 6])
def test_bins_are_those_of_adaptive_pooling(size, bins):
    x = torch.randn(2, 3, *size)
    torch.testing.assert_close(BinAverage(bins)(x), F.adaptive_avg_pool2d(x, bins))


def test_fcns_upsampling_begins_as_linear_interpolation():
    x = torch.rand(1, 2, 6, 7)
    inside = (..., slice(1, -1), slice(1, -1))
    with torch.inference_mode():
        doubled = _doubling(2, 2)(x)
    torch.testing.assert_close(
        doubled[inside], F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)[inside]
    )


def test_pooled_norm_is_batch_norm_where_there_is_a_batch():
    ours, torchs = PooledNorm(3).train(), nn.BatchNorm2d(3).train()
    x = torch.randn(4, 3, 1, 1)
    torch.testing.assert_close(ours(x), torchs(x))
    torch.testing.assert_close(ours.running_var, torchs.running_var)


# "num_params" of the weights' meta in torchvision 0.28 (its model pages), and the parameters of timm 1.0.31's
# efficientnet_lite0; read from both packages on 25 November 2026.
PUBLISHED_CLASSIFIERS = {
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "mobilenetv2": 3_504_872,
    "efficientnet-b0": 5_288_548,
    "efficientnet-b1": 7_794_184,
    "efficientnet-b2": 9_109_994,
    "efficientnet-b3": 12_233_232,
    "efficientnet-b4": 19_341_616,
    "efficientnet-b5": 30_389_784,
    "efficientnet-b6": 43_040_704,
    "efficientnet-b7": 66_347_960,
    "efficientnet-lite0": 4_652_008,
}


@pytest.mark.parametrize("name", PUBLISHED_CLASSIFIERS)
def test_a_classifier_has_the_published_number_of_parameters(name):
    with torch.device("meta"):
        classifier = build_classifier(name)
    assert _size(classifier) == PUBLISHED_CLASSIFIERS[name]


# "num_params" of torchvision 0.28's FCN_ResNet50_Weights, FCN_ResNet101_Weights, DeepLabV3_ResNet50_Weights
# and DeepLabV3_ResNet101_Weights (21 classes; read from the package on 25 November 2026), which contain an
# auxiliary head of 2 365 205: 3 x 3 from 1024 to 256, norm, 1 x 1 to 21.
AUXILIARY = 1024 * 256 * 9 + 2 * 256 + 256 * 21 + 21
PUBLISHED_NETWORKS = {
    ("fcn", "resnet50"): 35_322_218,
    ("fcn", "resnet101"): 54_314_346,
    ("deeplabv3", "resnet50"): 42_004_074,
    ("deeplabv3", "resnet101"): 60_996_202,
}


@pytest.mark.parametrize(("name", "encoder"), PUBLISHED_NETWORKS)
def test_a_network_has_the_published_number_of_parameters(name, encoder):
    options = {"stride": 32} if name == "fcn" else {}
    with torch.device("meta"):
        network = build(name, 2, 3, 21, encoder=encoder, output_stride=8, **options)
    assert _size(network) + AUXILIARY == PUBLISHED_NETWORKS[name, encoder]


def test_the_unet_of_the_paper_has_its_31_million_parameters():
    """Figure 1: 23 convolutions; the sum over its arrows, biases included."""
    arrows = [(1, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 512), (512, 512)]
    arrows += [(512, 1024), (1024, 1024)] + [(2 * c, c) for c in (512, 256, 128, 64)]
    arrows += [(c, c) for c in (512, 256, 128, 64)]
    expected = sum(9 * a * b + b for a, b in arrows)
    expected += sum(4 * 2 * c * c + c for c in (512, 256, 128, 64)) + 64 * 2 + 2
    assert _size(build("unet", 2, 1, 2)) == expected == 31_030_658


def test_the_papers_unpadded_unet_turns_572_into_388():
    network = build("unet", 2, 1, 2, valid=True, channels=(2, 2, 2, 2, 2))
    x = torch.rand(1, 1, 572, 572)
    with torch.inference_mode():
        maps = network.network.decoder(network.network.encoder(x))
        assert maps[0].shape[2:] == (388, 388)
        assert network(torch.rand(1, 1, 190, 201)).shape == (1, 2, 190, 201)


def test_segnet_has_the_29_million_parameters_of_its_paper():
    """Table 6 of Badrinarayanan 2017 gives 29.45 M for 11 classes."""
    assert _size(build("segnet", 2, 3, 11)) == pytest.approx(29.45e6, rel=1e-3)


def _size(network):
    return sum(p.numel() for p in network.parameters())


REFUSED = {
    "an unknown encoder": ({"name": "fpn", "encoder": "resnet19"}, "resnet19"),
    "an unknown option": ({"name": "fpn", "rates": (1, 2)}, "rates"),
    "an output stride that cannot be": ({"name": "fpn", "output_stride": 4}, "output_stride=4"),
    "dilation under unpooling": (
        {"name": "segnet", "encoder": "resnet18", "output_stride": 16},
        "output_stride",
    ),
    "a norm that does not exist": ({"name": "fpn", "norm": "layer"}, "norm='layer'"),
    "no refinement": ({"name": "deeplabv3plus", "encoder": "resnet18", "refinements": 0}, "refinements=0"),
    "weights without an encoder": ({"name": "unet", "pretrained": "imagenet"}, "name one"),
}


@pytest.mark.parametrize("title", REFUSED)
def test_what_cannot_be_built_is_refused_with_the_reason(title):
    options, reason = REFUSED[title]
    with pytest.raises(MedsegError, match=reason):
        build(**{"spatial_dims": 2, "in_channels": 3, "out_channels": 2, **options})


def test_lins_smoothing_of_the_pyramid_is_there_for_the_asking():
    """Four 3 x 3 convolutions from 256 to 256 channels with biases."""
    with torch.device("meta"):
        light, smooth = (build("fpn", 2, 3, 2, encoder="resnet18", smooth=s) for s in (False, True))
    assert _size(smooth) - _size(light) == 4 * (9 * 256 * 256 + 256)


def test_deeplabv3plus_takes_the_second_refinement_of_its_paper():
    """A separable convolution of 256 channels: 9 taps each, then 256 x 256, and two batch norms at most."""
    with torch.device("meta"):
        usual, fine = (build("deeplabv3plus", 2, 3, 2, encoder="resnet18", refinements=n) for n in (1, 2))
    convolutions = [sum(p.numel() for p in n.parameters() if p.ndim > 1) for n in (usual, fine)]
    assert convolutions[1] - convolutions[0] == 9 * 256 + 256 * 256
    assert _size(build("deeplabv3plus", 2, 3, 2, encoder="resnet18")) == _size(usual)


def test_a_resnet_can_be_made_narrower():
    thin = build("unet", 3, 4, 3, encoder="resnet18", encoder_options={"width": 0.25})
    assert thin.encoder.channels == (16, 16, 32, 64, 128)
    assert thin(torch.rand(1, 4, 32, 32, 32)).shape == (1, 3, 32, 32, 32)
