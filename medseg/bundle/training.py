"""A bundle trained on somebody's data: the run's folder, its manifest, its settings, and how it goes on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medseg.bundle.copying import OVERRIDES, copy_bundle
from medseg.bundle.fitting import fitted
from medseg.bundle.recorded import seal, unseal
from medseg.bundle.restricted import check
from medseg.bundle.run import check_overrides_of, run_verb
from medseg.bundle.verbs import config_files, read_config
from medseg.data.folds import one_fold, with_folds
from medseg.data.manifest import Manifest, read_manifest, write_manifest
from medseg.errors import BundleError, DataError, OutputError
from medseg.writers.lock import hold

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Training:
    """What is trained, on what, and where it goes.

    Attributes:
        bundle: its folder.
        data: the folder that the manifest's paths start from.
        target: the folder of the trained bundle.
        manifest: instead of the bundle's own.
        fold: hold this fold out for validation, and train on the others.
        n_folds: how many folds; None for the manifest's own, or 5.
        budget: a time after which the schedule ends.
        began: unix time at which the budget's clock started; None for when training starts.
        overrides: id to value, of the bundle's train config.
        trust: run whatever the bundle holds.
    """

    bundle: Path
    data: Path
    target: Path
    manifest: Path | None = None
    fold: int | None = None
    n_folds: int | None = None
    budget: str | None = None
    began: float | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)
    trust: bool = False


def train_bundle(training: Training, *, resume: bool = False, overwrite: bool = False) -> None:
    """Let the target hold a trained bundle, which no other run writes meanwhile.

    With `resume` a run goes on from its last checkpoint, or begins again where it was killed before the
    first one. It keeps the settings that it was begun with; new overrides come on top. Channels of the
    user's manifest are brought to the bundle's order by name.

    Raises:
        OverrideError: an override names nothing in the config.
        DataError: no such folder of data.
        ManifestError: a channel that the bundle takes is not in the manifest.
        LabelError: a structure has another number than in the bundle.
        OutputError: the target holds something and `overwrite` is off, there is no run to go on with, or
            another run writes there.
    """
    with hold(training.target):
        train_unguarded(training, resume=resume, overwrite=overwrite)


def train_unguarded(training: Training, *, resume: bool = False, overwrite: bool = False) -> None:
    """As `train_bundle`, for a caller that keeps other runs out of the target, or of what it lies in."""
    bundle, target = training.bundle, training.target
    settings: dict[str, Any] = dict(training.overrides)
    if training.budget is not None:
        settings["budget"] = training.budget
    settings |= _without_names(bundle, settings)
    check_overrides_of(bundle, "training", settings)
    mode = check(bundle, trust=training.trust, files=config_files(bundle, "training"))
    if not training.data.is_dir():
        raise DataError(f"no folder {training.data}", "the folder of the data set", "give it with --data DIR")
    settings["dataset_dir"] = str(training.data.resolve())
    if resume:
        known = _settings_of(target)
        # The cases are those that the run was begun with: another manifest would be another run.
        cases = {"manifest": known["manifest"]} if "manifest" in known else {}
        settings = {**known, **settings, **cases, "resume": True}
    else:
        _begin(training, settings, overwrite=overwrite)
    if settings.get("budget") is not None and training.began is not None:
        settings["budget_began"] = training.began
    places = {
        "bundle_root": str(bundle.resolve()),
        "output_dir": str((target / "eval").resolve()),
        "ckpt_dir": str((target / "models").resolve()),
    }
    unseal(target)
    run_verb(bundle, "training", {**places, **settings}, trust=training.trust, output=target)
    seal(target, known=mode.full and not training.trust)


def manifest_of(training: Training) -> Manifest:
    """The manifest that the training reads: the user's, fitted to the bundle, or the bundle's own.

    Raises:
        BundleError: the bundle names none.
        ManifestError: it can't be read.
    """
    if training.manifest is not None:
        return fitted(read_manifest(training.manifest), training.bundle, training.overrides)
    from monai.bundle import ConfigParser

    parser = ConfigParser()
    parser.read_config([str(path) for path in config_files(training.bundle, "training")])
    parser["bundle_root"] = str(training.bundle.resolve())
    if "manifest" not in parser:
        raise BundleError(
            f"no manifest in the train config of {training.bundle}", "the cases", "give --manifest FILE"
        )
    return read_manifest(str(parser.get_parsed_content("manifest")))


def _without_names(bundle: Path, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """With another input than the bundle's its names for the channels count no longer."""
    is_other = any(key.endswith("in_channels") for key in overrides) and "channels" not in overrides
    named = read_config(config_files(bundle, "training")).get("channels") if is_other else None
    are_names = isinstance(named, list) and all(isinstance(name, str) for name in named)
    return {"channels": None} if are_names else {}


def _begin(training: Training, settings: dict[str, Any], *, overwrite: bool) -> None:
    """Make the run's folder; where the cases are not as the user's file has them, its manifest too."""
    target, own = training.target, None
    if training.fold is not None:
        dealt = with_folds(manifest_of(training), training.data, training.n_folds)
        own = one_fold(dealt, training.fold)
    elif training.manifest is not None:
        settings["manifest"] = str(training.manifest.resolve())
        given = manifest_of(training)
        own = given if given != read_manifest(training.manifest) else None
    place = (target / "eval" / MANIFEST).resolve()
    if own is not None:
        settings["manifest"] = str(place)
    copy_bundle(training.bundle, target, settings, overwrite=overwrite)
    if own is not None:
        write_manifest(own, place, overwrite=True)


def _settings_of(target: Path) -> dict[str, Any]:
    """The settings that the run in the folder was begun with."""
    try:
        return dict(json.loads((target / "configs" / OVERRIDES).read_text(encoding="utf-8")))
    except (FileNotFoundError, NotADirectoryError):
        raise OutputError(
            f"no run to go on with in {target}: neither checkpoint.pt nor settings",
            "a folder that `medseg train` made",
            "leave out --resume",
        ) from None
