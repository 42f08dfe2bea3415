"""Convolutions by oneDNN give torch's numbers, and only where torch would not ask oneDNN itself."""

import pytest
import torch
from monai.networks.nets import UNet
from torch.profiler import ProfilerActivity, profile

from medseg.inference.convolutions import ByOneDnn
from medseg.inference.torch_runtime import torch_network


def convolutions(call):
    """Which convolutions ran, by ATen's names."""
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        call()
    return {event.key for event in seen.key_averages() if "conv" in event.key}


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("stride", "dilation", "padding"), [(1, 1, 1), (2, 1, 1), (1, 2, 2), ((1, 2, 1), 1, 0)]
)
def test_values_are_torchs_in_the_precision_of_the_sum(stride, dilation, padding, bias):
    layer = torch.nn.Conv3d(5, 7, 3, stride, padding, dilation, bias=bias)
    x = torch.randn(1, 5, 12, 9, 10)
    with torch.inference_mode():
        exact = layer.double()(x.double())
        layer.float()
        with ByOneDnn():
            found = layer(x)
            used = convolutions(lambda: layer(x))
    torch.testing.assert_close(found.double(), exact, rtol=0, atol=1e-5)
    assert "aten::mkldnn_convolution" in used
    assert "aten::slow_conv3d" not in used


def test_what_records_gradients_or_is_not_a_plain_convolution_is_left_to_torch():
    x = torch.randn(1, 4, 6, 6, 6)
    plain, grouped = torch.nn.Conv3d(4, 4, 3, padding=1), torch.nn.Conv3d(4, 4, 3, padding=1, groups=2)
    same = torch.nn.Conv3d(4, 4, 3, padding="same")
    with ByOneDnn():
        assert plain(x).requires_grad
        with torch.inference_mode():
            for layer in (plain.double(), grouped, same):
                value = x.to(layer.weight.dtype)
                assert layer(value).shape == x.shape
                assert layer(value).dtype == value.dtype
    with torch.inference_mode():
        assert "aten::slow_conv3d" in convolutions(lambda: plain.float()(x)), (
            "torch asks oneDNN by itself now"
        )


def test_the_engine_runs_its_network_so():
    network = UNet(3, 1, 2, (8, 16, 32), (2, 2)).eval()
    window = torch.randn(1, 1, 32, 32, 32)
    with torch.inference_mode():
        expected = network(window)
    scores = torch_network(network)
    torch.testing.assert_close(scores(window), expected, rtol=1e-4, atol=1e-5)
    assert "aten::slow_conv3d" not in convolutions(lambda: scores(window))
