"""What the user names, folders and a manifest, and which files are to be scored because of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from medseg.data.label_maps import LABEL_MAP_SUFFIXES, label_map_suffix
from medseg.data.manifest import Case, Manifest, read_manifest
from medseg.errors import DataError, MedsegError
from medseg.evaluation.matching import (
    UNREAD_SUFFIXES,
    Matches,
    Reference,
    case_ids,
    images_among,
    label_map_files,
    match,
    paths_as_ids,
    rule_in_words,
)


@dataclass(frozen=True)
class Inputs:
    """Where predictions and references lie.

    Attributes:
        predictions: a folder of label maps of any tool, searched with its subfolders.
        references: a folder of reference label maps; or leave it out and give `manifest` and `data`.
        manifest: tells labels, patients and, with `data`, the references.
        data: the folder that the manifest's paths start from.
        split: of the manifest: ``training``, ``validation`` or ``test``; None for every case with a label.
        fold: of the manifest: only the cases that this fold holds out.
        prediction_name: how prediction files are named, for example ``{case}_pred.nii.gz``.
        reference_name: how reference files are named.
    """

    predictions: Path
    references: Path | None = None
    manifest: Path | None = None
    data: Path | None = None
    split: str | None = None
    fold: int | None = None
    prediction_name: str | None = None
    reference_name: str | None = None

    @property
    def reference_folder(self) -> Path:
        """The folder that the references' paths are told from."""
        return self.references or self.data or Path()


def matches(inputs: Inputs, manifest: Manifest | None) -> Matches:
    """Every reference with its predictions.

    Raises:
        MedsegError: neither references nor a manifest with its data is given, a folder is missing, not one
            prediction has a reference, or scans lie among the references.
    """
    if manifest is None and (inputs.split or inputs.fold is not None):
        raise MedsegError(
            f"--split {inputs.split}" if inputs.split else f"--fold {inputs.fold}",
            "a manifest that has splits",
            "say --manifest FILE, or leave it out",
        )
    references = _references(inputs, manifest)
    if not references:
        raise DataError(
            f"no reference label map in {inputs.reference_folder}",
            "at least one",
            "check --references or --data",
        )
    predictions = label_map_files(inputs.predictions)
    if not predictions:
        raise DataError(
            f"no label map in {inputs.predictions}: it holds {_some_files(inputs.predictions)}",
            f"files that end in {', '.join(LABEL_MAP_SUFFIXES)}",
            "correct --predictions, or convert them",
        )
    ids = case_ids(predictions, inputs.prediction_name, inputs.predictions)
    if manifest is None and not (inputs.prediction_name or inputs.reference_name):
        references, ids = _by_way(inputs, references, ids)
    rule = rule_in_words(inputs.prediction_name, inputs.reference_name)
    found = match(references, ids, rule)
    if not any(paths for _, paths in found.pairs):
        raise DataError(
            f"no prediction in {inputs.predictions} has a reference: it holds "
            f"{_some_files(inputs.predictions)}; "
            f"the references are {', '.join(r.case for r in references[:3])}",
            "label maps whose names have the same case ids",
            "tell how they are named, for example --prediction-name '{case}_pred.nii.gz'",
        )
    if manifest is None and not inputs.reference_name and (images := images_among(found.pairs)):
        raise DataError(
            f"{inputs.references} holds scans beside label maps, as {images[0].path.name}",
            "reference label maps alone",
            "tell how these are named, for example --reference-name '{case}_seg.nii.gz'",
        )
    return _with_unread(inputs, found)


def _with_unread(inputs: Inputs, found: Matches) -> Matches:
    """For cases without a prediction a file of a kind that is not read, so that its row says so."""
    files = label_map_files(inputs.predictions, UNREAD_SUFFIXES)
    lacking = [r for r, paths in found.pairs if not paths]
    if not files or not lacking:
        return found
    ids = case_ids(files, inputs.prediction_name, inputs.predictions)
    unread = {r.case: paths[:1] for r, paths in match(lacking, ids, found.rule).pairs}
    return replace(found, pairs=tuple((r, paths or unread[r.case]) for r, paths in found.pairs))


def _by_way(
    inputs: Inputs, references: list[Reference], ids: dict[Path, str]
) -> tuple[list[Reference], dict[Path, str]]:
    """The way below its folder as each file's id, where names repeat and both folders are laid out alike."""
    assert inputs.references is not None
    if not any(r.duplicates for r in references):
        return references, ids
    files = [path for r in references for path in (r.path, *r.duplicates)]
    ways, own = paths_as_ids(files, inputs.references), paths_as_ids([*ids], inputs.predictions)
    if len(set(ways.values())) < len(ways) or not set(ways.values()) & set(own.values()):
        return references, ids
    return [Reference(case, path) for path, case in sorted(ways.items())], own


def _some_files(folder: Path) -> str:
    """The first three files of a folder, whatever they are, or ``nothing``."""
    files = sorted(p.name for p in folder.rglob("*") if not p.name.startswith(".") and p.is_file())
    more = f" and {len(files) - 3} more" if len(files) > 3 else ""
    return ", ".join(files[:3]) + more if files else "nothing"


def manifest_of(inputs: Inputs) -> Manifest | None:
    """The manifest, where one is named."""
    return None if inputs.manifest is None else read_manifest(inputs.manifest)


def _references(inputs: Inputs, manifest: Manifest | None) -> list[Reference]:
    if inputs.references is not None:
        return _from_folder(inputs, manifest)
    if manifest is None or inputs.data is None:
        raise MedsegError(
            "no references",
            "--references DIR, or --manifest FILE with --data DIR",
            "say where the reference label maps lie",
        )
    if not inputs.data.is_dir():
        raise DataError(f"no folder {inputs.data}", "the folder of the manifest's paths", "correct --data")
    return [
        Reference(
            case=case.case,
            path=inputs.data / case.label,
            patient=case.patient,
            names=_names(case),
            image=tuple(inputs.data / p for p in case.image),
        )
        for case in _chosen(inputs, manifest)
        if case.label is not None
    ]


def _from_folder(inputs: Inputs, manifest: Manifest | None) -> list[Reference]:
    assert inputs.references is not None
    files = label_map_files(inputs.references)
    by_id: dict[str, list[Path]] = {}
    for path, name in case_ids(files, inputs.reference_name, inputs.references).items():
        by_id.setdefault(name, []).append(path)
    if manifest is None:
        return [Reference(case, paths[0], duplicates=tuple(paths[1:])) for case, paths in by_id.items()]
    named = {name: case for case in _chosen(inputs, manifest) for name in (case.case, *_names(case))}
    return [
        Reference(named[name].case, paths[0], named[name].patient, (name,), duplicates=tuple(paths[1:]))
        for name, paths in by_id.items()
        if name in named
    ]


def _chosen(inputs: Inputs, manifest: Manifest) -> tuple[Case, ...]:
    return manifest.cases(inputs.split, inputs.fold, held_out=inputs.fold is not None)


def _names(case: Case) -> tuple[str, ...]:
    paths = [Path(p) for p in (*case.image, *([case.label] if case.label else []))]
    return tuple(p.name[: -len(label_map_suffix(p))] if label_map_suffix(p) else p.name for p in paths)
