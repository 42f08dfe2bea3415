"""Half precision where the device at hand is faster with it, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from monai.inferers import SimpleInferer
from torch.overrides import TorchFunctionMode


def mixed_precision(device: torch.device | str, wanted: bool = True) -> bool:
    """True where `device` computes faster in half precision: on CUDA.

    On a CPU without AVX512-BF16 it is many times slower, and MONAI 1.6.1's trainers know it on CUDA alone.
    """
    return wanted and torch.device(device).type == "cuda" and torch.cuda.is_available()


class MixedPrecisionInferer(SimpleInferer):
    """Runs the network in bfloat16 where a CPU has units for it, and as it is everywhere else.

    MONAI 1.6.1's trainers know mixed precision on CUDA alone (`mixed_precision`). Weights, normalisation and
    what comes out stay float32: torch's autocast takes the convolutions only. So do depthwise convolutions,
    whose gradients oneDNN computes up to eight times slower in bfloat16 than in float32.

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
        if not self.halves:
            return super().__call__(inputs, network, *args, **kwargs)
        with torch.autocast("cpu", torch.bfloat16), _Mended():
            outputs = super().__call__(inputs, network, *args, **kwargs)
        return outputs.float() if isinstance(outputs, torch.Tensor) else [level.float() for level in outputs]


class _Mended(TorchFunctionMode):
    """Keeps depthwise convolutions in float32, and those whose output is one or two columns wide.

    In torch 2.13 the gradients of a depthwise convolution take oneDNN up to eight times as long in bfloat16
    (240 channels, 5 x 5, channels last: 69 ms for 13).

    Narrow ones it computes wrongly, from memory that nobody wrote, up to NaN: with AMX the output of a stride
    into one column, with AVX512-BF16 the gradient of the weights where the output has one column (stride 2)
    or two (3D, stride 1). In the deepest level for small patches float32 costs next to nothing.
    Can go when `tests/training/test_precision.py` passes without it on both kinds of CPU.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        convolves = func in (torch.conv2d, torch.conv3d)
        if not convolves or not (_is_depthwise(*args, **kwargs) or _is_narrow(*args, **kwargs)):
            return func(*args, **kwargs)
        with torch.autocast("cpu", enabled=False):
            return func(args[0].float(), *args[1:], **kwargs)


def _is_depthwise(x: torch.Tensor, *args: Any, groups: int = 1, **_: Any) -> bool:
    """True where each channel is filtered by itself; `args` are torch's after the input."""
    asked = args[5] if len(args) > 5 else groups
    return bool(1 < asked == x.shape[1])


def _is_narrow(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,  # noqa: ARG001  (torch's signature)
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,  # noqa: ARG001
) -> bool:
    """True where the output of a convolution has at most two columns along its last axis."""
    s, p, d = (v if isinstance(v, int | str) else v[-1] for v in (stride, padding, dilation))
    taken = d * (weight.shape[-1] - 1)
    if isinstance(p, str):  # such a padding goes with a stride of one
        return x.shape[-1] - (taken if p == "valid" else 0) <= 2
    return bool((x.shape[-1] + 2 * p - taken - 1) // s + 1 <= 2)


def has_bfloat16_units() -> bool:
    """True where this CPU multiplies in bfloat16 itself; elsewhere it is 75 times slower than float32."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
