"""The weights that an inference config names, put into its network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser

from medseg.bundle.weights import check_listed, read_weights
from medseg.errors import BundleError


def load_named_weights(
    parser: ConfigParser, network: torch.nn.Module, root: Path, device: torch.device
) -> None:
    """Put a bundle's weights into its network.

    Raises:
        BundleError: they are missing, are not the recorded ones, would run code, or don't fit.
    """
    path = _weights_path(parser, root)
    check_listed(path, root)
    state = read_weights(path, device)
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
    """Where the config's CheckpointLoader looks, else the place that MONAI's bundle specification gives.

    Safetensors of the same name are taken where that file is not there.
    """
    path = next((Path(parser.get_parsed_content(f"{i}#load_path")) for i in _loaders(parser)), None)
    path = path or root / "models" / "model.pt"
    safe = path.with_suffix(".safetensors")
    return safe if safe.is_file() and not path.is_file() else path


def _loaders(parser: ConfigParser) -> Iterator[str]:
    """The ids of checkpoint loaders: among the handlers, or of their own as in the model zoo."""
    for group in ("handlers", "evaluator#val_handlers", "evaluator#handlers"):
        handlers = parser.get(group, None)
        yield from (
            f"{group}#{i}" for i, h in enumerate(handlers if isinstance(handlers, list) else []) if _loads(h)
        )
    yield from (key for key, value in parser.config.items() if _loads(value))


def _loads(item: Any) -> bool:
    return isinstance(item, dict) and str(item.get("_target_", "")).endswith("CheckpointLoader")
