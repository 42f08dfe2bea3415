"""What a network costs at a given input: parameters, multiply-adds and memory, without computing anything.

Everything runs on torch's meta device, which knows shapes and no values.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from medseg.networks.own import NAMES as OWN
from medseg.networks.registry import build


class Cost(NamedTuple):
    """Of one forward pass in single precision.

    Attributes:
        parameters: learnt numbers.
        multiply_adds: of convolutions, matrix products and attention.
        inference_bytes: weights and the largest sum of tensors alive at once, the input among them.
        training_bytes: weights, gradients and Adam's two moments, and what the forward pass keeps
            for the backward one; the backward kernels need more on top.
    """

    parameters: int
    multiply_adds: int
    inference_bytes: int
    training_bytes: int


def cost(network: nn.Module, shape: tuple[int, ...]) -> Cost:
    """The cost for an input of `shape` (B, C, *S). `network` is to be on the meta device, see `on_meta`.

    Raises:
        RuntimeError or ValueError: torch's or the network's own, where it does not take this shape.
    """
    x = torch.empty(shape, device="meta")
    weights = sum(t.nbytes for t in network.state_dict().values())
    with torch.no_grad(), _Alive(x.nbytes) as alive, FlopCounterMode(display=False) as flops:
        network.eval()(x)
    kept = _kept_bytes(network.train(), x)
    return Cost(
        parameters=sum(p.numel() for p in network.parameters()),
        multiply_adds=flops.get_total_flops() // 2,
        inference_bytes=weights + alive.peak,
        training_bytes=4 * weights + kept,
    )


def on_meta(name: str, spatial_dims: int, in_channels: int, out_channels: int, **options: Any) -> nn.Module:
    """`build` without memory for weights; MONAI's constructors compute, so theirs are emptied afterwards."""
    if name not in OWN:
        return build(name, spatial_dims, in_channels, out_channels, **options).to("meta")
    with torch.device("meta"):
        return build(name, spatial_dims, in_channels, out_channels, **options)


class _Alive(TorchDispatchMode):
    """The largest sum of bytes of all tensors that existed at once."""

    def __init__(self, at_first: int) -> None:
        super().__init__()
        self.at_first = self.peak = at_first
        self.storages: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        # Views and in-place results share a storage that is known already, or is the input's or a weight's.
        known = {_key(t) for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)}
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor) and _key(tensor) not in known:
                storage = tensor.untyped_storage()
                self.storages[_key(tensor)] = (StorageWeakRef(storage), storage.nbytes())
        self.storages = {k: v for k, v in self.storages.items() if not v[0].expired()}
        self.peak = max(self.peak, self.at_first + sum(n for _, n in self.storages.values()))
        return result


def _key(tensor: torch.Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def _kept_bytes(network: nn.Module, x: torch.Tensor) -> int:
    """Bytes that autograd keeps after a forward pass, weights apart."""
    weights = {_key(t) for t in (*network.parameters(), *network.buffers())}
    with _packed() as kept:
        output = network(x)
        total = sum({_key(t): t.untyped_storage().nbytes() for t in kept if _key(t) not in weights}.values())
    del output
    return total


@contextmanager
def _packed() -> Iterator[list[torch.Tensor]]:
    kept: list[torch.Tensor] = []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield kept
