"""What every network of medseg's own promises, for every encoder and both dimensions.

The default run takes a sample in which each network, each encoder family and both dimensions occur; the whole
grid is marked `all`.
"""

import copy
import io
import itertools
import warnings

import numpy as np
import onnxruntime
import pytest
import torch

from medseg.networks import ENCODERS, OWN_NAMES, build, build_encoder

ONE_OF_EACH = ["resnet18", "resnet50", "mobilenetv2", "efficientnet-lite0", "efficientnet-b0"]
SIZE = {2: (37, 45), 3: (17, 9, 21)}

SAMPLE = [
    ("fcn", "mobilenetv2", 2),
    ("fcn", "resnet18", 3),
    ("segnet", "resnet18", 2),
    ("segnet", "mobilenetv2", 3),
    ("unet", "efficientnet-lite0", 2),
    ("unet", "mobilenetv2", 3),
    ("pspnet", "mobilenetv2", 2),
    ("pspnet", "efficientnet-lite0", 3),
    ("fpn", "efficientnet-b0", 2),
    ("fpn", "mobilenetv2", 3),
    ("deeplabv3", "resnet50", 2),
    ("deeplabv3", "mobilenetv2", 3),
    ("deeplabv3plus", "efficientnet-lite0", 2),
    ("deeplabv3plus", "efficientnet-b0", 3),
    ("unet", None, 2),
    ("unet", None, 3),
    ("segnet", None, 2),
]
EXPORTED = [
    ("pspnet", "resnet18", 3),
    ("segnet", "resnet18", 2),
    ("deeplabv3plus", "efficientnet-lite0", 2),
]
WHOLE = [
    *itertools.product(OWN_NAMES, ENCODERS, (2, 3)),
    *itertools.product(("unet", "segnet"), (None,), (2, 3)),
]


def grid(default):
    """All combinations, those beyond `default` marked for `make test-all`."""
    return [
        pytest.param(*c, id="-".join(map(str, c)), marks=[] if c in default else [pytest.mark.all])
        for c in WHOLE
    ]


def small(name, encoder, dims, in_channels=2, **options):
    """Few channels where the paper's own network has none to spare in a test."""
    if name == "unet" and encoder is None:
        options["channels"] = (4, 8, 16, 32, 64)
    return build(name, dims, in_channels, 3, encoder=encoder, **options)


def assert_equal(found, expected):
    """Equal to single precision, whatever the scale of an untrained network's output."""
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize(("name", "encoder", "dims"), grid(SAMPLE))
def test_one_odd_sample_trains_every_parameter_and_evaluates_on_its_own_grid(name, encoder, dims):
    network = small(name, encoder, dims, deep_supervision=True)
    x = torch.rand(1, 2, *SIZE[dims])
    stacked = network.train()(x)
    assert stacked.shape[0] == 1
    assert stacked.shape[1] > 1
    assert stacked.shape[2:] == (3, *SIZE[dims])
    stacked.square().sum().backward()
    gradients = {n: p.grad for n, p in network.named_parameters()}
    unreached = [n for n, g in gradients.items() if g is None or not torch.isfinite(g).all()]
    assert unreached == []
    with torch.inference_mode():
        scores = network.eval()(x)
        assert scores.shape == (1, 3, *SIZE[dims])
        assert torch.equal(scores, network(x))


@pytest.mark.parametrize(("name", "encoder", "dims"), grid(SAMPLE[::3]))
def test_a_state_dict_makes_an_untrained_copy_equal(name, encoder, dims):
    network, other = small(name, encoder, dims), small(name, encoder, dims)
    network.train()(torch.rand(2, 2, *SIZE[dims]))
    file = io.BytesIO()
    torch.save(network.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    x = torch.rand(1, 2, *SIZE[dims])
    with torch.inference_mode():
        assert torch.equal(other.eval()(x), network.eval()(x))


@pytest.mark.parametrize(("name", "encoder", "dims"), grid(EXPORTED))
def test_torchscript_and_onnx_give_the_same_scores(name, encoder, dims):
    network = small(name, encoder, dims).eval()
    inputs = torch.rand(3, 1, 2, *SIZE[dims])
    with torch.inference_mode():
        expected = [network(x) for x in inputs]
    with torch.jit.optimized_execution(False), torch.inference_mode():
        assert_equal(torch.jit.script(copy.deepcopy(network))(inputs[0]), expected[0])
    onnx = run_by_onnx(network, inputs[0])
    found = [onnx(x) for x in inputs]
    # Unpooling is not continuous: where two values of a window are equal but for rounding, another runtime
    # may put one elsewhere. So it is of any SegNet, in one or two of a hundred inputs; a wrong export is
    # wrong in all of them.
    needed = 1 if name == "segnet" else len(inputs)
    errors = [unequal(one, other) for one, other in zip(found, expected, strict=True)]
    assert errors.count("") >= needed, "".join(errors)


def run_by_onnx(network, x):
    """The network as ONNX Runtime runs it, exported for inputs like `x`."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own, about torch's internals
        torch.onnx.export(network, (x,), file, dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(file.getvalue())
    name = session.get_inputs()[0].name
    return lambda x: torch.from_numpy(session.run(None, {name: np.asarray(x)})[0])


def unequal(found, expected):
    """How they differ; empty where they are equal."""
    try:
        assert_equal(found, expected)
    except AssertionError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("channels", [1, 3, 7])
@pytest.mark.parametrize("encoder", ["resnet18", "mobilenetv2", "efficientnet-b0"])
def test_any_number_of_channels_goes_in_and_out(encoder, channels):
    network = build("deeplabv3plus", 2, channels, channels, encoder=encoder).eval()
    with torch.inference_mode():
        assert network(torch.rand(1, channels, 33, 20)).shape == (1, channels, 33, 20)


@pytest.mark.parametrize("size", [(1, 1), (3, 50), (64, 64), (32, 33)])
@pytest.mark.parametrize("name", OWN_NAMES)
def test_any_size_goes_in_and_trains_alone(name, size):
    network = build(name, 2, 1, 2, encoder="resnet18").train()
    assert network(torch.rand(1, 1, *size)).shape == (1, 2, *size)


@pytest.mark.parametrize("norm", ["batch", "instance", "group"])
@pytest.mark.parametrize("name", OWN_NAMES)
def test_every_normalisation_bears_a_single_sample_of_one_step(name, norm):
    network = build(name, 2, 1, 2, encoder="mobilenetv2", norm=norm).train()
    assert torch.isfinite(network(torch.rand(1, 1, 8, 8))).all()


@pytest.mark.parametrize("output_stride", [8, 16, 32])
@pytest.mark.parametrize("encoder", ONE_OF_EACH)
def test_an_encoder_gives_five_features_up_to_the_output_stride(encoder, output_stride):
    body = build("deeplabv3", 2, 1, 2, encoder=encoder, output_stride=output_stride).encoder.eval()
    with torch.inference_mode():
        features = body(torch.rand(1, 1, 64, 64))
    assert [64 // f.shape[-1] for f in features] == [min(s, output_stride) for s in (2, 4, 8, 16, 32)]
    assert tuple(f.shape[1] for f in features) == body.channels


@pytest.mark.parametrize("encoder", ONE_OF_EACH)
def test_a_dilated_encoder_computes_what_the_strided_one_does_in_between(encoder):
    """Every fourth value of the dense map is the strided one (Chen 2017, section 3.1)."""
    sparse = build_encoder(encoder, 2, 1).eval()
    dense = build_encoder(encoder, 2, 1, output_stride=8).eval()
    dense.load_state_dict(sparse.state_dict())
    x = torch.rand(1, 1, 96, 128)
    with torch.inference_mode():
        coarse, fine = sparse(x)[4], dense(x)[4]
    # Padding that leans to the end puts a stride's first kernel on the second voxel, twice.
    shift = 3 if "efficientnet" in encoder else 0
    assert_equal(fine[..., shift::4, shift::4], coarse)
