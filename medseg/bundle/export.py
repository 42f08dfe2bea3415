"""A bundle's network for other runtimes, what comes before and after it in words, and the proof of it."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor

from medseg.bundle.predicting import load_predictor
from medseg.bundle.predictor import Predictor
from medseg.errors import BundleError, OutputError
from medseg.inference.engine import label_blocks, label_volume
from medseg.inference.inferer import way_of
from medseg.inference.plan import Plan
from medseg.inference.runtimes import (
    LABEL_TOLERANCE,
    export_onnx,
    label_disagreement,
    onnx_network,
    openvino_network,
)
from medseg.inference.slabs import Network, VolumeSource
from medseg.inference.steady import steady
from medseg.inference.torch_runtime import torch_network

NAMES = {
    "onnx": "model.onnx",
    "openvino": "model.xml",
    "torchscript": "model.ts",
    "torch-export": "model.pt2",
}
DESCRIPTION = "export.json"


def export(root: Path, to: str, folder: Path, *, overwrite: bool = False, trust: bool = False) -> Path:
    """The path of the exported network; ``export.json`` beside it says what surrounds it.

    Args:
        to: ``onnx``, ``openvino``, ``torchscript`` or ``torch-export``.
        folder: for both files.

    Raises:
        OutputError: a file exists and ``overwrite`` is False.
        BundleError: the engine does not know the bundle, or the window's size is not fixed.
    """
    path = folder / NAMES[to]
    for target in (path, folder / DESCRIPTION):
        if target.exists() and not overwrite:
            raise OutputError(f"{target} exists", "a new file", "choose another folder or pass --overwrite")
    predictor = load_predictor(root, device="cpu", engine="stream", trust=trust)
    window = example_window(predictor)
    folder.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        # torch's own, about its older formats; nothing that a user can act on.
        warnings.simplefilter("ignore")
        _written(predictor.modules[0], window, to, path)
    text = json.dumps(description(predictor, window, to), indent=2, default=str)
    (folder / DESCRIPTION).write_text(text + "\n")
    return path


def _written(module: torch.nn.Module, window: torch.Tensor, to: str, path: Path) -> None:
    if to == "torchscript":
        torch.jit.trace(module, window, check_trace=False).save(str(path))
    elif to == "torch-export":
        torch.export.save(torch.export.export(module, (window,)), str(path))
    elif to == "onnx":
        export_onnx(module, window, path)
    else:
        import openvino

        between = export_onnx(steady(module), window, path.with_suffix(".onnx"))
        openvino.save_model(openvino.convert_model(str(between)), str(path), compress_to_fp16=False)
        between.unlink()


def example_window(predictor: Predictor) -> torch.Tensor:
    """Noise of the size that the network sees, with a batch of one.

    Raises:
        BundleError: a window's size depends on the scan.
    """
    plan = known_plan(predictor)
    if min(plan.windows.roi_size) <= 0:
        raise BundleError(
            f"roi_size {plan.windows.roi_size}", "a window of fixed size", "state roi_size in the inferer"
        )
    sizes = [n for a, n in enumerate(plan.windows.roi_size) if a != plan.slice_axis]
    first = next(iter(predictor.modules[0].parameters()))
    shape = (1, _n_inputs(predictor, first), *sizes)
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def _n_inputs(predictor: Predictor, first: torch.Tensor) -> int:
    metadata = predictor.root / "configs" / "metadata.json"
    if metadata.exists():
        data_format = json.loads(metadata.read_text()).get("network_data_format", {})
        channels = data_format.get("inputs", {}).get("image", {}).get("num_channels")
        if channels:
            return int(channels)
    # The first weight of a convolution has its input channels second.
    return int(first.shape[1]) if first.ndim > 2 else 1


def known_plan(predictor: Predictor) -> Plan:
    """The plan of a predictor that the engine knows."""
    if predictor.understood is None:
        raise BundleError(predictor.why_stock or "the stock engine", "a bundle the engine knows", "see docs")
    return predictor.understood.plan


def description(predictor: Predictor, window: torch.Tensor, to: str) -> dict[str, Any]:
    """What surrounds the network, as plain values: enough to rebuild the pipeline elsewhere."""
    plan = known_plan(predictor)
    recipe = dict(
        zip(("preprocessing", "inferer", "postprocessing"), json.loads(predictor.recipe), strict=False)
    )
    return {
        "format": to,
        "file": NAMES[to],
        "bundle": predictor.root.name,
        "input": {
            "name": "image",
            "shape": list(window.shape),
            "dtype": "float32",
            "axes": "batch, channel, space",
        },
        "output": {"name": "scores", "axes": "batch, class, space"},
        "preprocessing": recipe["preprocessing"],
        "windows": vars(plan.windows),
        "back_to_the_scan": "trilinear interpolation of the activated scores at each voxel, border repeated",
        "decision": vars(plan.decision),
        "postprocessing": recipe["postprocessing"],
        "torch": torch.__version__,
    }


def load_exported(path: Path) -> Network:
    """An exported file as a network, by the runtime that its ending names."""
    if path.suffix == ".ts":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch_network_of(torch.jit.load(str(path)))
    if path.suffix == ".pt2":
        return torch_network_of(torch.export.load(path).module())
    return openvino_network(path) if path.suffix == ".xml" else onnx_network(path)


def torch_network_of(module: Any) -> Network:
    """A loaded program as a network that takes any batch, one window at a time."""

    @torch.inference_mode()
    def scores(windows: torch.Tensor) -> torch.Tensor:
        return torch.cat([module(window[None].contiguous()) for window in windows])

    return scores


@dataclass(frozen=True)
class Verified:
    """How an exported network compares with the bundle's own on one scan.

    Attributes:
        name: of the scan.
        disagreement: share of voxels with another label.
        n_voxels: of the scan.
        n_labels: different labels that the bundle gives; 1 means that the comparison says little.
    """

    name: str
    disagreement: float
    n_voxels: int
    n_labels: int

    @property
    def is_equal(self) -> bool:
        """True where no more labels differ than `LABEL_TOLERANCE` allows."""
        return self.disagreement <= LABEL_TOLERANCE


def verify(root: Path, exported: Path, scans: Sequence[Path], *, trust: bool = False) -> list[Verified]:
    """Labels end to end by the bundle's network and the exported one, on a phantom and on the given scans."""
    predictor = load_predictor(root, device="cpu", engine="stream", trust=trust)
    own, other = torch_network(predictor.modules[0]), load_exported(exported)
    found = [_compared("phantom", predictor, phantom(predictor), own, other)]
    for scan in scans:
        item = predictor.preprocessing({predictor.image_key: str(scan)})
        found.append(_compared(scan.name, predictor, item[predictor.image_key], own, other))
    return found


def _compared(name: str, predictor: Predictor, image: MetaTensor, own: Network, other: Network) -> Verified:
    plan = known_plan(predictor)
    way = way_of(image)
    labels = [
        label_volume(
            label_blocks(
                VolumeSource(torch.as_tensor(image)),
                plan.scoring([network]),
                replace(plan.windows, batch_size=1),
                way,
                plan.deciding(),
            ),
            way.shape,
            np.uint16,
        )
        for network in (own, other)
    ]
    return Verified(name, label_disagreement(*labels), labels[0].size, len(np.unique(labels[0])))


def phantom(predictor: Predictor) -> MetaTensor:
    """A synthetic volume half as large again as the window: smooth noise on the network's own grid."""
    plan = known_plan(predictor)
    sizes = [int(n * 1.5) + 1 for n in plan.windows.roi_size]
    channels = example_window(predictor).shape[1]
    coarse = torch.randn(
        (1, channels, *(n // 6 + 2 for n in sizes)), generator=torch.Generator().manual_seed(1)
    )
    mode = "trilinear" if len(sizes) == 3 else "bilinear"
    volume = torch.nn.functional.interpolate(coarse, size=sizes, mode=mode)[0]
    affine = np.eye(4)
    meta = {"original_affine": affine, "spatial_shape": np.array(sizes)}
    return MetaTensor(volume, affine=torch.as_tensor(affine), meta=meta)
