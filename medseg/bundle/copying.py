"""A trained bundle from a bundle: its files, the settings of the run, and a place for the new weights."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from medseg.bundle.verbs import read_config, with_overrides
from medseg.errors import OutputError
from medseg.writers.lock import LOCK, holds_work

OVERRIDES = "overrides.json"
"""The file of a trained bundle's ``configs`` with the settings of its run."""
LEFT_BEHIND = shutil.ignore_patterns("models", "eval", "runs", "__pycache__", "*.pyc", "SHA256SUMS", LOCK)
RUN_ONLY = {"dataset_dir", "manifest", "output_dir", "ckpt_dir", "max_epochs", "val_interval"}
"""Overrides that say how this run was made and mean nothing to the bundle's other verbs."""


def copy_bundle(source: Path, target: Path, overrides: Mapping[str, Any], *, overwrite: bool = False) -> None:
    """`target` is a bundle like `source`, without its weights, with the overrides that inference shares.

    The overrides as given are kept in ``configs/overrides.json``. Where one of them changes an id that
    ``inference.yaml`` or ``evaluate.yaml`` defines too, that file is written anew, so that the trained
    weights and the config that loads them agree.

    Raises:
        OutputError: the target holds something already and `overwrite` is off.
    """
    if holds_work(target) and not overwrite:
        raise OutputError(
            f"{target} is not empty", "a new folder", "choose another with -o, or say --overwrite"
        )
    if source.resolve() != target.resolve():
        shutil.copytree(source, target, dirs_exist_ok=True, ignore=LEFT_BEHIND)
        _forget_scores(target / "configs" / "metadata.json", source.name)
    (target / "models").mkdir(parents=True, exist_ok=True)
    kept = {key: value for key, value in overrides.items() if key not in RUN_ONLY}
    (target / "configs" / OVERRIDES).write_text(json.dumps(dict(overrides), indent=2, default=str) + "\n")
    for stem in ("train", "evaluate", "inference"):
        path = target / "configs" / f"{stem}.yaml"
        if path.is_file():
            _apply(path, kept)


def _forget_scores(meta: Path, source: str) -> None:
    """The copy's metadata claims no scores: those were of the source's weights, and the entry says whose."""
    if not meta.is_file():
        return
    said = json.loads(meta.read_text(encoding="utf-8"))
    if isinstance(said, dict) and said.get("eval_metrics"):
        said["eval_metrics"] = {}
        said["trained_from"] = {"bundle": source, "version": said.get("version")}
        meta.write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")


def _apply(path: Path, overrides: Mapping[str, Any]) -> None:
    config = read_config([path])
    shared = {
        key: value for key, value in overrides.items() if key.replace("::", "#").split("#")[0] in config
    }
    if shared:
        head = f"# Written by `medseg train` with {', '.join(sorted(shared))} changed; see overrides.json.\n"
        path.write_text(head + yaml.safe_dump(with_overrides(config, shared), sort_keys=False, width=110))
