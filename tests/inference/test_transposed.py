"""Transposed convolutions in faster forms give torch's numbers; what does not fit is left to torch."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from medseg.inference import transposed as forms
from medseg.inference.convolutions import ByOneDnn
from medseg.inference.transposed import transposed


def held_to_float64(layer, x, found):
    with torch.inference_mode():
        exact = layer.double()(x.double())
    layer.float()
    assert found.is_contiguous()
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), exact, rtol=0, atol=2e-5)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_all_phases_at_once_are_the_transposed_convolution(data):
    step = data.draw(st.integers(2, 4), "stride")
    kernel = data.draw(st.integers(step, step + 3), "kernel")
    more = data.draw(st.integers(0, step - 1), "output padding")
    if (kernel + more - step) % 2:
        more = more + 1 if more + 1 < step else more - 1
    margin = (kernel + more - step) // 2
    channels = data.draw(st.integers(1, 3), "channels")
    sizes = data.draw(st.tuples(*[st.integers(1, 6)] * 3), "sizes")
    has_bias = data.draw(st.booleans(), "bias")
    torch.manual_seed(data.draw(st.integers(0, 99), "seed"))
    layer = torch.nn.ConvTranspose3d(2, channels, kernel, step, margin, more, bias=has_bias)
    x = torch.randn(1, 2, *sizes)
    with torch.inference_mode():
        found = transposed(x, layer.weight, layer.bias, layer.stride, layer.padding, layer.output_padding)
    assert found is not None
    held_to_float64(layer, x, found)


@pytest.mark.parametrize("has_bias", [True, False])
@pytest.mark.parametrize(("kernel", "stride", "margin", "more"), [(3, 2, 1, 1), (2, 2, 0, 0), (3, 1, 1, 0)])
def test_plane_by_plane_is_the_transposed_convolution(monkeypatch, kernel, stride, margin, more, has_bias):
    monkeypatch.setattr(forms, "MANY_VALUES", 1000)
    layer = torch.nn.ConvTranspose3d(5, 37, kernel, stride, margin, more, bias=has_bias)
    x = torch.randn(1, 5, 6, 7, 8)
    with torch.inference_mode():
        found = transposed(x, layer.weight, layer.bias, layer.stride, layer.padding, layer.output_padding)
    assert found is not None
    held_to_float64(layer, x, found)


def test_the_engine_takes_them_for_plain_layers_alone(monkeypatch):
    taken = []

    def noted(*args):
        taken.append(args)
        return transposed(*args)

    monkeypatch.setattr("medseg.inference.convolutions.transposed", noted)
    x = torch.randn(1, 4, 5, 5, 5)
    plain = torch.nn.ConvTranspose3d(4, 2, 2, 2)
    others = [
        torch.nn.ConvTranspose3d(4, 2, 2, 2, groups=2),
        torch.nn.ConvTranspose3d(4, 2, 2, 2, dilation=2),
        torch.nn.ConvTranspose3d(4, 2, (2, 1, 2), 2),
    ]
    with torch.inference_mode():
        expected = [layer(x) for layer in (plain, *others)]
        with ByOneDnn():
            torch.testing.assert_close(plain(x), expected[0])
            assert len(taken) == 1
            for layer, value in zip(others, expected[1:], strict=True):
                assert torch.equal(layer(x), value)
            two = torch.cat([x, x])
            last = x.to(memory_format=torch.channels_last_3d)
            assert plain(two).shape[0] == 2
            assert plain(last).shape == expected[0].shape
            assert plain.double()(x.double()).dtype == torch.float64
    with ByOneDnn():
        assert plain.float()(x).requires_grad
    assert len(taken) == 1


@pytest.mark.parametrize(
    ("kernel", "stride", "margin", "more"), [(3, 2, 0, 0), (3, 1, 1, 0), (1, 2, 0, 1), (2, (1, 2, 2), 0, 0)]
)
def test_a_form_that_does_not_fit_is_left_to_torch(kernel, stride, margin, more):
    layer = torch.nn.ConvTranspose3d(4, 2, kernel, stride, margin, more)
    x = torch.randn(1, 4, 5, 5, 5)
    with torch.inference_mode():
        assert (
            transposed(x, layer.weight, layer.bias, layer.stride, layer.padding, layer.output_padding) is None
        )
        expected = layer(x)
        with ByOneDnn():
            assert torch.equal(layer(x), expected)
