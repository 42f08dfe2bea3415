"""A label map per case out of a file per structure or of DICOM objects; the user's files are only read."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import nibabel as nib
import numpy as np

from medseg.arrays import LabelMap
from medseg.data.cases import Case
from medseg.data.dicom_structures import read_drawn
from medseg.data.grid import same_grid
from medseg.data.isolation import Reader
from medseg.data.layouts import list_files
from medseg.data.merged import MERGED, MergedCase, merged_text
from medseg.data.painting import Painting
from medseg.data.reading import Image, read_image
from medseg.errors import DataError, GeometryError, ManifestError, MedsegError, OutputError
from medseg.planning.merge_sources import Sources, find_sources, relative_path
from medseg.writers import replacing
from medseg.writers.images import write_picture
from medseg.writers.nifti import LabelMapFile, label_header, smallest_type

FOLDER = "merged_labels"
_BLUR = 128
Progress = Callable[[int, int], None]


@dataclass
class Merged:
    """What a merge made.

    Attributes:
        root: the folder that the paths of its manifest start from.
        folder: of the label maps.
        labels: structure to number.
        n_cases: with a label map.
        overlaps: structures that claimed the same voxels, the smaller first, to cases and voxels.
        absent: structure to the number of cases without a file for it.
        failures: case to the reason why it has none.
        record: ``merged.json``, from `root`.
        lost: files that fit no case.
    """

    root: Path
    folder: Path
    labels: dict[str, int]
    n_cases: int = 0
    overlaps: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    absent: dict[str, int] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    record: str = ""

    def told(self) -> Iterator[str]:
        """What a user should know of it, a line each."""
        yield f"structures {', '.join(f'{name} {number}' for name, number in self.labels.items())}"
        yield f"label maps {self.n_cases} in {self.folder}"
        for (small, large), (cases, voxels) in self.overlaps.items():
            told = f"{small} and {large} in {cases} cases, {voxels} voxels"
            yield f"overlap    {told}: given to the smaller one"
        if self.absent:
            some = ", ".join(f"{name} in {n}" for name, n in list(self.absent.items())[:8])
            yield f"note       no file, so taken as not there: {some} cases"
        if self.lost:
            yield f"note       {len(self.lost)} label maps fit no case, left out, first {self.lost[0]}"
        for case, reason in self.failures.items():
            yield f"failed     {case}: {reason}"


def merge(
    folder: Path,
    to: Path | None = None,
    *,
    reader: Reader,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Merged:
    """Label maps of all cases in `to` (``merged_labels`` in the folder if left out), with ``merged.json``.

    The numbers go by the structures' names; where two overlap, the smaller one keeps the voxels.

    Raises:
        ManifestError: the folder has no file per structure, or several people's drawings of one.
        OutputError: `to` holds something and `overwrite` is off.
    """
    if not folder.is_dir():
        raise ManifestError(f"no folder {folder}", "a folder of scans", "correct the path")
    to = to or folder / FOLDER
    if to.exists() and any(to.iterdir()) and not overwrite:
        do = "choose another with --to, or say --overwrite"
        raise OutputError(f"{to} is not empty", "a new folder", do)
    paths = [p for p in list_files(folder) if to.resolve() not in (folder / p).resolve().parents]
    found = find_sources(folder, paths, reader)
    is_inside = to.resolve().is_relative_to(folder.resolve())
    root = folder if is_inside else Path(os.path.commonpath([folder.resolve(), to.resolve()]))
    made = Merged(root, to, {name: number for number, name in enumerate(found.names, 1)}, lost=found.lost)
    cases = []
    for done, case in enumerate(found.cases, 1):
        cases += _case(folder, case, found, made, reader)
        if progress is not None:
            progress(done, len(found.cases))
    if not made.n_cases:
        first = next(iter(made.failures.values()))
        raise DataError(f"no case could be merged, first {first}", "masks on one grid", "mend them")
    counts = Counter(name for case in cases for name in case.sources)
    made.absent = {n: made.n_cases - counts[n] for n in made.labels if counts[n] < made.n_cases}
    made.record = relative_path(to / MERGED, root)
    with replacing(to / MERGED, overwrite=overwrite) as partial:
        partial.write_text(merged_text(root, to, found.channels, made.labels, cases), encoding="utf-8")
    return made


def _case(folder: Path, case: Case, found: Sources, made: Merged, reader: Reader) -> list[MergedCase]:
    """The case with its written label map, where it has structures; none where that fails."""
    files, where = found.files[case.case], None
    try:
        if files:
            painted = _painted(folder, case, found, made.labels, reader)
            where = relative_path(_written(made.folder / case.case, *painted[:2]), made.root)
            _count(made, painted[2])
    except MedsegError as error:
        made.failures[case.case] = str(error)
        return []
    made.n_cases += bool(files)
    image = tuple(relative_path(folder / p, made.root) for p in case.image)
    return [MergedCase(case.case, case.patient, case.split, image, where, files)]


def _count(made: Merged, overlaps: Counter[tuple[int, int]]) -> None:
    names = list(made.labels)
    for (small, large), voxels in overlaps.items():
        pair = names[small - 1], names[large - 1]
        n_cases, n_voxels = made.overlaps.get(pair, (0, 0))
        made.overlaps[pair] = n_cases + 1, n_voxels + voxels


def _painted(
    folder: Path, case: Case, found: Sources, labels: Mapping[str, int], reader: Reader
) -> tuple[LabelMap, Image, Counter[tuple[int, int]]]:
    """The label map of one case, an image that has its grid, and the overlaps by number.

    Raises:
        DataError: a file can't be read, or is no mask; GeometryError: its grid is not the others'.
    """
    if found.series is not None:
        drawn, names, shared = read_drawn(
            found.series.objects[case.case], found.series.files[case.case], reader
        )
        numbers = np.array([0, *(labels[name] for name in names)], smallest_type(len(labels)))
        pairs = Counter({(int(numbers[a]), int(numbers[b])): n for a, b, n in shared})
        return numbers[drawn.array], drawn, pairs
    files = found.files[case.case]
    first: Image | None = None
    painting = None
    for name, path in files.items():
        image = read_image(folder / path, reader=reader)
        if first is None or painting is None:
            first = image
            painting = Painting(image.shape, max(labels.values()))
        if image.shape != first.shape or same_grid(first.affine, image.affine, first.shape, image.shape):
            raise GeometryError(
                f"{path} has another grid than {next(iter(files.values()))}", "one grid", "resample it"
            )
        painting.add(labels[name], _mask(image, path))
    assert first is not None
    assert painting is not None
    return painting.labels, first, painting.overlaps


def _mask(image: Image, path: str) -> np.ndarray:
    """Where the file's structure is.

    Raises:
        DataError: it holds several structures, or an image.
    """
    array = image.array
    if array.ndim > image.dimensions and image.is_rgb and np.all(array[..., :1] == array[..., :3]):
        array = array[..., 0]
    if array.ndim > image.dimensions:
        raise DataError(f"{path} has {image.channels} channels", "one mask", "store each in a file")
    values = np.unique(array)
    if path.lower().endswith((".jpg", ".jpeg")):
        return np.asarray(array >= _BLUR)
    if len(values) > 2 or (len(values) == 2 and values[0] != 0) or not np.all(np.isfinite(values)):
        some = ", ".join(f"{v:g}" for v in values[:5])
        raise DataError(
            f"{path} holds the values {some}", "a mask of 0 and one number", "part its structures"
        )
    return np.asarray(array != 0)


def _written(target: Path, labels: np.ndarray, like: Image) -> Path:
    if like.dimensions == 2:
        return write_picture(target.with_name(target.name + ".png"), labels, overwrite=True)
    path = target.with_name(target.name + ".nii.gz")
    grid = nib.Nifti1Header()
    grid.set_data_shape(labels.shape)
    grid.set_qform(like.affine, code=1)
    grid.set_sform(like.affine, code=1)
    grid.set_xyzt_units(xyz="mm")
    header = label_header(grid, labels.dtype)
    with replacing(path, overwrite=True) as partial, LabelMapFile(partial, header, compressed=True) as file:
        file.write(labels)
    return path
