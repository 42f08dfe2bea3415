"""A bundle's network as a function, run by the runtime that was asked for."""

from __future__ import annotations

from collections.abc import Callable

import torch

from medseg.errors import MedsegError
from medseg.inference.decision import Decision
from medseg.inference.engine import slab_axis
from medseg.inference.head import Prepared
from medseg.inference.int8 import busiest_windows, dice_cost, in_words, int8_network
from medseg.inference.runtimes import fastest, scored_by
from medseg.inference.slabs import Network
from medseg.inference.tiling import Tiling
from medseg.inference.torch_runtime import torch_network
from medseg.inference.windows import Windows


def telling_windows(scan: Prepared, windows: Windows) -> list[torch.Tensor]:
    """Windows of a scan by which int8 chooses its ranges of numbers."""
    tiling = Tiling(windows, scan.source.shape, slab_axis(scan.way))
    return busiest_windows(scan.source, tiling)


def network_by(
    runtime: str,
    module: torch.nn.Module,
    window: torch.Tensor,
    seen: list[torch.Tensor],
    decision: Decision,
    *,
    tell: Callable[[str], object],
) -> Network:
    """The module as this runtime runs it; what was chosen, or what it costs, is told.

    Args:
        runtime: ``torch``, ``compile``, ``onnx``, ``openvino``, ``auto`` or ``int8``.
        module: with its weights, in eval mode.
        window: of the shape and on the device of those that will come.
        seen: windows of a scan, by which ranges of int8 are chosen and its cost is measured.
        decision: on the scores, for that cost.
        tell: takes a line for the user.

    Raises:
        MedsegError: int8 is asked for and nothing was seen.
    """
    if runtime == "int8":
        if not seen:
            raise MedsegError("no scan", "one to choose the ranges of int8 by", "give a scan first")
        rounded = int8_network(module, seen)
        tell(in_words(dice_cost(torch_network(module), rounded, seen, decision)))
        return rounded
    # Noise, because zeros would hide differences between runtimes.
    noise = torch.randn(window.shape, generator=torch.Generator().manual_seed(0)).to(window.device)
    if runtime == "auto":
        name, network = fastest(module, noise)
        tell(f"runtime {name}, the fastest here")
        return network
    return scored_by(runtime, module, noise)
