"""The network alone: its weights fit strictly, its shapes are the metadata's, its exports give its scores."""

from __future__ import annotations

import logging
import math
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from medseg.bundle.verify.step import Step, failed, passed, skipped
from medseg.bundle.weights import load_weights
from medseg.errors import BundleError
from medseg.inference.runtimes import TOLERANCE, export_onnx, is_installed, onnx_network

_SHAPE = re.compile(r"(?:(?P<times>\d+)\s*\*\s*)?n|(?P<base>\d+)\s*\*\*\s*p(?:\s*\*\s*n)?|\*")
_LARGEST = 1 << 28
_NAMES = ("model.safetensors", "model.pt")


def check_network(root: Path, network: torch.nn.Module, meta: dict[str, Any], folder: Path) -> Iterator[Step]:
    """Weights, then one pass of random numbers, then the same pass by the exported network.

    Args:
        root: the bundle.
        network: as its config builds it; it keeps the weights.
        meta: its metadata.
        folder: for the exported files.
    """
    path = next((p for p in (root / "models" / n for n in _NAMES) if p.is_file()), None)
    yield failed("weights", "models/model.pt is missing") if path is None else _weights(path, network)
    inputs, outputs = (_tensors(meta, side) for side in ("inputs", "outputs"))
    if len(inputs) != 1 or len(outputs) != 1:
        told = f"{len(inputs)} tensors in, {len(outputs)} out; only one of each is checked"
        yield skipped("network", told)
        return
    if (size := math.prod(_shape(inputs[0]))) > _LARGEST:
        yield failed("network", f"metadata says a window of {size} numbers, too many to try")
        return
    window = _window(inputs[0])
    network.eval()
    step = _shapes(network, window, outputs[0])
    yield step
    if not step.failed:
        yield _torchscript(network, window, folder / "model.ts")
        yield _onnx(network, window, folder / "model.onnx")


def _tensors(meta: dict[str, Any], side: str) -> list[dict[str, Any]]:
    values = meta.get("network_data_format", {}).get(side, {})
    return [v for v in values.values() if isinstance(v, dict)] if isinstance(values, dict) else []


def _shape(said: dict[str, Any]) -> tuple[int, ...]:
    return (1, int(said["num_channels"]), *(size_of(s) for s in said["spatial_shape"]))


def _window(said: dict[str, Any]) -> torch.Tensor:
    return torch.rand(_shape(said), generator=torch.Generator().manual_seed(0))


def _weights(path: Path, network: torch.nn.Module) -> Step:
    try:
        state = load_weights(path)
        network.load_state_dict(state, strict=True)
    except BundleError as error:
        return failed("weights", str(error))
    except RuntimeError as error:
        return failed("weights", f"{path.name} does not fit network_def: {_line(error)}")
    bad = [n for n, v in state.items() if v.is_floating_point() and not torch.isfinite(v).all()]
    if bad:
        return failed("weights", f"{len(bad)} tensors hold NaN or infinity, first {bad[0]}")
    values = sum(v.numel() for v in state.values())
    return passed("weights", f"{len(state)} tensors, {values} values, all fit")


def _shapes(network: torch.nn.Module, window: torch.Tensor, said: dict[str, Any]) -> Step:
    try:
        out = _scores(network, window)
    except (RuntimeError, ValueError, IndexError, TypeError) as error:
        return failed("network", f"cannot take {list(window.shape)}: {_line(error)}")
    got, wanted = list(out.shape), said["spatial_shape"]
    sizes = [size_of(s) if isinstance(s, int) else n for s, n in zip(wanted, window.shape[2:], strict=False)]
    if len(got) < 2 or got[1] != said["num_channels"]:
        return failed("network", f"gives {got}, metadata says {said['num_channels']} channels")
    if got[2:] != sizes:
        return failed("network", f"gives {got[2:]} for {list(window.shape[2:])}, metadata says {wanted}")
    if str(out.dtype).removeprefix("torch.") != said["dtype"]:
        return failed("network", f"gives {out.dtype}, metadata says {said['dtype']}")
    if not torch.isfinite(out).all():
        return failed("network", "gives NaN or infinity for numbers between 0 and 1")
    told = f"{list(window.shape)} in, {got} out, {said['dtype']}, finite"
    return passed("network", told)


def _torchscript(network: torch.nn.Module, window: torch.Tensor, path: Path) -> Step:
    """As the model zoo's check and `ckpt_export` do it: by scripting."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's own, that TorchScript is an old format
            torch.jit.script(network).save(str(path))
            other = torch.jit.load(str(path))
    except (RuntimeError, torch.jit.frontend.NotSupportedError) as error:
        return failed("torchscript", f"cannot be scripted: {_line(error)}")
    return _parity("torchscript", _scores(network, window), _scores(other, window))


def _onnx(network: torch.nn.Module, window: torch.Tensor, path: Path) -> Step:
    if not is_installed("onnx"):
        return skipped("onnx", "onnx, onnxscript or onnxruntime is not installed: pip install 'medseg[onnx]'")
    # torch tells of each optional package that its exporter does without.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        other = onnx_network(export_onnx(network, window, path))
    except (RuntimeError, ValueError, TypeError, torch.onnx.OnnxExporterError) as error:
        return failed("onnx", f"cannot be exported: {_line(error)}")
    return _parity("onnx", _scores(network, window), other(window))


def _parity(name: str, own: torch.Tensor, other: torch.Tensor) -> Step:
    if own.shape != other.shape:
        return failed(name, f"gives {list(other.shape)}, torch {list(own.shape)}")
    off = float((own - other).abs().max() / own.abs().max().clamp(min=1e-6))
    told = f"differs from torch by {off:.1e} of the largest score"
    return passed(name, told) if math.isfinite(off) and off <= TOLERANCE["cpu"] else failed(name, told)


def _scores(network: Any, window: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        out = network(window)
    return out[0] if isinstance(out, (tuple, list)) else out


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]


def size_of(said: int | str) -> int:
    """A size that fits an entry of ``spatial_shape``: ``16*n``, ``2**p*n`` and ``*`` give 32."""
    if isinstance(said, int) or str(said).isdigit():
        return int(said)
    match = _SHAPE.fullmatch(str(said).strip())
    if match and match["times"]:
        return int(match["times"]) * max(1, -(-32 // int(match["times"])))
    base = int(match["base"]) if match and match["base"] else 2
    return base ** max(1, math.ceil(math.log(32, base) - 1e-9)) if base > 1 else 32
