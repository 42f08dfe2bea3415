"""A bundle as a function from a scan to a label map, read from its inference config by MONAI's own parser."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor

from medseg.bundle.restricted import check
from medseg.bundle.run import quieten_monai
from medseg.bundle.understanding import Understood, understood
from medseg.errors import BundleError, GeometryError
from medseg.inference.cases import Case
from medseg.inference.engine import Block, label_blocks, label_volume
from medseg.inference.inferer import way_of
from medseg.inference.pipeline import write_blocks
from medseg.inference.slabs import Network, VolumeSource
from medseg.writers import write_label_map

CONFIG_NAMES = ("inference.yaml", "inference.yml", "inference.json")
# Config ids that an ensemble's bundles must agree on.
RECIPE = ("preprocessing", "inferer", "postprocessing", "labels", "spacing_mm", "roi_size")
WRITERS = ("SaveImaged", "SaveImage", "SaveLabelMapd")


@dataclass
class Predictor:
    """What a bundle, or several of one kind, do to a scan; ready and warm: `to_labels` and `predict`.

    Attributes:
        preprocessing: from ``{image: path}`` to a tensor of channels on the network's grid.
        inferer: MONAI's or ours.
        networks: with their weights, on ``device``, in eval mode.
        postprocessing: from scores to labels on the scan's own grid, without the writer.
        engine: ``stream`` for the project's engine, ``stock`` for the bundle's own inferer and Invertd.
        plan: what the engine needs, where ``engine`` is ``stream``.
        why_stock: what the engine does not know, where ``engine`` is ``stock`` for that reason.
    """

    root: Path
    preprocessing: Any
    inferer: Any
    networks: list[Network]
    postprocessing: Any
    device: torch.device
    image_key: str = "image"
    pred_key: str = "pred"
    engine: str = "stock"
    understood: Understood | None = None
    why_stock: str = ""
    recipe: str = ""

    def predict(self, case: Case, *, overwrite: bool = False) -> Path:
        """The written label map of one case."""
        if self.understood is None or self.understood.rest:
            labels = self.to_labels(case.images)
            return write_label_map(case.output, labels, like=case.images[0], overwrite=overwrite)
        image = self.preprocessed(case.images)
        blocks, numbers = self.blocks(image)
        if numbers is None:
            labels = self._as_maps(blocks, way_of(image).shape)
            return write_label_map(case.output, labels, like=case.images[0], overwrite=overwrite)
        return write_blocks(
            case.output, blocks, like=case.images[0], largest=max(numbers), overwrite=overwrite
        )

    def to_labels(self, images: tuple[Path, ...]) -> np.ndarray:
        """The label map of one scan, shape of the scan; or (x, y, z, n) where the bundle ends in n maps."""
        image = self.preprocessed(images)
        if self.understood is None:
            return self._by_stock(image)
        blocks, numbers = self.blocks(image)
        shape = way_of(image).shape
        labels = label_volume(blocks, shape, np.uint16) if numbers else self._as_maps(blocks, shape)
        return self._with_rest(labels, image)

    def preprocessed(self, images: tuple[Path, ...]) -> MetaTensor:
        """The scan on the network's grid, shape (channel, …), with MONAI's trace."""
        files = [str(image) for image in images]
        return self.preprocessing({self.image_key: files[0] if len(files) == 1 else files})[self.image_key]

    def blocks(self, image: MetaTensor) -> tuple[Iterator[Block], tuple[int, ...] | None]:
        """The engine's blocks, and the label numbers there can be; None where each region is a map."""
        assert self.understood is not None
        plan = self.understood.plan
        n_channels = int(self._n_channels(image))
        decision = plan.deciding(len(self.networks))
        if decision.threshold is not None and decision.numbers is None and n_channels == 1:
            decision = replace(decision, numbers=(1,))
        blocks = label_blocks(
            VolumeSource(torch.as_tensor(image)),
            plan.scoring(self.networks),
            plan.windows,
            way_of(image),
            decision,
            device=self.device,
        )
        is_maps = decision.threshold is not None and decision.numbers is None
        return blocks, None if is_maps else decision.numbers or tuple(range(n_channels))

    def _n_channels(self, image: MetaTensor) -> int:
        if self._channels is None:
            plan = self.understood.plan if self.understood else None
            assert plan is not None
            sizes = plan.windows.sizes(tuple(image.shape[1:]))
            window = torch.zeros((1, image.shape[0], *sizes), device=self.device)
            self._channels = int(plan.scoring(self.networks)(window).shape[1])
        return self._channels

    _channels: int | None = None

    def _as_maps(self, blocks: Iterator[Block], shape: tuple[int, ...]) -> np.ndarray:
        """One map per region, shape (x, y, z, region)."""
        codes = label_volume(blocks, shape, np.uint16)
        return np.stack([codes >> bit & 1 for bit in range(self._channels or 1)], -1).astype(np.uint8)

    def _with_rest(self, labels: np.ndarray, image: MetaTensor) -> np.ndarray:
        """After the bundle's remaining steps, which work on label maps of the scan."""
        rest = self.understood.rest if self.understood else ()
        if not rest:
            return labels
        first = np.moveaxis(labels, -1, 0) if labels.ndim > len(image.shape) - 1 else labels[None]
        meta = {**image.meta, "affine": image.meta["original_affine"]}
        item = {self.pred_key: MetaTensor(torch.from_numpy(first.astype(np.int32)), meta=meta)}
        for step in rest:
            item = step(item)
        return self._whole(item[self.pred_key])

    def _by_stock(self, image: MetaTensor) -> np.ndarray:
        if len(self.networks) > 1:
            raise BundleError(
                f"an ensemble, and {self.why_stock}", "bundles that the engine knows", "use one"
            )
        with torch.inference_mode():
            scores = self.inferer(torch.as_tensor(image)[None].to(self.device), self.networks[0])
        item = {self.image_key: image}
        item[self.pred_key] = MetaTensor(scores[0].clone(), meta=dict(image.meta))
        return self._whole((self.postprocessing or (lambda data: data))(item)[self.pred_key])

    def _whole(self, pred: torch.Tensor) -> np.ndarray:
        """As whole numbers, one channel dropped and several put last."""
        labels = np.asarray(torch.as_tensor(pred).cpu())
        if labels.dtype.kind == "f" and not np.array_equal(labels, np.round(labels)):
            raise GeometryError(
                "scores where labels should be",
                "postprocessing that ends in whole numbers",
                "add AsDiscreted to it",
            )
        whole = labels.astype(np.int64)
        return whole[0] if whole.shape[0] == 1 else np.moveaxis(whole, 0, -1)


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


def load_predictor(
    root: Path,
    *,
    device: str | None = None,
    engine: str = "auto",
    trust: bool = False,
    **overrides: Any,
) -> Predictor:
    """A bundle's inference, with its weights loaded.

    Args:
        root: any MONAI bundle whose inference config uses MONAI's property ids.
        device: instead of the config's.
        engine: ``stream`` for the project's, ``stock`` for the bundle's own inferer and post-processing,
            ``auto`` for the first where it gives the labels of the second.
        trust: run whatever the bundle holds; without it a stranger's opens in restricted mode or not at all.
        overrides: by id of the config.

    Raises:
        BundleError: the config lacks an id or can't be built, there are no weights that fit, or the bundle
            asks for more than restricted mode allows.
    """
    root = Path(root).resolve()
    mode = check(root, trust=trust, files=[inference_config(root)])
    quieten_monai()
    parser = ConfigParser()
    parser.read_config(inference_config(root))
    parser["bundle_root"] = str(root)
    for key, value in overrides.items():
        parser[key] = value
    if mode.full and str(root) not in sys.path:
        # MONAI puts a bundle's own scripts on the path only while it runs.
        sys.path.insert(0, str(root))
    where = torch.device(device) if device else _built(parser, "device", torch.device("cpu"))
    parser["device"] = where
    _drop_writers(parser)
    network = _network(parser).to(where)
    _load_weights(parser, network, root, where)
    recipe = json.dumps([parser.config.get(key) for key in RECIPE], default=str, sort_keys=True)
    predictor = Predictor(
        root,
        _built(parser, "preprocessing"),
        _built(parser, "inferer"),
        [_unrecorded(network.eval())],
        _built(parser, "postprocessing", None),
        where,
        image_key=str(parser.config.get("image_key", "image")),
        recipe=recipe,
    )
    if engine == "stock":
        return predictor
    try:
        predictor.understood = understood(predictor.inferer, predictor.postprocessing)
        predictor.engine = "stream"
    except GeometryError as error:
        predictor.why_stock = str(error)
        if engine == "stream":
            raise
    return predictor


def load_ensemble(
    roots: Sequence[Path], *, device: str | None = None, engine: str = "auto", trust: bool = False
) -> Predictor:
    """Several bundles as one predictor: the mean of their probabilities within each window.

    Raises:
        BundleError: they differ in preprocessing, windows or decision, or the engine does not know them.
    """
    first, *others = (load_predictor(root, device=device, engine=engine, trust=trust) for root in roots)
    for other in others:
        if first.understood is None or other.understood is None or first.recipe != other.recipe:
            raise BundleError(
                f"{other.root.name} beside {first.root.name}",
                "bundles with equal preprocessing, window and decision, that the engine knows",
                "predict with each on its own",
            )
        first.networks.extend(other.networks)
    return first


def _unrecorded(network: torch.nn.Module) -> Network:
    """The network without a record for gradients."""

    @torch.inference_mode()
    def scores(windows: torch.Tensor) -> torch.Tensor:
        out = network(windows)
        return out[0] if isinstance(out, (tuple, list)) else out

    return scores


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
