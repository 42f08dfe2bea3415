"""3D convolutions of one window in the faster form, where torch on a CPU would take a slower one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from medseg.inference.transposed import transposed

# Of a batch of one, torch 2.13 gives oneDNN what has more values than this in channels and the two slower
# axes (`use_mkldnn` in ATen's Convolution.cpp): a rule made for pictures, which leaves out the deeper half of
# a 3D U-Net, where its own loops take up to 13 times as long.
LARGEST_LEFT_OUT = 20480


class ByOneDnn(TorchFunctionMode):
    """While it is active, 3D convolutions in float32 on a CPU are oneDNN's; all else is left as it is.

    Transposed ones take the forms of `medseg.inference.transposed`. Where gradients are recorded it does
    nothing. Sums are taken in another order than in torch's loops.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """The function's result."""
        # nn.Conv3d gives all seven by their place.
        if func is F.conv3d and len(args) == 7 and not kwargs and _is_left_out(*args[:2], *args[3:]):
            x, weight, bias, stride, padding, dilation, _ = args
            return torch.mkldnn_convolution(x, weight, bias, padding, stride, dilation, 1)
        # And nn.ConvTranspose3d all eight.
        if func is F.conv_transpose3d and len(args) == 8 and not kwargs and _is_usual(*args[:2], *args[3:]):
            found = transposed(*args[:6])
            if found is not None:
                return found
        return func(*args, **(kwargs or {}))


def _is_left_out(
    x: torch.Tensor, weight: torch.Tensor, stride: Any, padding: Any, dilation: Any, groups: int
) -> bool:
    """True where torch would not ask oneDNN, and oneDNN can."""
    return (
        groups == 1
        and _can_be_asked(x, weight)
        and x.shape[1] * x.shape[2] * x.shape[3] <= LARGEST_LEFT_OUT
        and weight.shape[-1] > 1
        and all(isinstance(a, tuple) for a in (stride, padding, dilation))
    )


def _is_usual(
    x: torch.Tensor, weight: torch.Tensor, stride: Any, padding: Any, more: Any, groups: int, dilation: Any
) -> bool:
    """True for a plain transposed convolution in torch's usual order of values."""
    return (
        groups == 1
        and _can_be_asked(x, weight)
        and len(set(weight.shape[2:])) == 1
        and all(isinstance(a, tuple) for a in (stride, padding, more))
        and tuple(dilation) == (1, 1, 1)
        and x.is_contiguous()
        and weight.is_contiguous()
    )


def _can_be_asked(x: torch.Tensor, weight: torch.Tensor) -> bool:
    """True for one window in float32 on a CPU with oneDNN, where no gradients are recorded."""
    return (
        x.ndim == 5
        and x.shape[0] == 1
        and x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and not torch.is_grad_enabled()
        and torch.backends.mkldnn.enabled
        and torch.backends.mkldnn.is_available()
    )
