"""What runs a network: torch, as it is or compiled, ONNX Runtime or OpenVINO; the fastest, by measuring."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch

from medseg.inference.slabs import Network
from medseg.inference.steady import steady
from medseg.inference.torch_runtime import RuntimeUnavailableError, compiled_network, torch_network

# What `auto` measures. On a CPU compiling takes a minute and gains nothing, so it is asked for by its name.
RUNTIMES = {"cpu": ("torch", "onnx", "openvino"), "cuda": ("torch", "compile")}
MODULES = {"onnx": "onnxruntime", "openvino": "openvino"}
# Largest difference of two scores, as a share of the largest score, that counts as equal: in float32, and in
# the float16 of CUDA, whose numbers are a thousandth apart.
TOLERANCE = {"cpu": 1e-3, "cuda": 1e-2}
# Largest share of voxels whose label may differ.
LABEL_TOLERANCE = 1e-4


def cache_folder() -> Path:
    """Where measurements are remembered: ``$XDG_CACHE_HOME/medseg`` or ``~/.cache/medseg``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "medseg"


def is_installed(runtime: str) -> bool:
    """True for torch, and for the others where their package is there."""
    needed = [MODULES[runtime], "onnx", "onnxscript"] if runtime in MODULES else []
    return all(importlib.util.find_spec(name) for name in needed)


def export_onnx(network: torch.nn.Module, window: torch.Tensor, path: Path) -> Path:
    """The path of an ONNX file with the weights inside; the batch is free, the window's size is not."""
    import warnings

    # One line for each operator of torchvision, where that isn't installed: no network here has them.
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network,
            (window,),
            dynamo=True,
            input_names=["image"],
            output_names=["scores"],
            dynamic_shapes=({0: torch.export.Dim.DYNAMIC},),
            verbose=False,
        )
        assert program is not None
        path.parent.mkdir(parents=True, exist_ok=True)
        program.save(str(path), external_data=False)
    return path


def onnx_network(path: Path, n_threads: int = 0) -> Network:
    """An ONNX file as a network, run by ONNX Runtime on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = n_threads or torch.get_num_threads()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def scores(windows: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(session.run(None, {name: windows.contiguous().numpy()})[0])

    return scores


def openvino_network(path: Path, n_threads: int = 0) -> Network:
    """An ONNX or OpenVINO file as a network, run by OpenVINO on the CPU in float32.

    The scores of a call lie in memory of the runtime's own: the next call overwrites them.
    """
    import openvino

    core = openvino.Core()
    options = {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": n_threads or torch.get_num_threads(),
        "NUM_STREAMS": 1,
    }
    requests: dict[tuple[int, ...], Any] = {}

    def scores(windows: torch.Tensor) -> torch.Tensor:
        shape = tuple(windows.shape)
        if shape not in requests:
            # Compiled for this batch alone, which is a tenth faster than for any.
            model = core.read_model(str(path))
            model.reshape(list(shape))
            requests[shape] = core.compile_model(model, "CPU", options).create_infer_request()
        request = requests[shape]
        request.infer({0: windows.contiguous().numpy()}, share_inputs=True)
        # Not copied: with 105 classes that would be as much again as a window's scores.
        return torch.from_numpy(request.get_output_tensor(0).data)

    return scores


def scored_by(runtime: str, network: torch.nn.Module, window: torch.Tensor) -> Network:
    """The network run by one runtime, checked against torch on ``window``.

    Raises:
        RuntimeUnavailableError: not installed, another device than the CPU, or scores that differ.
    """
    if runtime == "torch":
        return torch_network(network)
    needs(runtime, window.device)
    scores = _made(runtime, network, window)
    expected, got = torch_network(network)(window), scores(window)
    off = float((expected - got).abs().max() / expected.abs().max().clamp(min=1e-6))
    if not off <= TOLERANCE[window.device.type]:
        raise RuntimeUnavailableError(
            f"{runtime} differs from torch by {off:.2g} of the largest score",
            f"at most {TOLERANCE[window.device.type]}",
            "use --runtime torch",
        )
    return scores


def _made(runtime: str, network: torch.nn.Module, window: torch.Tensor) -> Network:
    if runtime == "onnx":
        return onnx_network(_exported(network, window))
    if runtime == "openvino":
        return openvino_network(_exported(steady(network), window))
    return compiled_network(network, window)


def needs(runtime: str, device: torch.device) -> None:
    """Refuse a runtime that is not installed or can't run on the device.

    Raises:
        RuntimeUnavailableError: so it is.
    """
    if device.type != "cpu" and (runtime, device.type) != ("compile", "cuda"):
        raise RuntimeUnavailableError(f"runtime {runtime} on {device}", "cpu", "use --runtime torch")
    if not is_installed(runtime):
        raise RuntimeUnavailableError(
            f"no {MODULES[runtime]}", f"it for --runtime {runtime}", f"pip install 'medseg[{runtime}]'"
        )


def _exported(network: torch.nn.Module, window: torch.Tensor) -> Path:
    path = cache_folder() / "onnx" / f"{fingerprint(network, window)}.onnx"
    if not path.exists():
        partial = path.with_suffix(f".{os.getpid()}.onnx")
        os.replace(export_onnx(network, window, partial), path)
    return path


def fingerprint(network: torch.nn.Module, window: torch.Tensor) -> str:
    """Sixteen letters that change with the network's structure, weights, window and torch's version."""
    digest = hashlib.sha256(f"{network}{tuple(window.shape[1:])}{torch.__version__}".encode())
    for name, value in network.state_dict().items():
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def fastest(network: torch.nn.Module, window: torch.Tensor, *, repeats: int = 2) -> tuple[str, Network]:
    """The runtime that scores ``window`` in the least time here, and the network run by it.

    Measured once for each network, window, machine and number of threads; then read from `cache_folder`.
    Runtimes that are missing or can't take the network are left out; torch always can.
    """
    runtimes = tuple(name for name in RUNTIMES.get(window.device.type, ()) if is_installed(name))
    if len(runtimes) < 2:
        return "torch", torch_network(network)
    memory = cache_folder() / "runtimes.json"
    known: dict[str, Any] = json.loads(memory.read_text()) if memory.exists() else {}
    key = f"{fingerprint(network, window)}-{platform.node()}-{torch.get_num_threads()}"
    key += (f"-{torch.cuda.get_device_name()}-" if window.is_cuda else "-") + "+".join(runtimes)
    if key in known:
        return known[key]["runtime"], scored_by(known[key]["runtime"], network, window)
    networks = _that_run(runtimes, network, window)
    seconds = {name: _seconds(scores, window, repeats) for name, scores in networks.items()}
    best = min(seconds, key=lambda name: seconds[name])
    known[key] = {"runtime": best, "seconds": seconds}
    memory.parent.mkdir(parents=True, exist_ok=True)
    partial = memory.with_suffix(f".{os.getpid()}")
    partial.write_text(json.dumps(known, indent=1))
    os.replace(partial, memory)
    return best, networks[best]


def _that_run(runtimes: Sequence[str], network: torch.nn.Module, window: torch.Tensor) -> dict[str, Network]:
    networks: dict[str, Network] = {}
    for runtime in runtimes:
        try:
            networks[runtime] = scored_by(runtime, network, window)
        # A network that a runtime can't take is no reason to stop: the measurement is among those that can.
        except (RuntimeUnavailableError, RuntimeError, ValueError, TypeError, torch.onnx.OnnxExporterError):
            continue
    return networks


def _seconds(network: Network, window: torch.Tensor, repeats: int) -> float:
    times = []
    for _ in range(1 + repeats):
        start = perf_counter()
        scores = network(window)
        if scores.is_cuda:
            torch.cuda.synchronize()
        times.append(perf_counter() - start)
    return min(times[1:])


def label_disagreement(expected: Sequence[Any] | np.ndarray, got: Sequence[Any] | np.ndarray) -> float:
    """Share of voxels with another label."""
    return float(np.mean(np.asarray(expected) != np.asarray(got)))
