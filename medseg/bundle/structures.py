"""What a bundle says of its input and output: structures by name, channels, pictures or volumes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser

from medseg.bundle.predicting import inference_config
from medseg.labels import Structure, structures


@dataclass(frozen=True)
class Asks:
    """What kind of image a bundle takes.

    Attributes:
        n_channels: of the image; 0 where nothing says it.
        n_axes: 2 for a network of pictures or slices, 3 for one of volumes; 0 where nothing says it.
    """

    n_channels: int = 0
    n_axes: int = 0


def asks_of(root: Path, network: torch.nn.Module) -> Asks:
    """What the metadata say or, where they don't, what the network's first convolution takes."""
    first = next((p for p in network.parameters() if p.ndim in (4, 5)), None)
    n_channels = n_channels_of(root) or (int(first.shape[1]) if first is not None else 0)
    return Asks(n_channels, first.ndim - 2 if first is not None else 0)


def structures_of(root: Path) -> tuple[Structure, ...]:
    """The structures in the order of their channels or numbers; empty where the bundle says nothing.

    The config's ``regions`` or ``labels`` (name to number) come first; ``codes`` may give each name a coded
    concept (``SCT:10200004:Liver``). Else the ``channel_def`` of the metadata's output ``pred``:
    its numbers are the labels where 0 is the background, and one less where every channel is a region.

    Raises:
        BundleError: no inference config.
        LabelError: a name without a number.
    """
    parser = ConfigParser()
    parser.read_config(inference_config(root))
    codes = parser.config.get("codes")
    codes = codes if isinstance(codes, Mapping) else {}
    named: Any = parser.config.get("regions") or parser.config.get("labels")
    if not isinstance(named, Mapping):
        channels = {int(n): str(name) for n, name in _stated(root, "outputs", "pred", "channel_def").items()}
        shift = int("background" not in channels.get(0, "background").lower())
        named = {name: number + shift for number, name in sorted(channels.items())}
        named = {name: number for name, number in named.items() if number}
    written = _renumbered(parser)
    return tuple(
        replace(s, numbers=frozenset(written.get(n, n) for n in s.numbers), code=str(codes.get(s.name, "")))
        for s in structures(named)
    )


def _renumbered(parser: ConfigParser) -> dict[int, int]:
    """Label number to the value in the file, where the post-processing ends in ``MapLabelValued``."""
    steps = parser.config.get("postprocessing")
    steps = steps.get("transforms", []) if isinstance(steps, dict) else []
    last: dict[str, Any] = next(
        (s for s in steps if str(s.get("_target_", "")).endswith("MapLabelValued")), {}
    )
    own, written = last.get("orig_labels"), last.get("target_labels")
    if not isinstance(own, list) or not isinstance(written, list):
        return {}
    return {int(a): int(b) for a, b in zip(own, written, strict=True)}


def channels_of(root: Path) -> tuple[str, ...]:
    """Names of the input's channels in their order, by the metadata; none where they say nothing."""
    told = _stated(root, "inputs", "image", "channel_def")
    return tuple(str(told[key]) for key in sorted(told, key=int)) if all(k.isdigit() for k in told) else ()


def n_channels_of(root: Path) -> int:
    """Channels of the input image by the metadata; 0 where they say nothing."""
    stated = _stated(root, "inputs", "image")
    number = stated.get("num_channels")
    return number if isinstance(number, int) else len(stated.get("channel_def") or ())


def _stated(root: Path, *keys: str) -> dict[str, Any]:
    """A part of the metadata's network_data_format; empty where it is not there."""
    path = root / "configs" / "metadata.json"
    if not path.is_file():
        return {}
    content = json.loads(path.read_text(encoding="utf-8"))
    for key in ("network_data_format", *keys):
        content = content.get(key) if isinstance(content, dict) else None
    return dict(content) if isinstance(content, dict) else {}
