"""How much memory a case will take, told before it starts, and the cheapest way to stay below a limit."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from pathlib import Path

import torch

from medseg.errors import MedsegError
from medseg.inference.allocation import return_freed_memory
from medseg.inference.engine import N_SLICES, slab_axis, strips
from medseg.inference.resampled_source import N_ROWS
from medseg.inference.slabs import Network
from medseg.inference.tiling import Tiling
from medseg.inference.wayback import WayBack
from medseg.inference.windows import Windows

MIB = 1 << 20
# Allocator, small tensors and what the writer holds.
SLACK = 96 * MIB
N_STRIPS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
UNITS = {"": 1, "K": 1 << 10, "M": MIB, "G": 1 << 30, "T": 1 << 40}


class MemoryLimitError(MedsegError):
    """A limit that no way of running keeps."""


def parse_size(text: str) -> int:
    """Bytes of ``4G``, ``800M``, ``1.5GiB`` or a plain number.

    Raises:
        MedsegError: not a size.

    >>> parse_size("1.5G")
    1610612736
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(?:I?B)?\s*", text.upper())
    if match is None or float(match[1]) == 0:
        raise MedsegError(f"memory limit {text!r}", "a size such as 4G or 800M", "write it so")
    return int(float(match[1]) * UNITS[match[2]])


@dataclass(frozen=True)
class Demand:
    """One way of running a case and what it takes at its peak.

    Attributes:
        on_disk: the scan's voxels stay on disk.
        n_strips: parts of the plane, one after the other.
        peak_bytes: of the whole process.
    """

    on_disk: bool
    n_strips: int
    peak_bytes: int


@dataclass(frozen=True)
class Load:
    """What does not depend on how a case is run.

    Attributes:
        resident_bytes: of the process before the case, weights and libraries included.
        network_bytes: what the network takes on top while it scores one batch of windows.
        scan_bytes: of the scan's voxels in their file's type.
        n_inputs, n_channels: channels into and out of the network.
        is_streamed: False where preprocessing needs the whole volume.
        has_probabilities: they are made beside the labels.
    """

    resident_bytes: int
    network_bytes: int
    scan_bytes: int
    n_inputs: int
    n_channels: int
    is_streamed: bool
    has_probabilities: bool = False


def ways_of_running(load: Load, windows: Windows, way: WayBack, shape: Sequence[int]) -> Iterator[Demand]:
    """Ways of running a case, the fastest first, each with its peak."""
    for on_disk, n_strips in ((False, 1), *product((True,), N_STRIPS)):
        yield Demand(on_disk, n_strips, _peak(load, windows, way, tuple(shape), on_disk, n_strips))


def within(limit: int | None, ways: Iterator[Demand]) -> Demand:
    """The first way that stays below a limit.

    Raises:
        MemoryLimitError: none does.
    """
    least: Demand | None = None
    for demand in ways:
        if limit is None or demand.peak_bytes <= limit:
            return demand
        if least is None or demand.peak_bytes < least.peak_bytes:
            least = demand
    assert least is not None
    raise MemoryLimitError(
        f"--max-ram {limit / MIB if limit else 0:.0f}M",
        f"at least {least.peak_bytes / MIB:.0f}M for this scan and network",
        "allow more, or use a smaller network or window",
    )


def _peak(
    load: Load, windows: Windows, way: WayBack, shape: tuple[int, ...], on_disk: bool, n_strips: int
) -> int:
    axis = slab_axis(way)
    roi = windows.sizes(shape)[axis]
    padded = [n + sum(pad) for n, pad in zip(shape, windows.padding(shape), strict=True)]
    plane = prod(n for a, n in enumerate(padded) if a != axis)
    widest = 0
    for strip, _ in strips(way, n_strips):
        reach = Tiling(windows, shape, axis, strip=strip).reach()
        widest = max(widest, prod(stop - low for a, (low, stop) in enumerate(reach) if a != axis))
    buffer = 4 * (load.n_channels + 1) * widest * (roi + 1)
    # The slab, the one before it, and some rows twice on their way in.
    slab = 4 * load.n_inputs * plane * (2 * roi + 2 * N_ROWS) + 8 * 8 * plane
    volume = 0 if load.is_streamed else 4 * load.n_inputs * prod(shape) * 4
    native_plane = prod(way.shape[:-1])
    rows = min(N_SLICES * shape[axis] / way.shape[-1] + 2, shape[axis])
    # Codes of some rows twice, the labels, and activated scores of two planes while their table grows.
    deciding = int(widest * rows * 4) + native_plane * N_SLICES * 4 + 3 * 8 * widest * load.n_channels
    if load.has_probabilities:
        # Of one channel: sums on the grid's rows, and values between interpolations, all float64.
        deciding += int(widest * rows * 8 * 4) + native_plane * N_SLICES * 8 * 5
    labels = 0 if n_strips == 1 else native_plane * 16
    scan = 0 if on_disk else load.scan_bytes
    planes = native_plane * 8 * 5 * load.n_inputs
    parts = buffer + slab + volume + deciding + labels + scan + planes + load.network_bytes
    return load.resident_bytes + int(parts * 1.05) + SLACK


def resident_bytes() -> int:
    """Memory of this process that is in use now; its highest so far where the system does not tell."""
    return_freed_memory()
    status = Path("/proc/self/status")
    if status.exists():
        return _field(status.read_text(), "VmRSS")
    # Not on Windows, so imported where it is needed.
    import resource

    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale


def _field(status: str, name: str) -> int:
    return int(re.search(rf"{name}:\s+(\d+) kB", status)[1]) * 1024  # type: ignore[index]


def network_bytes(network: Network, window: torch.Tensor) -> tuple[int, int]:
    """What one batch takes at its peak, measured by running it once, and the number of channels out."""
    before = resident_bytes()
    _reset_peak()
    scores = network(window)
    peak = before
    status = Path("/proc/self/status")
    if status.exists():
        peak = max(_field(status.read_text(), "VmHWM"), resident_bytes())
    return max(peak - before, 2 * scores.numel() * 4), int(scores.shape[1])


def _reset_peak() -> None:
    # Linux only; without it the peak of the process so far counts, which errs to the safe side.
    clear = Path("/proc/self/clear_refs")
    if clear.exists() and os.access(clear, os.W_OK):
        try:
            clear.write_text("5")
        except MedsegError:
            # A stranger's bundle is kept from writing anywhere but in the output folder, here too.
            return
