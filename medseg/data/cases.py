"""A data set in memory: which files make a case, whose patient it is, what its numbers mean."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from medseg.errors import ManifestError

SPLITS = ("training", "validation", "test")


@dataclass(frozen=True)
class Case:
    """One scan with its reference: paths are relative to the data set's folder and use forward slashes.

    Attributes:
        case: a name that is unique in the manifest.
        patient: who it is; two cases of one patient never part between splits.
        image: one path per file; several where each channel has a file of its own.
        label: the label map's path, or None where nobody drew one.
        sha256: ``{"image": (…,), "label": …}`` in hexadecimal, or empty.
        fold: the cross-validation fold in which the case is held out, or None.
        split: ``training``, ``validation`` or ``test``.
        extra: what else the manifest says of the case, kept as it is.
    """

    case: str
    patient: str
    image: tuple[str, ...]
    label: str | None = None
    sha256: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    fold: int | None = None
    split: str = "training"
    extra: Mapping[str, Any] = field(default_factory=dict)

    def files(self) -> Iterator[tuple[str, str, str]]:
        """Every file as (kind, path, sha256): kind is ``image`` or ``label``, an unknown hash empty."""
        hashes = self.sha256.get("image", ())
        for number, path in enumerate(self.image):
            yield "image", path, hashes[number] if number < len(hashes) else ""
        if self.label is not None:
            yield "label", self.label, next(iter(self.sha256.get("label", ())), "")


@dataclass(frozen=True)
class Manifest:
    """A data set: its header and its cases, in the order of the file.

    Attributes:
        name: a word without spaces.
        version: of the manifest, not of the data.
        description: one sentence; synthetic data say so here.
        source: where the data come from, an address or a sentence.
        licence: an SPDX name, or a sentence.
        citation: the paper to cite.
        channels: what each channel holds, in order (``MR``, ``CT``, ``FLAIR``).
        labels: name to number, or to numbers for a union.
        regions: optional overlapping unions to train on and to score (BraTS: WT, TC, ET).
        relabel: value in the files to number in `labels`, where they differ (``{255: 1}``).
        download: optional ``url``, ``md5`` and ``root`` (the folder inside the archive).
        archives: optional ``url`` and, where it is published, ``sha256`` or ``md5`` of each archive of public
            data whose cases are not listed here; `medseg data scan` lists what they hold.
        access: optional, for data behind an account: ``register`` (the page) and ``layout`` (lines that say
            how the files lie below the folder).
        inter_rater: optional, how well people agree: ``structure``, ``metric``, ``value``, ``source`` each.
        items: every case.
    """

    name: str
    version: str
    channels: tuple[str, ...]
    labels: Mapping[str, int | tuple[int, ...]]
    description: str = ""
    source: str = ""
    licence: str = ""
    citation: str = ""
    regions: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    relabel: Mapping[int, int] = field(default_factory=dict)
    download: Mapping[str, Any] = field(default_factory=dict)
    archives: tuple[Mapping[str, Any], ...] = ()
    access: Mapping[str, Any] = field(default_factory=dict)
    inter_rater: tuple[Mapping[str, Any], ...] = ()
    items: tuple[Case, ...] = ()

    def cases(
        self, split: str | None = None, fold: int | None = None, held_out: bool = False
    ) -> tuple[Case, ...]:
        """The cases of a split, or of all; with `fold`, those outside it, or with `held_out` those inside it.

        Raises:
            ManifestError: no such split, or no case has this fold.
        """
        if split is not None and split not in SPLITS:
            raise ManifestError(
                f"split {split!r}", f"one of {', '.join(SPLITS)}", "correct the name of the split"
            )
        chosen = tuple(c for c in self.items if split is None or c.split == split)
        if fold is None:
            return chosen
        folds = sorted({c.fold for c in chosen if c.fold is not None})
        if fold not in folds:
            raise ManifestError(
                f"{self.name} has no fold {fold}; it has {folds or 'none'}",
                "a fold of the manifest",
                "make folds with `medseg data split`",
            )
        return tuple(c for c in chosen if (c.fold == fold) is held_out)

    def with_cases(self, items: tuple[Case, ...]) -> Manifest:
        """The same header over other cases."""
        return replace(self, items=items)

    @property
    def numbers(self) -> tuple[int, ...]:
        """Every label number that a structure or region declares, sorted, without the background's 0."""
        values: set[int] = set()
        for value in [*self.labels.values(), *self.regions.values()]:
            values.update([value] if isinstance(value, int) else value)
        return tuple(sorted(values - {0}))
