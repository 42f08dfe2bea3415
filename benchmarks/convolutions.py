"""3D convolutions of one window on one CPU thread: torch's own beside the engine's forms, in milliseconds.

    python -m benchmarks.convolutions

The least CPU time of several passes, in turns. ``off`` is the largest difference of the two as a share of
the largest value.
"""

from __future__ import annotations

from collections.abc import Iterator
from time import process_time

import torch
from torch import nn

from medseg.inference.allocation import keep_freed_memory
from medseg.inference.convolutions import ByOneDnn

PASSES = 6


def layers() -> Iterator[tuple[nn.Module, int]]:
    """Convolutions as U-Nets have them, and the edge of the cube that each is given."""
    for inputs, outputs, edge in ((32, 64, 24), (64, 64, 24), (16, 16, 32), (96, 96, 8)):
        yield nn.Conv3d(inputs, outputs, 3, padding=1), edge
    sizes = (32, 2, 48), (32, 3, 48), (32, 14, 48), (64, 32, 24), (64, 32, 48), (128, 64, 24), (32, 105, 48)
    for kernel, padding, more in ((3, 1, 1), (2, 0, 0)):
        for inputs, outputs, edge in sizes:
            yield nn.ConvTranspose3d(inputs, outputs, kernel, 2, padding, more), edge


def spent_ms(layer: nn.Module, x: torch.Tensor) -> float:
    """CPU milliseconds of one pass."""
    start = process_time()
    layer(x)
    return 1000 * (process_time() - start)


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    keep_freed_memory()
    print("layer                                                       edge   torch  engine    off")
    for layer, edge in layers():
        x = torch.randn(1, layer.in_channels, edge, edge, edge)
        with torch.inference_mode():
            plain = layer(x)
            with ByOneDnn():
                off = float((layer(x) - plain).abs().max() / plain.abs().max())
            times = []
            for _ in range(PASSES):
                own = spent_ms(layer, x)
                with ByOneDnn():
                    times.append((own, spent_ms(layer, x)))
        own, ours = (min(column) for column in zip(*times, strict=True))
        print(f"{layer!s:.57s} {edge:6d} {own:7.1f} {ours:7.1f} {off:.0e}", flush=True)


if __name__ == "__main__":
    main()
