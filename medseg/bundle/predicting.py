"""A bundle as a function from a scan to a label map, read from its inference config by MONAI's own parser."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor

from medseg.bundle.run import quieten_monai
from medseg.errors import BundleError, GeometryError
from medseg.inference.cases import Case
from medseg.writers import write_label_map

CONFIG_NAMES = ("inference.yaml", "inference.yml", "inference.json")
WRITERS = ("SaveImaged", "SaveImage", "SaveLabelMapd")


@dataclass
class Predictor:
    """What a bundle does to one scan, ready and warm: `to_labels` and `predict`.

    Attributes:
        preprocessing: from ``{image: path}`` to a tensor of channels on the network's grid.
        inferer: MONAI's or ours.
        network: with its weights, on ``device``, in eval mode.
        postprocessing: from scores to labels on the scan's own grid, without the writer.
    """

    root: Path
    preprocessing: Any
    inferer: Any
    network: torch.nn.Module
    postprocessing: Any
    device: torch.device
    image_key: str = "image"
    pred_key: str = "pred"

    def to_labels(self, images: tuple[Path, ...]) -> np.ndarray:
        """The label map of one scan, shape of the scan; or (x, y, z, n) where the bundle ends in n maps."""
        files = [str(image) for image in images]
        item = self.preprocessing({self.image_key: files[0] if len(files) == 1 else files})
        image = item[self.image_key]
        with torch.inference_mode():
            scores = self.inferer(torch.as_tensor(image)[None].to(self.device), self.network)
        item[self.pred_key] = MetaTensor(scores[0].clone(), meta=dict(image.meta))
        pred = self.postprocessing(item)[self.pred_key] if self.postprocessing else item[self.pred_key]
        labels = np.asarray(torch.as_tensor(pred).cpu())
        if labels.dtype.kind == "f" and not np.array_equal(labels, np.round(labels)):
            raise GeometryError(
                "scores where labels should be",
                "postprocessing that ends in whole numbers",
                "add AsDiscreted to it",
            )
        whole = labels.astype(np.int64)
        return whole[0] if whole.shape[0] == 1 else np.moveaxis(whole, 0, -1)

    def predict(self, case: Case, *, overwrite: bool = False) -> Path:
        """The written label map of one case."""
        labels = self.to_labels(case.images)
        return write_label_map(case.output, labels, like=case.images[0], overwrite=overwrite)


def inference_config(root: Path) -> Path:
    """The bundle's inference config.

    Raises:
        BundleError: no such folder, or no inference config in it.
    """
    for name in CONFIG_NAMES:
        if (root / "configs" / name).is_file():
            return root / "configs" / name
    raise BundleError(
        f"no configs/inference.yaml in {root}",
        "the folder of a MONAI bundle",
        "give the folder that holds configs/",
    )


def load_predictor(root: Path, *, device: str | None = None, **overrides: Any) -> Predictor:
    """A bundle's inference, with its weights loaded.

    Args:
        root: any MONAI bundle whose inference config uses MONAI's property ids.
        device: instead of the config's.
        overrides: by id of the config.

    Raises:
        BundleError: the config lacks an id or can't be built, or there are no weights that fit.
    """
    root = Path(root).resolve()
    quieten_monai()
    parser = ConfigParser()
    parser.read_config(inference_config(root))
    parser["bundle_root"] = str(root)
    for key, value in overrides.items():
        parser[key] = value
    if str(root) not in sys.path:
        # MONAI puts a bundle's own scripts on the path only while it runs.
        sys.path.insert(0, str(root))
    where = torch.device(device) if device else _built(parser, "device", torch.device("cpu"))
    parser["device"] = where
    _drop_writers(parser)
    network = _network(parser).to(where)
    _load_weights(parser, network, root, where)
    return Predictor(
        root,
        _built(parser, "preprocessing"),
        _built(parser, "inferer"),
        network.eval(),
        _built(parser, "postprocessing", None),
        where,
        image_key=str(parser.config.get("image_key", "image")),
    )


_MISSING = object()


def _built(parser: ConfigParser, key: str, default: Any = _MISSING) -> Any:
    if key not in parser.config:
        if default is _MISSING:
            raise BundleError(f"no {key!r} in the inference config", "MONAI's property ids", f"define {key}")
        return default
    try:
        return parser.get_parsed_content(key)
    except (ImportError, AttributeError, KeyError, TypeError, ValueError, RuntimeError, OSError) as error:
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        text = " ".join(str(cause).split())[:300]
        raise BundleError(
            f"{key!r} of the inference config can't be built: {type(cause).__name__}: {text}",
            "a config that MONAI can build",
            "try `python -m monai.bundle run` on it, or update the bundle",
        ) from error


def _network(parser: ConfigParser) -> torch.nn.Module:
    network = _built(parser, "network" if "network" in parser.config else "network_def")
    if not isinstance(network, torch.nn.Module):
        raise BundleError(f"network is a {type(network).__name__}", "a torch module", "mend network_def")
    return network


def _drop_writers(parser: ConfigParser) -> None:
    """Leave out the bundle's own writers: the label map is written by medseg, where the user says."""
    steps = parser.config.get("postprocessing")
    steps = steps.get("transforms", []) if isinstance(steps, dict) else []
    for step in steps:
        if isinstance(step, dict) and str(step.get("_target_", "")).split(".")[-1] in WRITERS:
            step["_disabled_"] = True


def _load_weights(parser: ConfigParser, network: torch.nn.Module, root: Path, device: torch.device) -> None:
    path = _weights_path(parser, root)
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError as error:
        raise BundleError(
            f"no weights at {path}", "a state dict", "train the bundle or fetch its weights"
        ) from error
    for name in ("model", "state_dict", "network"):
        if isinstance(state, dict) and isinstance(state.get(name), dict):
            state = state[name]
    try:
        network.load_state_dict(state)
    except (RuntimeError, TypeError) as error:
        text = " ".join(str(error).split())[:300]
        raise BundleError(
            f"{path}: {text}", "the weights of network_def", "use the weights that belong to this config"
        ) from error


def _weights_path(parser: ConfigParser, root: Path) -> Path:
    """Where the config's CheckpointLoader looks, else the place that MONAI's bundle specification gives."""
    for group in ("handlers", "evaluator#val_handlers", "evaluator#handlers"):
        handlers = parser.get(group, None)
        for i, handler in enumerate(handlers if isinstance(handlers, list) else []):
            if isinstance(handler, dict) and str(handler.get("_target_", "")).endswith("CheckpointLoader"):
                return Path(_built_at(parser, f"{group}#{i}#load_path"))
    return root / "models" / "model.pt"


def _built_at(parser: ConfigParser, key: str) -> Any:
    return parser.get_parsed_content(key)
