"""The cases of a manifest as the list of dictionaries that MONAI's data sets take."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medseg.data.channel_order import in_order_of
from medseg.data.manifest import Case, Manifest, read_manifest
from medseg.errors import ManifestError


def datalist(
    manifest: str | os.PathLike[str] | Manifest,
    dataset_dir: str | os.PathLike[str],
    split: str | None = None,
    fold: int | None = None,
    held_out: bool = False,
    channels: Sequence[str] | None = None,
) -> list[dict[str, Any]]:
    """One dictionary per case with ``case``, ``patient``, ``image`` and, where there is one, ``label``.

    Paths are absolute; ``image`` is a path, or a list of them where each channel has its own file. With a
    label and a manifest that renames values there is ``relabel``, which `CachedDataset` applies. This is
    the function that a bundle's YAML names (``_target_: medseg.data.datalist``). See `Manifest.cases` for
    `split`, `fold` and `held_out`.

    With `channels` the images come in that order, matched by the manifest's names for them (``T1Gd`` is
    ``T1ce``); where either side has no names of somebody's choice, by their place.

    Raises:
        ManifestError: the manifest, the folder or a file is missing, no case is left, a channel isn't there,
            or all are in one file in another order.
    """
    known = manifest if isinstance(manifest, Manifest) else read_manifest(manifest)
    known = known if channels is None else in_order_of(known, channels)
    root = Path(dataset_dir)
    if not root.is_dir():
        raise ManifestError(
            f"no folder {root} for the data set {known.name}",
            "the folder that holds its files",
            f"say --dataset_dir, or fetch it with `medseg data get {known.name} --to DIR`",
        )
    root = root.resolve()
    cases = known.cases(split, fold, held_out)
    if not cases:
        raise ManifestError(
            f"{known.name} has no case in split {split or 'any'}",
            "at least one",
            "choose another split, or make one with `medseg data split`",
        )
    _demand_files(known, cases, root)
    return [_row(c, known, root) for c in cases]


def _demand_files(manifest: Manifest, cases: Sequence[Case], root: Path) -> None:
    """Pass where every file of these cases is there.

    Raises:
        ManifestError: one is not.
    """
    wanted = [path for c in cases for _, path, _ in c.files()]
    missing = [path for path in wanted if not (root / path.split("#")[0]).exists()]
    if missing:
        raise ManifestError(
            f"{len(missing)} of {len(wanted)} files of {manifest.name} are not in {root}, first {missing[0]}",
            "every file of the manifest",
            f"give the right folder, or fetch the data with `medseg data get {manifest.name} --to DIR`",
        )


def _row(case: Case, manifest: Manifest, root: Path) -> dict[str, Any]:
    images = [str(root / path) for path in case.image]
    row: dict[str, Any] = {"case": case.case, "patient": case.patient}
    row["image"] = images[0] if len(images) == 1 else images
    if case.label is not None:
        row["label"] = str(root / case.label)
        row |= {"relabel": dict(manifest.relabel)} if manifest.relabel else {}
    return row
