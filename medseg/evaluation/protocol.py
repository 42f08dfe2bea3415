"""What is scored and how: the structures that the user, the manifest or the references name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from medseg.data.label_maps import read_label_map
from medseg.data.manifest import Manifest
from medseg.errors import DataError, MedsegError
from medseg.evaluation.cases import Protocol
from medseg.evaluation.matching import Matches
from medseg.evaluation.summary import OVERALL
from medseg.labels import Structure, structures
from medseg.metrics import definition
from medseg.metrics.coded_scoring import Engine, Tolerances
from medseg.metrics.coding import unknown_labels
from medseg.metrics.definitions import Definition


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
