"""Transfer learning: weights that are right, checked, adapted, inflated, frozen."""

import hashlib

import pytest
import skimage.data
import torch
from ignite.engine import Engine
from monai.networks.nets import EfficientNetBN, ResNetFeatures
from safetensors.torch import save_file
from torch.nn import functional as F

from medseg.errors import DataError, MedsegError
from medseg.networks import FreezeSchedule, build, build_classifier, build_encoder, freeze, parameter_groups
from medseg.networks.pretrained import first_convolution, inflated, load, weights_path
from medseg.training.schedule import LearningRate

EGYPTIAN_CAT, ESPRESSO, TRIPOD = 285, 967, 872  # ImageNet's numbers; the photographer stands behind a tripod


@pytest.fixture(scope="module")
def imagenet():
    return build_classifier("efficientnet-lite0", pretrained=True).eval()


@pytest.mark.parametrize(
    ("picture", "number"), [("cat", EGYPTIAN_CAT), ("coffee", ESPRESSO), ("camera", TRIPOD)]
)
def test_lite0_with_its_imagenet_weights_names_the_picture(imagenet, picture, number):
    pixels = torch.from_numpy(getattr(skimage.data, picture)().copy())
    pixels = pixels if pixels.ndim == 3 else pixels[..., None].expand(-1, -1, 3)
    side = min(pixels.shape[:2])
    top, left = (pixels.shape[0] - side) // 2, (pixels.shape[1] - side) // 2
    square = pixels[top : top + side, left : left + side].permute(2, 0, 1)[None] / 127.5 - 1
    with torch.inference_mode():
        scores = imagenet(F.interpolate(square, size=(224, 224), mode="bicubic", antialias=True))
    assert scores.argmax() == number


def test_a_network_takes_the_registered_weights_by_name(imagenet):
    network = build("deeplabv3plus", 2, 3, 1, encoder="efficientnet-lite0", pretrained="imagenet")
    theirs = imagenet.encoder.state_dict()
    assert all(torch.equal(t, theirs[k]) for k, t in network.encoder.state_dict().items())


def test_a_flat_volume_has_the_features_of_its_slice():
    """Away from the ends of the new axis, where padding enters."""
    flat = build_encoder("efficientnet-lite0", 2, 3).eval()
    deep = build_encoder("efficientnet-lite0", 3, 3).eval()
    load(flat, "efficientnet-lite0", "imagenet")
    load(deep, "efficientnet-lite0", "imagenet")
    picture = torch.rand(1, 3, 32, 32)
    with torch.inference_mode():
        slices, volume = flat(picture), deep(picture[..., None].expand(-1, -1, -1, -1, 64))
    torch.testing.assert_close(volume[1][..., 8], slices[1], rtol=1e-3, atol=1e-3)


def test_inflated_kernels_sum_to_the_flat_ones():
    weight = torch.randn(4, 3, 5, 5)
    assert inflated(weight, 5).shape == (4, 3, 5, 5, 5)
    torch.testing.assert_close(inflated(weight, 5).sum(-1), weight)


def test_one_channel_gets_the_sum_of_the_colours():
    weight, grey = torch.randn(4, 3, 3, 3), torch.rand(1, 1, 8, 8)
    torch.testing.assert_close(
        F.conv2d(grey, first_convolution(weight, 1)), F.conv2d(grey.expand(-1, 3, -1, -1), weight)
    )


def test_six_channels_get_each_colour_twice_at_half_strength():
    weight = torch.randn(4, 3, 3, 3)
    torch.testing.assert_close(first_convolution(weight, 6), torch.cat([weight, weight], 1) / 2)


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_pretrained_weights_load_for_any_number_of_channels_and_in_3d(channels):
    network = build("unet", 3, channels, 2, encoder="efficientnet-lite0", pretrained="imagenet").eval()
    with torch.inference_mode():
        assert torch.isfinite(network(torch.rand(1, channels, 32, 32, 32))).all()


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_file_of_weights_is_loaded_and_its_hash_checked(tmp_path, suffix):
    source = build("unet", 2, 1, 2, encoder="resnet18")
    path = tmp_path / f"weights{suffix}"
    save_file(source.state_dict(), path) if suffix == ".safetensors" else torch.save(
        source.state_dict(), path
    )
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    network = build("fpn", 2, 1, 2, encoder="resnet18", pretrained=str(path), sha256=digest)
    assert torch.equal(network.encoder.conv1.weight, source.encoder.conv1.weight)
    with pytest.raises(DataError, match="sha256"):
        build("fpn", 2, 1, 2, encoder="resnet18", pretrained=str(path), sha256="0" * 64)


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("n_bytes", [0, 4, 9, 200])
def test_a_damaged_file_of_weights_is_told_in_one_line(tmp_path, suffix, n_bytes):
    path = tmp_path / f"weights{suffix}"
    state = {"conv1.weight": torch.ones(64)}
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    path.write_bytes(path.read_bytes()[:n_bytes])
    with pytest.raises(DataError, match="cannot be read as weights") as told:
        build("fpn", 2, 1, 2, encoder="resnet18", pretrained=str(path))
    assert "\n" not in str(told.value)


def test_the_digits_in_a_files_name_are_its_hash(tmp_path):
    path = tmp_path / "resnet18-00000000.pth"
    torch.save(build_encoder("resnet18", 2, 3).state_dict(), path)
    with pytest.raises(DataError, match="sha256 00000000"):
        build("unet", 2, 3, 2, encoder="resnet18", pretrained=str(path))


def test_a_hash_beside_registered_weights_must_be_theirs():
    with pytest.raises(DataError, match="beside the registered weights"):
        build("fpn", 2, 3, 2, encoder="efficientnet-lite0", pretrained="imagenet", sha256="0" * 64)


def test_a_hash_without_weights_is_refused():
    with pytest.raises(MedsegError, match="sha256 without pretrained"):
        build("fpn", 2, 3, 2, encoder="mobilenetv2", sha256="0" * 64)


class Payload:
    def __reduce__(self):
        return print, ("executed",)


def test_a_file_with_code_in_it_is_refused_and_not_run(tmp_path, capsys):
    torch.save({"conv1.weight": Payload()}, tmp_path / "bad.pt")
    with pytest.raises(DataError, match="cannot be read as weights"):
        build("unet", 2, 3, 2, encoder="resnet18", pretrained=str(tmp_path / "bad.pt"))
    assert "executed" not in capsys.readouterr().out


def test_weights_of_another_encoder_are_refused(tmp_path):
    torch.save(build_encoder("resnet18", 2, 3).state_dict(), tmp_path / "w.pt")
    with pytest.raises(MedsegError, match="encoder that the weights were trained for"):
        build("unet", 2, 3, 2, encoder="resnet34", pretrained=str(tmp_path / "w.pt"))


def test_batch_statistics_are_refused_for_another_normalisation():
    with pytest.raises(MedsegError, match="batch normalisation"):
        build("unet", 2, 3, 2, encoder="efficientnet-lite0", pretrained="imagenet", norm="instance")


def test_a_missing_file_is_named():
    with pytest.raises(DataError, match=r"nowhere\.pt"):
        build("unet", 2, 3, 2, encoder="mobilenetv2", pretrained="nowhere.pt")


def test_the_wheels_file_is_the_published_one():
    assert weights_path("efficientnet-lite0").name == "efficientnet-lite0-57934424.pth"


def test_monais_efficientnet_weights_give_monais_features(tmp_path):
    theirs = EfficientNetBN("efficientnet-b0", pretrained=False, num_classes=10).eval()
    torch.save(theirs.state_dict(), tmp_path / "b0.pt")
    ours = build_encoder("efficientnet-b0", 2, 3).eval()
    load(ours, "efficientnet-b0", str(tmp_path / "b0.pt"))
    x = torch.rand(1, 3, 224, 224)
    with torch.inference_mode():
        y = theirs._swish(theirs._bn0(theirs._conv_stem(theirs._conv_stem_padding(x))))
        torch.testing.assert_close(ours(x)[4], theirs._blocks(y), rtol=1e-3, atol=1e-4)


def test_monais_resnet_weights_give_monais_features(tmp_path):
    theirs = ResNetFeatures("resnet50", pretrained=False, spatial_dims=2, in_channels=1).eval()
    torch.save(theirs.state_dict(), tmp_path / "r50.pt")
    ours = build_encoder("resnet50", 2, 1).eval()
    load(ours, "resnet50", str(tmp_path / "r50.pt"))
    x = torch.rand(1, 1, 64, 64)
    with torch.inference_mode():
        for a, b in zip(ours(x)[1:], theirs(x)[1:], strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_torchvisions_mobilenet_names_are_understood(tmp_path):
    """torchvision's order of layers is the network's own, so the n-th tensor is the n-th."""
    ours, copy = build_encoder("mobilenetv2", 2, 3), build_encoder("mobilenetv2", 2, 3)
    names = ["features.0.0.weight"] + [f"features.0.1.{k}" for k in BATCH_NORM]
    for n in range(1, 18):
        widened = n > 1
        for i in range(2 if widened else 1):
            names += [f"features.{n}.conv.{i}.0.weight"] + [
                f"features.{n}.conv.{i}.1.{k}" for k in BATCH_NORM
            ]
        i = 2 if widened else 1
        names += [f"features.{n}.conv.{i}.weight"] + [f"features.{n}.conv.{i + 1}.{k}" for k in BATCH_NORM]
    torch.save(dict(zip(names, ours.state_dict().values(), strict=True)), tmp_path / "m.pt")
    load(copy, "mobilenetv2", str(tmp_path / "m.pt"))
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), copy.parameters(), strict=True))


BATCH_NORM = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]


def test_frozen_stages_keep_weights_and_statistics_through_training():
    network = build("unet", 2, 1, 2, encoder="resnet18")
    freeze(network, 3)
    before = {k: t.clone() for k, t in network.encoder.state_dict().items()}
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1, weight_decay=0.1)
    network.train()(torch.rand(2, 1, 64, 64)).square().mean().backward()
    optimiser.step()
    after = network.encoder.state_dict()
    kept = ("conv1", "bn1", "layer1", "layer2")
    assert all(torch.equal(after[k], t) for k, t in before.items() if k.startswith(kept))
    assert all(not torch.equal(after[k], t) for k, t in before.items() if k.startswith("layer3.0"))


def test_a_schedule_thaws_the_encoder_as_epochs_begin():
    network = build("fpn", 2, 1, 2, encoder="mobilenetv2")
    schedule, learning = FreezeSchedule(network, [[1, 5], [3, 2], [4, 0]]), []
    engine = Engine(lambda _engine, _batch: learning.append(_learning(network.encoder)))
    schedule.attach(engine)
    engine.run([0], max_epochs=4)
    whole = _size(network.encoder)
    first_two = _size(network.encoder.stem, network.encoder.stage1, network.encoder.stage2)
    assert learning == [0, 0, whole - first_two, whole]


def _size(*modules):
    return sum(p.numel() for m in modules for p in m.parameters())


def _learning(module):
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def test_the_encoder_has_a_learning_rate_of_its_own_and_nobody_is_left_out():
    network = build("pspnet", 2, 1, 2, encoder="mobilenetv2")
    optimiser = torch.optim.AdamW(parameter_groups(network, encoder_lr=1e-5), lr=1e-3)
    assert [group["lr"] for group in optimiser.param_groups] == [1e-5, 1e-3]
    assert sum(p.numel() for g in optimiser.param_groups for p in g["params"]) == _size(network)


def test_the_encoder_s_share_of_the_rate_survives_a_schedule_and_frozen_stages_are_in_no_group():
    network = build("pspnet", 2, 1, 2, encoder="mobilenetv2")
    optimiser = torch.optim.AdamW(parameter_groups(network, encoder_scale=0.3, n_frozen=2), lr=1.0)
    engine = Engine(lambda *_: None)
    engine.state.progress = 0.5
    LearningRate(optimiser, peak=0.5, shape="constant")(engine)
    assert [group["lr"] for group in optimiser.param_groups] == [0.15, 0.5]
    assert sum(p.numel() for g in optimiser.param_groups for p in g["params"]) == _learning(network)
    assert _learning(network) < _size(network)


@pytest.mark.parametrize("schedule", [[], [[0, 5]], [[3, 0], [1, 5]], [[1, 6]]], ids=str)
def test_a_schedule_that_cannot_be_followed_is_refused(schedule):
    with pytest.raises(MedsegError, match=r"rising|frozen stages"):
        FreezeSchedule(build("fpn", 2, 1, 2, encoder="mobilenetv2"), schedule)


def test_a_network_without_such_an_encoder_cannot_be_frozen():
    with pytest.raises(MedsegError, match="without an encoder"):
        freeze(build("UNet", 2, 1, 2), 1)
