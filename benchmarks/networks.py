"""Time and memory per network, ours beside their counterparts in MONAI.

    python benchmarks/networks.py [--quick]

Counts CPU seconds on one thread, the least of several rounds in which the two take turns, so that a busy
machine weighs on both alike. Memory is computed, see `medseg.networks.cost`. segmentation-models-pytorch is
left out: it needs a torchvision that matches torch, and this project's machine has none.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial

import torch
from torch import nn

from medseg.networks import build
from medseg.networks.cost import cost

Pair = tuple[str, tuple[int, ...], Callable[[], nn.Module], Callable[[], nn.Module]]

BASIC = (32, 32, 64, 128, 256)

PAIRS: list[Pair] = [
    (
        "unet on resnet18, 2D | FlexibleUNet",
        (1, 3, 128, 128),
        lambda: build("unet", 2, 3, 2, encoder="resnet18"),
        lambda: build("FlexibleUNet", 2, 3, 2, encoder="resnet18"),
    ),
    (
        "unet on efficientnet-b0, 2D | FlexibleUNet",
        (1, 3, 128, 128),
        lambda: build("unet", 2, 3, 2, encoder="efficientnet-b0"),
        lambda: build("FlexibleUNet", 2, 3, 2, encoder="efficientnet-b0"),
    ),
    (
        "unet of the paper, five levels, instance norm, 2D | BasicUNet",
        (1, 1, 128, 128),
        lambda: build("unet", 2, 1, 2, channels=BASIC, norm="instance"),
        lambda: build("BasicUNet", 2, 1, 2, features=(*BASIC, 32)),
    ),
    (
        "unet of the paper, five levels, instance norm, 3D | BasicUNet",
        (1, 4, 48, 48, 48),
        lambda: build("unet", 3, 4, 3, channels=BASIC, norm="instance"),
        lambda: build("BasicUNet", 3, 4, 3, features=(*BASIC, 32)),
    ),
]

ALONE: list[tuple[str, tuple[int, ...], Callable[[], nn.Module]]] = [
    (f"{name} on {encoder}, {dims}D", shape, partial(build, name, dims, shape[1], 3, encoder=encoder))
    for name in ("fcn", "segnet", "unet", "pspnet", "fpn", "deeplabv3", "deeplabv3plus")
    for encoder, dims, shape in (
        ("efficientnet-lite0", 2, (1, 3, 128, 128)),
        ("resnet18", 3, (1, 4, 48, 48, 48)),
    )
]


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


def row(title: str, shape: tuple[int, ...], makers: list[Callable[[], nn.Module]], rounds: int) -> None:
    """Print one line: times, their ratio where there are two, parameters and memory of ours."""
    torch.manual_seed(0)
    networks, x = [make() for make in makers], torch.rand(shape)
    forward, training = (race(networks, x, rounds, train=train) for train in (False, True))
    found = cost(networks[0].to("meta"), shape)
    ratio = [f"{t[0] / t[1]:6.2f}" if len(t) > 1 else "     -" for t in (forward, training)]
    times = f"{1e3 * forward[0]:>8.0f} ms{ratio[0]}{1e3 * training[0]:>8.0f} ms{ratio[1]}"
    memory = f"{found.inference_bytes / 2**20:>7.0f} MiB{found.training_bytes / 2**20:>7.0f} MiB"
    print(f"{title:<64}{times}{found.parameters / 1e6:>8.1f} M{memory}", flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="Pairs alone, two rounds.")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    print("Compared with MONAI alone: segmentation-models-pytorch needs a torchvision that matches torch.")
    heads = f"{'forward':>11} ratio{'training':>11} ratio{'parameters':>10}  inference  training"
    print(f"{'network | MONAI counterpart':<64}{heads}")
    rounds = 2 if quick else 5
    for title, shape, ours, theirs in PAIRS:
        row(title, shape, [ours, theirs], rounds)
    if not quick:
        for title, shape, ours in ALONE:
            row(title, shape, [ours], 2)


if __name__ == "__main__":
    main()
