"""A bundle as a function from a scan to a label map, read from its inference config by MONAI's own parser."""

from __future__ import annotations

import json
import re
import secrets
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser

from medseg.bundle.archives import demand_folder
from medseg.bundle.named_weights import load_named_weights
from medseg.bundle.predictor import Predictor
from medseg.bundle.restricted import check
from medseg.bundle.run import quieten_monai, use_scripts
from medseg.bundle.understanding import understood
from medseg.errors import BundleError, GeometryError
from medseg.inference.allocation import keep_freed_memory
from medseg.inference.head import head_of

__all__ = ["Predictor", "inference_config", "load_ensemble", "load_predictor"]
CONFIG_NAMES = ("inference.yaml", "inference.yml", "inference.json")
# Config ids that an ensemble's bundles must agree on.
RECIPE = ("preprocessing", "inferer", "postprocessing", "labels", "spacing_mm", "roi_size", "skip_below")
WRITERS = ("SaveImaged", "SaveImageD", "SaveImageDict", "SaveImage", "SaveLabelMapd")


def inference_config(root: Path) -> Path:
    """The bundle's inference config.

    Raises:
        BundleError: no such folder, or no inference config in it.
    """
    demand_folder(root)
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
    max_ram: int | None = None,
    runtime: str = "torch",
    output: Path | None = None,
    **overrides: Any,
) -> Predictor:
    """A bundle's inference, with its weights loaded.

    Args:
        root: any MONAI bundle whose inference config uses MONAI's property ids.
        device: instead of the config's.
        engine: ``stream`` for the project's, ``stock`` for the bundle's own inferer and post-processing,
            ``auto`` for the first where it gives the labels of the second.
        trust: run whatever the bundle holds; without it a stranger's opens in restricted mode or not at all.
        max_ram: bytes that the process may take.
        runtime: ``torch``, ``compile``, ``onnx``, ``openvino``, or ``auto`` for the fastest by measurement.
        output: in restricted mode nothing is written but below it; nothing at all if left out.
        overrides: by id of the config.

    Raises:
        BundleError: the config lacks an id or can't be built, there are no weights that fit, or the bundle
            asks for more than restricted mode allows.
    """
    root = Path(root).resolve()
    mode = check(root, trust=trust, files=[inference_config(root)])
    if not mode.full and runtime in ("compile", "onnx", "openvino"):
        raise BundleError(
            f"runtime {runtime} for {root.name}, which is not a bundle of ours",
            "torch, because an exported or compiled network is kept outside the output folder",
            "leave --runtime out, or say --trust if you trust whoever made it",
        )
    quieten_monai()
    parser = ConfigParser()
    parser.read_config(inference_config(root))
    parser["bundle_root"] = str(root)
    # A place that does not exist, so that nothing can be written where none was given.
    place = output or Path(tempfile.gettempdir()) / f"medseg-{secrets.token_hex(8)}"
    for key, value in {**mode.overrides(parser.config, place), **overrides}.items():
        parser[key] = value
    if mode.full:
        use_scripts(root)
    with mode.kept_in(place):
        predictor = _predictor(parser, root, device)
    predictor.max_ram, predictor.is_auto = max_ram, engine == "auto"
    if max_ram is None and predictor.device.type == "cpu":
        keep_freed_memory()
    # A stranger's bundle may not write outside the output folder, so nothing can be exported or remembered.
    predictor.runtime = runtime if mode.full else "torch"
    if predictor.runtime != runtime:
        predictor.why_torch = (
            f"run by torch instead of {runtime}: a bundle in restricted mode exports nothing"
        )
    if engine != "stock":
        _understand(predictor, parser.config.get("skip_below"), or_raise=engine == "stream")
    return predictor


def _understand(predictor: Predictor, skip_below: Any, *, or_raise: bool) -> None:
    """Put the bundle in the engine's terms, or say in the predictor why that can't be done.

    Raises:
        GeometryError: it can't, and `or_raise`.
    """
    try:
        predictor.understood = understood(
            predictor.inferer, predictor.postprocessing, predictor.preprocessing
        ).skipping(skip_below)
        predictor.head = head_of(predictor.preprocessing, predictor.image_key)
    except GeometryError as error:
        predictor.why_stock = str(error)
        if or_raise:
            raise


def _predictor(parser: ConfigParser, root: Path, device: str | None) -> Predictor:
    where = torch.device(device) if device else _built(parser, "device", torch.device("cpu"))
    parser["device"] = where
    _drop_writers(parser)
    network = _network(parser).to(where)
    load_named_weights(parser, network, root, where)
    recipe = json.dumps([parser.config.get(key) for key in RECIPE], default=str, sort_keys=True)
    return Predictor(
        root,
        _built(parser, "preprocessing"),
        _built(parser, "inferer"),
        [network.eval()],
        _built(parser, "postprocessing", None),
        where,
        image_key=str(parser.config.get("image_key", "image")),
        recipe=recipe,
    )


def load_ensemble(roots: Sequence[Path], **options: Any) -> Predictor:
    """Several bundles as one predictor: the mean of their probabilities within each window.

    Takes the options of `load_predictor`.

    Raises:
        BundleError: they differ in preprocessing, windows or decision, or the engine does not know them.
    """
    first, *others = (load_predictor(root, **options) for root in roots)
    for other in others:
        if first.understood is None or other.understood is None or first.recipe != other.recipe:
            raise BundleError(
                f"{other.root.name} beside {first.root.name}",
                "bundles with equal preprocessing, window and decision, that the engine knows",
                "predict with each on its own",
            )
        first.modules.extend(other.modules)
    return first


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
        package = re.search(r"required package `(\w+)` is not installed|No module named '(\w+)'", text)
        raise BundleError(
            f"{key!r} of the inference config can't be built: {type(cause).__name__}: {text}",
            "a config that MONAI can build",
            f"pip install {package[1] or package[2]}"
            if package
            else "try `python -m monai.bundle run` on it, or update the bundle",
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
        name = str(step.get("_target_", "")).split(".")[-1] if isinstance(step, dict) else ""
        if name in WRITERS:
            step["_disabled_"] = True
