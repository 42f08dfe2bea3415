"""Half precision on a CPU gives what single precision gives."""

import os
import subprocess
import sys

import pytest
import torch
from torch import nn

from medseg.training.precision import MixedPrecisionInferer, _is_narrow, _Mended, has_bfloat16_units


@pytest.mark.parametrize("width", [1, 2, 3])
@pytest.mark.parametrize("dims", [2, 3])
def test_a_strided_convolution_down_to_one_column_is_the_one_in_single_precision(dims, width):
    """On a CPU with AMX torch's own kernel returns memory that nobody wrote here."""
    conv = [nn.Conv2d, nn.Conv3d][dims - 2](256, 64, 3, stride=2, padding=1).requires_grad_(False)
    x = torch.rand(1, 256, *[8] * (dims - 1), width)
    stale = [torch.full((256 * n,), float("nan")).bfloat16() for n in (64, 256, 1024)]
    del stale
    torch.testing.assert_close(MixedPrecisionInferer("cpu")(x, conv), conv(x), rtol=0.02, atol=0.02)


WRONG = """
import sys, torch
from medseg.training.precision import MixedPrecisionInferer
width, stride = map(int, sys.argv[1:])
torch.set_num_threads(1)
worst = 0.0
for dims in (2, 3):
    conv = [torch.nn.Conv2d, torch.nn.Conv3d][dims - 2](4, 16, 3, stride=stride, padding=1)
    x = torch.randn(1, 4, *[width] * dims)
    grads = []
    for halves in (False, True):
        conv.zero_grad()
        y = MixedPrecisionInferer("cpu", halves)(x, conv)
        (y * torch.linspace(-1, 1, y.numel()).reshape(y.shape)).sum().backward()
        grads.append(conv.weight.grad.clone())
    worst = max(worst, float((grads[0] - grads[1]).abs().nan_to_num(1e9).max() / grads[0].abs().max()))
print(worst)
"""


@pytest.mark.parametrize(("width", "stride"), [(1, 2), (2, 2), (2, 1), (3, 2), (4, 2), (4, 1)])
def test_gradients_of_narrow_convolutions_come_from_written_memory(width, stride):
    """glibc fills what is allocated with a pattern; on a CPU with AVX512-BF16 torch's own kernel reads it."""
    command = [sys.executable, "-W", "ignore", "-c", WRONG, str(width), str(stride)]
    done = subprocess.run(
        command,
        env={**os.environ, "MALLOC_PERTURB_": "165"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=True,
    )
    assert float(done.stdout) < 0.05


@pytest.mark.parametrize("width", [1, 2, 3, 8])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("stride", [1, 2, (1, 3)])
def test_a_mended_convolution_is_the_same_convolution(width, dilation, stride):
    conv = nn.Conv2d(2, 3, 3, stride=stride, padding=dilation, dilation=dilation)
    x = torch.rand(2, 2, 7, width, requires_grad=True)
    expected = conv(x)
    with _Mended():
        found = conv(x)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(torch.autograd.grad(found.sum(), x), torch.autograd.grad(expected.sum(), x))


def test_only_two_columns_or_fewer_are_narrow():
    weight = torch.zeros(1, 1, 3, 3)
    assert _is_narrow(torch.zeros(1, 1, 8, 2), weight, None, (2, 2), (1, 1))
    assert _is_narrow(torch.zeros(1, 1, 8, 4), weight, None, (2, 2), (1, 1))
    assert not _is_narrow(torch.zeros(1, 1, 8, 5), weight, None, (2, 2), (1, 1))
    assert not _is_narrow(torch.zeros(1, 1, 2, 8), weight, None, (2, 2), (1, 1))
    assert _is_narrow(torch.zeros(1, 1, 8, 2), weight, None, 1, "same")
    assert not _is_narrow(torch.zeros(1, 1, 8, 3), weight, None, 1, "same")
    assert _is_narrow(torch.zeros(1, 1, 8, 4), weight, None, 1, "valid")


@pytest.mark.skipif(not has_bfloat16_units(), reason="this CPU computes in float32 anyway")
def test_depthwise_convolutions_stay_in_float32_and_others_do_not():
    network = nn.Sequential(nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(4, 2, 1))
    seen = []
    for layer in network:
        layer.register_forward_hook(lambda _, __, output: seen.append(output.dtype))
    output = MixedPrecisionInferer("cpu")(torch.zeros(1, 4, 8, 8), network)
    assert seen == [torch.bfloat16, torch.float32, torch.bfloat16]
    assert output.dtype == torch.float32
