"""What a bundle can be asked to do, and which of its config files each verb reads."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from medseg.bundle.archives import demand_folder
from medseg.bundle.lint.source import read_source
from medseg.errors import BundleError

FILES: dict[str, tuple[str, ...]] = {
    "training": ("train",),
    "evaluating": ("train", "evaluate"),
    "inferring": ("inference",),
}
"""The config files of a verb, in the order in which they are merged."""

ALIASES = {"train": "training", "evaluate": "evaluating", "predict": "inferring", "inference": "inferring"}


def config_files(bundle: Path, verb: str) -> list[Path]:
    """The config files that `verb` reads, in order.

    Raises:
        BundleError: an unknown verb, no such bundle, or a config file that it lacks.
    """
    verb = ALIASES.get(verb, verb)
    if verb not in FILES:
        raise BundleError(f"verb {verb!r}", f"one of {', '.join([*ALIASES, *FILES])}", "name one of them")
    demand_folder(bundle)
    if not (bundle / "configs").is_dir():
        raise BundleError(f"no bundle at {bundle}", "a folder with configs/", "give the bundle's folder")
    return [_config_file(bundle, stem) for stem in FILES[verb]]


def _config_file(bundle: Path, stem: str) -> Path:
    for ending in (".yaml", ".yml", ".json"):
        path = bundle / "configs" / (stem + ending)
        if path.is_file():
            return path
    raise BundleError(
        f"no {stem}.yaml in {bundle / 'configs'}",
        "a config for this verb",
        "choose a verb that the bundle has",
    )


def read_config(files: list[Path]) -> dict[str, Any]:
    """The merged config as plain values, nothing evaluated.

    A later file replaces whole top-level ids, as MONAI merges them.

    Raises:
        BundleError: a file is no YAML or JSON mapping, or unfolds to more than any config has.
    """
    merged: dict[str, Any] = {}
    for path in files:
        read_source(path, str(path))  # refuses what is no mapping, and bombs
        text = path.read_text(encoding="utf-8-sig")
        content = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
        merged.update(content)
    return merged


def with_overrides(config: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """The config with each override in its place; ``#`` or ``::`` goes down a level."""
    result = copy.deepcopy(dict(config))
    for override, value in overrides.items():
        *parents, last = override.replace("::", "#").split("#")
        place: Any = result
        for part in parents:
            place = place[int(part)] if isinstance(place, list) else place.setdefault(part, {})
        place[int(last) if isinstance(place, list) else last] = value
    return result
