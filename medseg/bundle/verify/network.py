"""The network alone: its weights fit strictly, and what goes in and comes out is what the metadata says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from medseg.bundle.verify.step import Step, failed, passed, skipped
from medseg.bundle.weights import load_weights
from medseg.errors import BundleError

_SHAPE = re.compile(r"(?:(\d+)\s*\*\s*)?n|(\d+)\s*\*\*\s*p(?:\s*\*\s*n)?|\*")


def check_network(root: Path, network: torch.nn.Module, meta: dict[str, Any]) -> Iterator[Step]:
    """Weights, then one pass of random numbers."""
    path = next(
        (p for p in (root / "models" / n for n in ("model.safetensors", "model.pt")) if p.is_file()), None
    )
    if path is None:
        yield failed("weights", "models/model.pt is missing")
    else:
        yield _weights(path, network)
    yield _shapes(network, meta)


def _weights(path: Path, network: torch.nn.Module) -> Step:
    try:
        state = load_weights(path)
        network.load_state_dict(state, strict=True)
    except BundleError as error:
        return failed("weights", str(error))
    except RuntimeError as error:
        return failed(
            "weights", f"{path.name} does not fit network_def: {' '.join(str(error).split())[:300]}"
        )
    bad = [
        name for name, value in state.items() if value.is_floating_point() and not torch.isfinite(value).all()
    ]
    if bad:
        return failed("weights", f"{len(bad)} tensors hold NaN or infinity, first {bad[0]}")
    return passed(
        "weights", f"{len(state)} tensors, {sum(v.numel() for v in state.values())} values, all fit"
    )


def _shapes(network: torch.nn.Module, meta: dict[str, Any]) -> Step:
    io = meta.get("network_data_format", {})
    inputs = [v for v in io.get("inputs", {}).values() if isinstance(v, dict)]
    outputs = [v for v in io.get("outputs", {}).values() if isinstance(v, dict)]
    if len(inputs) != 1 or len(outputs) != 1:
        return skipped(
            "network", f"{len(inputs)} tensors in, {len(outputs)} out; only one of each is checked"
        )
    shape = [size_of(s) for s in inputs[0]["spatial_shape"]]
    wanted = inputs[0]["num_channels"]
    try:
        with torch.no_grad():
            out = network.eval()(torch.rand(1, wanted, *shape))
    except (RuntimeError, ValueError, IndexError, TypeError) as error:
        return failed(
            "network", f"cannot take {wanted} channels of {shape}: {' '.join(str(error).split())[:200]}"
        )
    out = out[0] if isinstance(out, (tuple, list)) else out
    return _compare(out, shape, outputs[0])


def _compare(out: torch.Tensor, shape: list[int], said: dict[str, Any]) -> Step:
    got = list(out.shape)
    if len(got) < 2 or got[1] != said["num_channels"]:
        return failed("network", f"gives {got}, metadata says {said['num_channels']} channels")
    for axis, (size, text) in enumerate(zip(got[2:], said["spatial_shape"], strict=False)):
        if size != (size_of(text) if isinstance(text, int) else shape[axis]):
            return failed("network", f"gives {got[2:]} for {shape}, metadata says {said['spatial_shape']}")
    if len(got) - 2 != len(said["spatial_shape"]):
        return failed("network", f"gives {len(got) - 2} spatial axes, metadata says {said['spatial_shape']}")
    if str(out.dtype).removeprefix("torch.") != said["dtype"]:
        return failed("network", f"gives {out.dtype}, metadata says {said['dtype']}")
    if not torch.isfinite(out).all():
        return failed("network", "gives NaN or infinity for numbers between 0 and 1")
    return passed("network", f"{shape} in, {got[1]} channels of {got[2:]} out, {said['dtype']}, finite")


def size_of(said: int | str) -> int:
    """A size that fits an entry of ``spatial_shape``: ``16*n`` gives 32, ``2**p*n`` and ``*`` give 32."""
    if isinstance(said, int) or str(said).isdigit():
        return int(said)
    match = _SHAPE.fullmatch(str(said).strip())
    if match and match[1]:
        return int(match[1]) * max(1, -(-32 // int(match[1])))
    return int(match[2]) ** 5 if match and match[2] and int(match[2]) == 2 else 32
