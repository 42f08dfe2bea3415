"""The worst cases of an evaluation, read again from the files that its ``report.json`` names.

A file that has moved since, or an image that cannot be read, costs the page a picture and is told in a note;
the scores stand without it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medseg.arrays import Affine
from medseg.data.geometry import on_reference_grid
from medseg.data.label_maps import LabelMapFile, read_label_map
from medseg.data.manifest import read_manifest
from medseg.data.relabelling import as_declared, as_predicted
from medseg.errors import MedsegError
from medseg.evaluation.images import read_image
from medseg.labels import Structure
from medseg.metrics.coding import code_labels
from medseg.report import STATUS, Card, Pictures, Scan, Scores, Volume, card, volume, worst_cases

_VIEWER_CASES = 12
"""So many different cases at most get a volume in the viewer, the worst first."""


@dataclass(frozen=True)
class Opened:
    """A case read again: axes turned to RAS+ where the files know their orientation."""

    image: npt.NDArray[Any] | None
    masks: Mapping[str, tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]]
    spacing_mm: tuple[float, ...]
    affine: Affine | None
    has_units: bool

    def scan(self, structure: str) -> Scan:
        """One structure of it."""
        reference, prediction = self.masks[structure]
        oriented = self.affine is not None
        return Scan(reference, prediction, self.spacing_mm, self.image, self.has_units, oriented)


def pictures(document: Mapping[str, Any], scores: Scores, out_dir: Path, worst: int) -> Pictures:
    """Cards and viewer volumes of the ``worst`` cases of each structure.

    Args:
        document: content of ``report.json``.
        scores: the table of the same document.
        out_dir: where that file lies; its paths start there.
        worst: cases per structure.
    """
    chosen = {name: worst_cases(scores, name, worst) for name in scores.structures}
    wanted = list(
        dict.fromkeys(n for rank in range(worst) for name in chosen for n in chosen[name][rank : rank + 1])
    )
    opened: dict[int, Opened] = {}
    notes = []
    for number in wanted:
        try:
            opened[number] = _open(document, document["cases"][number], out_dir)
        except MedsegError as error:
            notes.append(f"No picture of {scores.cases[number].name}: {error.found}.")
    in_viewer = [n for n in wanted if n in opened and opened[n].affine is not None][:_VIEWER_CASES]
    cards = tuple(
        (name, tuple(_card(scores, opened[n], n, name, in_viewer) for n in chosen[name] if n in opened))
        for name in scores.structures
    )
    volumes = tuple(_volume(scores, opened[n], n, [s for s in chosen if n in chosen[s]]) for n in in_viewer)
    if opened and all(found.image is None for found in opened.values()):
        notes.append("The scans themselves are unknown (no manifest named them), so outlines lie on black.")
    return Pictures(tuple(c for c in cards if c[1]), volumes, _orientation(opened), tuple(notes))


def _open(document: Mapping[str, Any], case: Mapping[str, Any], out_dir: Path) -> Opened:
    inputs = document["inputs"]
    folder = out_dir / inputs["references"]
    relabel = _relabel(inputs, out_dir)
    declared = {number for structure in document["structures"] for number in structure["numbers"]}
    reference = as_declared(read_label_map(folder / case["reference"]["path"]), relabel, declared)
    written = read_label_map(out_dir / inputs["predictions"] / case["prediction"]["path"])
    prediction = as_predicted(written, relabel, declared)
    found, _ = on_reference_grid(prediction, reference, document["definition"]["resampled"])
    masks = {
        s["name"]: (_mask(reference.array, s["numbers"], index), _mask(found, s["numbers"], index))
        for index, s in enumerate(document["structures"])
    }
    image = read_image([folder / path for path in case["image"]], reference) if case["image"] else None
    return _turned(reference, image, masks)


def _mask(array: npt.NDArray[Any], numbers: Sequence[int], channel: int) -> npt.NDArray[np.bool_]:
    if array.ndim == 4:
        return np.asarray(array[..., channel] != 0)
    return code_labels(array, [Structure("", frozenset(numbers))]).mask(0)


def _relabel(inputs: Mapping[str, Any], out_dir: Path) -> Mapping[int, int]:
    """The manifest's renaming of values; empty where no manifest was given."""
    described = inputs["manifest"]
    return {} if described is None else read_manifest(out_dir / described["path"]).relabel


def _turned(
    reference: LabelMapFile,
    image: npt.NDArray[Any] | None,
    masks: Mapping[str, tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]],
) -> Opened:
    """The case with axes to the right, front and head; as it lies where the file knows no orientation."""
    has_units = "no_spacing" not in reference.flags
    if reference.affine is None:
        return Opened(image, masks, tuple(map(float, reference.spacing_mm)), None, has_units)
    from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation

    turn = io_orientation(reference.affine)
    shape = (*reference.array.shape[:3], 1)[:3]
    affine = reference.affine @ inv_ornt_aff(turn, shape)
    turned = {
        name: (apply_orientation(_solid(a), turn), apply_orientation(_solid(b), turn))
        for name, (a, b) in masks.items()
    }
    spacing = tuple(float(s) for s in np.linalg.norm(affine[:3, :3], axis=0))
    shown = None if image is None else apply_orientation(_solid(image), turn)
    return Opened(shown, turned, spacing, affine, has_units)


def _solid(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """With three axes."""
    return array[..., None] if array.ndim == 2 else array


def _card(scores: Scores, opened: Opened, number: int, structure: str, in_viewer: list[int]) -> Card:
    length = " mm" if opened.has_units else " px"
    told = [
        f"{title} {scores.column(structure, name)[number]:.{digits}f}{unit}"
        for title, name, digits, unit in (("Dice", "dice", 3, ""), ("HD95", "hd95_mm", 1, length))
        if np.isfinite(scores.column(structure, name)[number])
    ]
    status = scores.statuses[structure][number]
    names = (scores.cases[number].name, structure)
    told += [STATUS[status]] if status != "ok" else []
    at = in_viewer.index(number) if number in in_viewer else -1
    return card(opened.scan(structure), names, scores.structures.index(structure), told, volume=at)


def _volume(scores: Scores, opened: Opened, number: int, structures: list[str]) -> Volume:
    masks = {scores.structures.index(name): opened.masks[name] for name in structures}
    assert opened.affine is not None
    return volume(scores.cases[number].name, opened.image, masks, opened.affine)


def _orientation(opened: Mapping[int, Opened]) -> str:
    units = {"mm" if found.has_units else "pixels" for found in opened.values()} or {"mm"}
    axes = f"Axes are in {' or '.join(sorted(units))}."
    if not any(found.affine is not None for found in opened.values()):
        return f"Pictures are shown as they lie in their files. {axes}"
    hung = "the patient's right (R) is on the left of the picture; A front, P back, S head, I feet"
    return f"Radiological view: {hung}. {axes}"
