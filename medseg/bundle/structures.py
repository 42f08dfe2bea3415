"""What a bundle's label numbers are called: from its inference config, else from its metadata."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

from medseg.bundle.predicting import inference_config
from medseg.labels import Structure, structures


def structures_of(root: Path) -> tuple[Structure, ...]:
    """The structures in the order of their channels or numbers; empty where the bundle says nothing.

    The config's ``regions`` or ``labels`` (name to number) come first; ``codes`` may give each name a coded
    concept (``SCT:10200004:Liver``). Else the ``channel_def`` of the metadata's output ``pred``.

    Raises:
        BundleError: no inference config.
        LabelError: a name without a number.
    """
    parser = ConfigParser()
    parser.read_config(inference_config(root))
    codes = parser.config.get("codes") or {}
    named: Any = parser.config.get("regions") or parser.config.get("labels")
    if not isinstance(named, Mapping):
        named = {str(name): int(number) for number, name in _channels(root, "outputs", "pred").items()}
    return tuple(replace(s, code=str(codes.get(s.name, ""))) for s in structures(named))


def n_channels_of(root: Path) -> int:
    """Channels of the input image by the metadata; 1 where it says nothing."""
    return max(len(_channels(root, "inputs", "image")), 1)


def _channels(root: Path, side: str, name: str) -> dict[str, str]:
    path = root / "configs" / "metadata.json"
    if not path.is_file():
        return {}
    content = json.loads(path.read_text(encoding="utf-8"))
    for key in ("network_data_format", side, name, "channel_def"):
        content = content.get(key) if isinstance(content, dict) else None
    return dict(content) if isinstance(content, dict) else {}
