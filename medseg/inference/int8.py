"""A network in eight-bit integers: faster, with other labels, and what that costs told in Dice.

Weights and activations are rounded by ONNX Runtime's quantizer to ranges that the scan's own windows show;
OpenVINO runs the result. Only for who asks.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from medseg.inference.decision import Decision
from medseg.inference.runtimes import export_onnx, needs, openvino_network
from medseg.inference.slabs import Network, Source, windows_of
from medseg.inference.tiling import Tiling

N_WINDOWS = 4
# What is rounded: nearly all of the work. The rest costs accuracy and saves little.
ROUNDED = ["Conv", "ConvTranspose", "Gemm", "MatMul"]


def busiest_windows(source: Source, tiling: Tiling) -> list[torch.Tensor]:
    """The windows in the middle of a volume in which there is most to see, each with a batch of one."""
    starts = tiling.slab_starts()
    windows = [window.clone()[None] for window in windows_of(source, tiling, starts[len(starts) // 2])]
    return list(islice(sorted(windows, key=lambda window: -float(window.std())), N_WINDOWS))


def int8_network(network: torch.nn.Module, windows: Sequence[torch.Tensor]) -> Network:
    """The network in eight bits, for windows of one size.

    Args:
        windows: what it is likely to see, each with a batch of one.

    Raises:
        RuntimeUnavailableError: a package is missing, or the device is no CPU.
    """
    needs("onnx", windows[0].device)
    needs("openvino", windows[0].device)
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    with tempfile.TemporaryDirectory() as folder:
        whole = export_onnx(network, windows[0], Path(folder) / "float32.onnx")
        rounded = whole.with_name("int8.onnx")
        quantize_static(
            whole,
            rounded,
            _reader(windows),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=ROUNDED,
        )
        scores = openvino_network(rounded)
        # Compiled while the file is there.
        scores(windows[0])
    return scores


def _reader(windows: Sequence[torch.Tensor]) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    class Windows(CalibrationDataReader):
        left = iter([{"image": window.contiguous().numpy()} for window in windows])

        def get_next(self) -> Any:
            return next(self.left, None)

    return Windows()


def dice_cost(
    expected: Network, got: Network, windows: Sequence[torch.Tensor], decision: Decision
) -> dict[int, float]:
    """Dice of each channel's labels by ``got`` with those by ``expected``.

    Channels that neither shows are left out, and so is background, the first of several classes.
    """
    overlap: dict[int, list[int]] = {}
    for window in windows:
        scores = [network(window)[0].float() for network in (expected, got)]
        for c in range(len(scores[0])):
            one, other = (_mask(decision.codes(each), c, decision) for each in scores)
            sums = overlap.setdefault(c, [0, 0])
            sums[0] += 2 * int((one & other).sum())
            sums[1] += int(one.sum() + other.sum())
    first = 1 if decision.threshold is None else 0
    return {c: both / size for c, (both, size) in overlap.items() if c >= first and size}


def _mask(codes: torch.Tensor, channel: int, decision: Decision) -> torch.Tensor:
    if decision.threshold is None:
        return codes == channel
    return (codes >> channel & 1).bool()


def in_words(cost: dict[int, float]) -> str:
    """What eight bits cost, in one line."""
    if not cost:
        return "int8: nothing but background in the windows that were compared with float32"
    worst = min(cost, key=lambda c: cost[c])
    return (
        f"int8: Dice {np.mean(list(cost.values())):.4f} with the labels of float32 on {N_WINDOWS} windows, "
        f"at least {cost[worst]:.4f} (channel {worst})"
    )
