"""Time and memory per network, ours beside their counterparts in MONAI and segmentation_models.pytorch.

    python benchmarks/networks.py [--quick] [--only WORD]

Counts CPU seconds on one thread, the least of several rounds in which the two take turns, so that a busy
machine weighs on both alike. Memory is computed for both in one way, see `medseg.networks.cost`. A ratio
above 1 is ours being slower or larger. Rows with smp need segmentation-models-pytorch and a torchvision that
matches torch (docs/networks.md says how); without them they are left out, and that is said.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import torch
from torch import nn

from medseg.networks import build
from medseg.networks.cost import Cost, cost

BASIC = (32, 32, 64, 128, 256)
SMP_ENCODERS = {
    "resnet34": "resnet34",
    "mobilenetv2": "mobilenet_v2",
    "efficientnet-b0": "efficientnet-b0",
    "efficientnet-lite0": "timm-tf_efficientnet_lite0",
}


class Row(NamedTuple):
    """A network of ours, its counterpart where it has one, and the input that both take."""

    title: str
    shape: tuple[int, ...]
    ours: Callable[[], nn.Module]
    theirs: Callable[[], nn.Module] | None = None


def beside_monai() -> Iterator[Row]:
    """Networks that MONAI has too."""
    flat, deep = (1, 3, 128, 128), (1, 4, 48, 48, 48)
    for encoder in ("resnet18", "efficientnet-b0"):
        yield Row(
            f"unet on {encoder}, 2D | MONAI FlexibleUNet",
            flat,
            partial(build, "unet", 2, 3, 2, encoder=encoder),
            partial(build, "FlexibleUNet", 2, 3, 2, encoder=encoder),
        )
    for dims, shape in ((2, flat), (3, deep)):
        yield Row(
            f"unet, five levels, instance norm, {dims}D | MONAI BasicUNet",
            shape,
            partial(build, "unet", dims, shape[1], 2, channels=BASIC, norm="instance"),
            partial(build, "BasicUNet", dims, shape[1], 2, features=(*BASIC, 32)),
        )


def beside_smp() -> Iterator[Row]:
    """Networks that segmentation_models.pytorch has too, where it is installed."""
    if importlib.util.find_spec("segmentation_models_pytorch") is None:
        print("segmentation_models_pytorch is not installed: its rows are left out.")
        return
    import segmentation_models_pytorch as smp

    # smp's PSPNet neither dilates nor takes the paper's last kernel; its default stops after three stages.
    # Its DeepLabV3Plus has one convolution at stride 4 and one at stride 16, where ours has none.
    pairs = {
        "unet": (smp.Unet, {}, {}),
        "fpn": (smp.FPN, {}, {}),
        "pspnet": (smp.PSPNet, {"encoder_depth": 5, "upsampling": 32}, {"output_stride": 32, "kernel": 1}),
        "deeplabv3": (smp.DeepLabV3, {"encoder_output_stride": 16}, {}),
        "deeplabv3plus": (smp.DeepLabV3Plus, {"encoder_output_stride": 16}, {}),
    }
    for name, (make, theirs, ours) in pairs.items():
        for encoder, theirs_encoder in SMP_ENCODERS.items():
            yield Row(
                f"{name} on {encoder}, 2D | smp {make.__name__}",
                (2, 3, 256, 256),
                partial(build, name, 2, 3, 2, encoder=encoder, **ours),
                partial(make, theirs_encoder, encoder_weights=None, classes=2, **theirs),
            )


def alone() -> Iterator[Row]:
    """Each network of ours in 2D and 3D."""
    for name in ("fcn", "segnet", "unet", "pspnet", "fpn", "deeplabv3", "deeplabv3plus"):
        for encoder, shape in (
            ("efficientnet-lite0", (1, 3, 128, 128)),
            ("resnet18", (1, 4, 48, 48, 48)),
            ("efficientnet-lite0", (1, 4, 48, 48, 48)),
        ):
            dims = len(shape) - 2
            yield Row(
                f"{name} on {encoder}, {dims}D",
                shape,
                partial(build, name, dims, shape[1], 3, encoder=encoder),
            )


def seconds(network: nn.Module, x: torch.Tensor, *, train: bool) -> float:
    """CPU seconds of one pass; with `train` forward and backward."""
    network.train(train)
    start = time.process_time()
    with torch.set_grad_enabled(train):
        y = network(x)
        if train:
            y.square().mean().backward()
    return time.process_time() - start


def race(networks: list[nn.Module], x: torch.Tensor, rounds: int, *, train: bool) -> list[float]:
    """The least CPU seconds of each after one pass to warm up, in turns."""
    times = [[seconds(n, x, train=train) for n in networks] for _ in range(rounds + 1)][1:]
    return [min(row[i] for row in times) for i in range(len(networks))]


def line(row: Row, rounds: int) -> str:
    """Times, memory and parameters of ours, and their ratios to theirs where there are two."""
    torch.manual_seed(0)
    networks = [make() for make in (row.ours, row.theirs) if make is not None]
    x = torch.rand(row.shape)
    figures = [race(networks, x, rounds, train=train) for train in (False, True)]
    costs: list[Cost] = [cost(network.to("meta"), row.shape) for network in networks]
    figures += [[getattr(c, f"{kind}_bytes") for c in costs] for kind in ("inference", "training")]
    figures += [[c.parameters for c in costs]]
    scales = [(1e-3, "ms"), (1e-3, "ms"), (2**20, "MiB"), (2**20, "MiB"), (1e6, "M")]
    cells = [f"{row.title:<58}"]
    for values, (scale, unit) in zip(figures, scales, strict=True):
        ratio = f"{values[0] / values[1]:5.2f}" if len(values) > 1 else "    -"
        cells.append(f"{values[0] / scale:>8.{1 if unit == 'M' else 0}f} {unit:<3}{ratio}")
    return "".join(cells)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="Pairs alone, two rounds.")
    parser.add_argument("--only", default="", help="Rows whose title holds this word.")
    options = parser.parse_args()
    torch.set_num_threads(1)
    names = ("forward", "training", "inference", "training", "parameters")
    print(f"{'network | counterpart':<58}" + "".join(f"{name + ' ratio':>17}" for name in names))
    for rows in (beside_monai, beside_smp, *(() if options.quick else (alone,))):
        for row in rows():
            if options.only in row.title:
                rounds = 2 if options.quick or row.theirs is None else 5
                print(line(row, rounds), flush=True)


if __name__ == "__main__":
    main()
