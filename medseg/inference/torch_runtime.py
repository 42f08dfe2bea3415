"""A network run by torch: as it is, or compiled."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

from medseg.errors import MedsegError
from medseg.inference.convolutions import ByOneDnn
from medseg.inference.slabs import Network


class RuntimeUnavailableError(MedsegError):
    """A runtime that is not installed or does not fit the device."""


def torch_network(network: torch.nn.Module, *, is_compiled: bool = False) -> Network:
    """The network without a record for gradients: oneDNN on a CPU, channels-last float16 on CUDA.

    Compiled it is one of torch.compile's, on CUDA as a CUDA graph, whose next call overwrites the scores.
    """
    is_cuda = next(network.parameters()).is_cuda
    mode = "reduce-overhead" if is_cuda else "default"
    run = torch.compile(network, mode=mode, dynamic=False) if is_compiled else network

    @torch.inference_mode()
    def scores(windows: torch.Tensor) -> torch.Tensor:
        if is_cuda:
            if is_compiled:
                torch.compiler.cudagraph_mark_step_begin()
            windows = windows.to(memory_format=_channels_last(windows))
        with _manner(is_cuda, is_compiled):
            out = run(windows)
        return out[0] if isinstance(out, (tuple, list)) else out

    return scores


def compiled_network(network: torch.nn.Module, window: torch.Tensor) -> Network:
    """The network compiled for windows like this one.

    Raises:
        RuntimeUnavailableError: torch can't compile it, or there is no compiler.
    """
    scores = torch_network(network, is_compiled=True)
    try:
        # Compiled at the first call.
        scores(window)
    except RuntimeError as error:
        if "torch._" not in type(error).__module__:
            raise
        reason = str(error).strip().splitlines()[0]
        raise RuntimeUnavailableError(
            f"torch.compile failed: {reason}", "a network and a compiler that it takes", "use --runtime torch"
        ) from error
    return scores


def _manner(is_cuda: bool, is_compiled: bool) -> AbstractContextManager[object]:
    if is_cuda:
        return torch.autocast("cuda", torch.float16)
    return nullcontext() if is_compiled else ByOneDnn()


def _channels_last(windows: torch.Tensor) -> torch.memory_format:
    return torch.channels_last_3d if windows.ndim == 5 else torch.channels_last
