"""What the user names: folders, a manifest, structures; and what is to be scored because of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from medseg.data.label_maps import LABEL_MAP_SUFFIXES, label_map_suffix, read_label_map
from medseg.data.manifest import Case, Manifest, read_manifest
from medseg.errors import DataError, MedsegError
from medseg.evaluation.cases import Protocol
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
from medseg.evaluation.summary import OVERALL
from medseg.labels import Structure, structures
from medseg.metrics import definition
from medseg.metrics.coding import unknown_labels
from medseg.metrics.definitions import Definition
from medseg.metrics.scoring import Engine, Tolerances


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


@dataclass(frozen=True)
class Options:
    """What is scored and how.

    Attributes:
        labels: name to number; from the manifest, the preset or the references themselves where None.
        regions: name to numbers, scored beside the labels.
        preset: the definition.
        tolerances_mm: of NSD, by structure (``*`` for the others) or for all; None for the definition's.
        ignore_label: a number of the reference that counts for nothing.
        percentiles: of the surface distances, instead of the definition's.
        resample: bring predictions on another grid onto the reference's, by the nearest voxel.
        engine: ``numba``, or ``scipy`` for the reference path.
    """

    labels: Mapping[str, int | Iterable[int]] | None = None
    regions: Mapping[str, Iterable[int]] = field(default_factory=dict)
    preset: str = "medseg"
    tolerances_mm: Tolerances | None = None
    ignore_label: int | None = None
    percentiles: tuple[float, ...] = ()
    resample: bool = False
    engine: Engine = "numba"


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
    if manifest is None and (images := images_among(found.pairs)):
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


def protocol_of(options: Options, manifest: Manifest | None, pairs: Matches) -> Protocol:
    """The protocol that all cases share.

    Raises:
        MedsegError: no such preset, or nothing to score.
    """
    how = definition(options.preset)
    if options.percentiles:
        how = replace(how, percentiles=options.percentiles)
    wanted = _structures(options, manifest, how) or _seen([r.path for r, _ in pairs.pairs])
    _check_tolerances(options.tolerances_mm, wanted)
    return Protocol(
        structures=wanted,
        how=how,
        tolerances_mm=options.tolerances_mm,
        ignore_label=options.ignore_label,
        resample=options.resample,
        relabel={} if manifest is None else manifest.relabel,
        engine=options.engine,
    )


def _structures(options: Options, manifest: Manifest | None, how: Definition) -> tuple[Structure, ...]:
    """What the user names, else the manifest's regions or labels, else the preset's regions."""
    if options.labels or options.regions:
        both = [*structures(options.labels or {}), *structures(options.regions)]
        names = [s.name for s in both]
        if len(set(names)) < len(names):
            raise MedsegError(f"structures {names}", "each name once", "rename a label or a region")
        return _named(tuple(both))
    if manifest is not None:
        return _named(structures(manifest.regions or manifest.labels))
    return structures(how.regions)


def _named(wanted: tuple[Structure, ...]) -> tuple[Structure, ...]:
    if any(s.name == OVERALL for s in wanted):
        raise MedsegError(
            f"a structure {OVERALL!r}", "another name: scores over all structures bear it", "rename it"
        )
    return wanted


def _seen(paths: Iterable[Path]) -> tuple[Structure, ...]:
    """A structure per label that the references hold; 255 counts as 1 in pictures of 0 and 255 alone."""
    labels: set[int] = set()
    n_channels = 0
    for path in paths:
        try:
            label_map = read_label_map(path)
        except DataError:
            # Its row will say so.
            continue
        values = set(unknown_labels(label_map.array, {0}))
        n_channels = max(n_channels, label_map.n_channels)
        labels |= {1} if label_map.affine is None and values == {255} else values
    if n_channels:
        return tuple(Structure(f"channel {i + 1}", frozenset([i + 1])) for i in range(n_channels))
    if not labels:
        raise DataError(
            "no label above background in any reference",
            "a structure to score",
            "name them: --labels liver=1",
        )
    return tuple(Structure(f"label {n}", frozenset([n])) for n in sorted(labels))


def _check_tolerances(tolerances: Tolerances | None, wanted: tuple[Structure, ...]) -> None:
    if not isinstance(tolerances, Mapping):
        return
    unknown = sorted(set(tolerances) - {s.name for s in wanted} - {"*"})
    if unknown:
        raise MedsegError(
            f"a tolerance for {unknown[0]!r}",
            f"one of {', '.join(s.name for s in wanted)}",
            "correct the name, or leave it out to mean all the others",
        )


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
