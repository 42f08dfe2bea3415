"""Half precision where the device at hand is faster with it, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from monai.inferers import SimpleInferer


def mixed_precision(device: torch.device | str, wanted: bool = True) -> bool:
    """True where `device` computes faster in half precision: on CUDA.

    On a CPU without AVX512-BF16 it is many times slower, and MONAI 1.6.1's trainers know it on CUDA alone.
    """
    return wanted and torch.device(device).type == "cuda" and torch.cuda.is_available()


class MixedPrecisionInferer(SimpleInferer):
    """Runs the network in bfloat16 where a CPU has units for it, and as it is everywhere else.

    MONAI 1.6.1's trainers know mixed precision on CUDA alone (`mixed_precision`). Weights, normalisation and
    what comes out stay float32: torch's autocast takes the convolutions only.

    Args:
        device: where the network runs; on anything but a CPU this is MONAI's `SimpleInferer`.
        wanted: False computes in float32 throughout.
    """

    def __init__(self, device: torch.device | str, wanted: bool = True) -> None:
        super().__init__()
        self.halves = wanted and torch.device(device).type == "cpu" and has_bfloat16_units()

    def __call__(
        self, inputs: torch.Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> torch.Tensor | list[torch.Tensor]:
        """What the network makes of `inputs`, in float32; a list where it gives several levels."""
        with torch.autocast("cpu", torch.bfloat16, enabled=self.halves):
            outputs = super().__call__(inputs, network, *args, **kwargs)
        return outputs.float() if isinstance(outputs, torch.Tensor) else [level.float() for level in outputs]


def has_bfloat16_units() -> bool:
    """True where this CPU multiplies in bfloat16 itself; elsewhere it is 75 times slower than float32."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
