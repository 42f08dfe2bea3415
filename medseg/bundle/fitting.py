"""A user's manifest brought to what a bundle takes: channels in its order, structures under its numbers."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medseg.bundle.structures import channels_of
from medseg.bundle.verbs import config_files, read_config, with_overrides
from medseg.data.channel_order import in_order_of
from medseg.data.manifest import Manifest
from medseg.data.relabelling import usable
from medseg.errors import LabelError


def fitted(manifest: Manifest, bundle: Path, overrides: Mapping[str, Any]) -> Manifest:
    """The manifest as the training of the bundle reads it; a change of the channels' order is told.

    An override of the network's input says that the bundle's own channels no longer count.

    Raises:
        ManifestError: a channel that the bundle takes is not there.
        LabelError: a structure has another number than in the bundle.
    """
    _check_numbers(manifest, with_overrides(read_config(config_files(bundle, "training")), overrides))
    if any(key.endswith("in_channels") for key in overrides):
        return manifest
    ordered = in_order_of(manifest, channels_of(bundle))
    if ordered.channels != manifest.channels:
        sys.stderr.write(
            f"medseg: channels of {manifest.name} taken as {', '.join(ordered.channels)},"
            f" the order of the bundle, not {', '.join(manifest.channels)}\n"
        )
    return ordered


def _check_numbers(manifest: Manifest, config: Mapping[str, Any]) -> None:
    """Return where each structure that both name has the number, in the files, that the bundle expects."""
    labels = config.get("labels")
    known = labels if isinstance(labels, Mapping) else {}
    # As training changes them: a target that the bundle does not declare is left out.
    changes = usable(manifest.relabel, [n for n in known.values() if isinstance(n, int)])
    for name, number in known.items():
        own = next((v for key, v in manifest.labels.items() if key.lower() == str(name).lower()), None)
        if not (isinstance(number, int) and isinstance(own, int)):
            continue
        in_files = {own, *(old for old, new in manifest.relabel.items() if new == own)}
        if number not in {changes.get(value, value) for value in in_files}:
            raise LabelError(
                f"{name} is {own} in the manifest {manifest.name} and {number} in the bundle",
                "one number for a structure",
                f"say --labels '{_as_yaml({**dict(labels or {}), name: own})}', or renumber the manifest",
            )


def _as_yaml(labels: Mapping[Any, Any]) -> str:
    return "{" + ", ".join(f"{name}: {number}" for name, number in labels.items()) + "}"
