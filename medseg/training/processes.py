"""One process or several: who this one is, and how they start, agree and end together."""

from __future__ import annotations

import os
from datetime import timedelta

import torch
import torch.distributed as dist
from monai.utils import set_determinism
from torch import nn


def rank() -> int:
    """The number of this process, 0 where there is only one."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def n_processes() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def is_main() -> bool:
    """True in the one process that writes files and tells how the run goes."""
    return rank() == 0


def start(seed: int | None = 0, timeout_s: float = 600.0) -> None:
    """Seed every generator, and join the other processes if torchrun started this one.

    GPUs talk by nccl, CPUs by gloo. It may be called again: a process joins once.

    Args:
        seed: of python, numpy and torch.
        timeout_s: how long one process waits for another before it gives up with an error.
    """
    set_determinism(seed=seed)
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or dist.is_initialized():
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    backend = "nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(backend, timeout=timedelta(seconds=timeout_s))


def finish() -> None:
    """Leave the other processes in good order; nothing to do where there are none."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def replicated(network: nn.Module) -> nn.Module:
    """The network whose gradients are averaged over the processes; itself where there is only one."""
    if n_processes() == 1:
        return network
    device = next(network.parameters()).device
    return nn.parallel.DistributedDataParallel(
        network, device_ids=[device.index] if device.type == "cuda" else None
    )


def agreed(value: float) -> float:
    """The main process's number, in every process: clocks differ, and all must stop at the same step."""
    if n_processes() == 1:
        return value
    on_gpu = dist.get_backend() == "nccl"
    shared = torch.tensor([value], dtype=torch.float64, device="cuda" if on_gpu else "cpu")
    dist.broadcast(shared, src=0)
    return float(shared.item())


def summed(values: torch.Tensor) -> torch.Tensor:
    """The sum over the processes of a tensor of the same shape in each."""
    if n_processes() > 1:
        shared = values.cuda() if dist.get_backend() == "nccl" else values.clone()
        dist.all_reduce(shared)
        return shared.to(values.device)
    return values
