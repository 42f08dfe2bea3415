"""The scans that a user points at, and where the label map of each will go."""

from __future__ import annotations

import glob
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from medseg.data.layouts import files_below
from medseg.errors import DataError, MedsegError, OutputError
from medseg.inference.modalities import by_words
from medseg.inference.privacy import redacted, without_parts
from medseg.writers import output_paths

NIFTI = (".nii.gz", ".nii", ".hdr")
VOLUMES = (*NIFTI, ".nrrd", ".nhdr", ".mha", ".mhd", ".mgz", ".mgh", ".mnc")
PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
MASKS = ("_segmentation", "_superpixels")
# The ending of the label map for each ending of a scan; NIfTI for what is not here.
OWN_FORMAT = {
    ".nii": ".nii",
    **dict.fromkeys((".nrrd", ".nhdr"), ".nrrd"),
    **dict.fromkeys((".mha", ".mhd"), ".mha"),
    **dict.fromkeys((".png", ".jpg", ".jpeg", ".bmp"), ".png"),
    **dict.fromkeys((".tif", ".tiff"), ".tif"),
}
SUFFIXES = (".nii.gz", ".nii.bz2", ".hdr.gz", ".img.gz", ".img", *VOLUMES, *PICTURES)


def is_picture(path: Path) -> bool:
    """True where the ending is that of a picture without millimetres.

    >>> is_picture(Path("skin.JPG")), is_picture(Path("head.nii.gz"))
    (True, False)
    """
    return path.name.lower().endswith(PICTURES)


def ending_of(path: Path) -> str:
    """The ending of a file's name, both parts of a compressed one; empty for a folder.

    >>> ending_of(Path("a.b/liver_1.nii.gz"))
    '.nii.gz'
    """
    match = re.search(r"(\.nii|\.img|\.hdr)?\.[A-Za-z0-9]+$", path.name)
    return match.group() if match and not path.is_dir() else ""


@dataclass(frozen=True)
class Case:
    """One scan to segment.

    Attributes:
        name: unique in the run; the output's path below the output folder, without its ending.
        images: one file, or one per channel; the files of a DICOM series where ``is_series``.
        output: the label map's path; before `place_cases` the path that gives it its name.
        is_series: ``images`` are the slices of one DICOM series.
        more: of further channels, the slices of a DICOM series each; their labels refer to the first series.
        study, description: of a DICOM series, where it says them.
        is_named: somebody gave it the name, so that no ending is taken off it.
        archive: that its files were unpacked from.
        identity: words of the patient that must not be written or said, inside others too.
        unsaid: paths, their parts and names that must not be, where they stand alone.
        problem: why it can't be done, where that was seen before its turn.
        left_out: why it is not even tried: ``localizer``, ``SEG``; empty for a case.
    """

    name: str
    images: tuple[Path, ...]
    output: Path
    is_series: bool = False
    is_named: bool = False
    archive: Path | None = field(default=None, compare=False)
    identity: tuple[str, ...] = ()
    unsaid: tuple[str, ...] = field(default=(), compare=False, repr=False)
    more: tuple[tuple[Path, ...], ...] = ()
    study: str = ""
    description: str = field(default="", compare=False)
    problem: MedsegError | None = field(default=None, compare=False)
    left_out: str = ""

    def said(self, text: str) -> str:
        """The text as it may be written and said."""
        return redacted(without_parts(text, self.unsaid), self.identity)


def place_cases(
    cases: Sequence[Case], folder: Path, *, suffix: str = "", given: Sequence[str] = ()
) -> list[Case]:
    """The cases sorted, each once, each with a name and an output of its own below ``folder``.

    Args:
        suffix: of every label map; empty for the scan's own format.

    Raises:
        DataError: there is none.
        OutputError: a label map would replace a scan.
    """
    unique = sorted({(case.images, case.more): case for case in cases}.values(), key=lambda case: case.output)
    if not unique:
        raise DataError(
            f"nothing to predict in {', '.join(map(str, given))}",
            "a scan, a folder of them or a pattern that matches some",
            "check the path, and quote a pattern so that it reaches medseg",
        )
    wanted = [case.output.with_name(_stem(case) + (suffix or own_suffix(case))) for case in unique]
    outputs = output_paths(wanted, folder, lambda path: path.name)
    sources = {image for case in unique for image in case.images}
    for output in outputs:
        if output.resolve() in sources:
            raise OutputError(f"{output} is one of the scans", "another place for its label map", "change -o")
    names = [_name(output, folder) for output in outputs]
    twice = {name for name, n in Counter(names).items() if n > 1}
    return [
        replace(case, name=output.relative_to(folder).as_posix() if name in twice else name, output=output)
        for case, name, output in zip(unique, names, outputs, strict=True)
    ]


def own_suffix(case: Case) -> str:
    """The ending of a label map in the scan's own format; NIfTI for DICOM, whose object is written beside."""
    if case.is_series:
        return ".nii.gz"
    name = case.images[0].name.lower()
    return next((own for ending, own in OWN_FORMAT.items() if name.endswith(ending)), ".nii.gz")


def _stem(case: Case) -> str:
    place = case.output.name
    if case.is_series:
        return place
    ending = next((s for s in SUFFIXES if place.lower().endswith(s)), "")
    return place[: len(place) - len(ending)] if ending else place if case.is_named else Path(place).stem


def scans_in(folder: str | Path, channels: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """The scans of a folder as the dictionaries that a bundle's ``dataset`` takes, by `scans_below`'s rule.

    NIfTI files or, where there is none, pictures: what MONAI's own readers read.

    Args:
        channels: names of the channels where each may have a file of its own: such files are joined, in any
            subfolder, and the scan goes by the name of the case. Where no file names a channel, each is a
            scan with all of them.

    Raises:
        DataError: the folder is missing or holds no scan, or a scan lacks a channel.
    """
    root = Path(folder).resolve()
    if not root.is_dir():
        raise DataError(f"no folder {root}", "a folder of scans", "say --dataset_dir DIR")
    scans = sorted(scan.resolve() for scan in _in_folder(root, NIFTI) or _in_folder(root, PICTURES))
    joined = by_words(scans, channels) if channels else {}
    if joined:
        return [{"case": name, "image": [str(f) for f in files]} for (_, name), files in joined.items()]
    if not scans:
        raise DataError(f"no scan in {root}", "a NIfTI file or a picture", "say --dataset_dir DIR")
    return [{"image": str(scan)} for scan in scans]


def scans_below(text: str, folder: Path, *, needed: bool = True) -> list[Path]:
    """The scans that a file, a folder or a pattern names, sorted; DICOM is not looked for in folders.

    A file is taken as it is. A folder gives every volume in it or, where it holds none directly, below it,
    but for hidden files and folders whose name begins with ``label``; without any volume it gives pictures.
    Anything else is a glob pattern (``**`` goes down). Files below ``folder`` are left out of folders and
    patterns, so that results are never taken for scans.

    Raises:
        DataError: there is nothing of that name; ``needed`` and the folder holds no scan.
    """
    path, outputs = Path(text).expanduser(), folder.resolve()
    if path.is_dir():
        found = _in_folder(path, VOLUMES) or _in_folder(path, PICTURES)
        if needed and not found:
            raise DataError(f"no scan in {text}", "at least one", "check the path")
    elif path.exists():
        return [path.resolve()]
    elif glob.has_magic(text):
        found = [Path(file) for file in glob.glob(str(path), recursive=True) if Path(file).is_file()]
    else:
        raise DataError(f"no file or folder {text}", "a scan, a folder or a pattern", "check the path")
    full = sorted(file.resolve() for file in found)
    here = path.resolve()
    is_inside = outputs == here or outputs in here.parents
    return [file for file in full if is_inside or outputs not in file.parents]


def _in_folder(path: Path, endings: tuple[str, ...]) -> list[Path]:
    found = [file for file in path.iterdir() if _is_scan(file, endings)]
    return found or [f for f in files_below(path) if _is_scan(f, endings) and not _is_set_apart(f, path)]


def _name(output: Path, folder: Path) -> str:
    name = output.relative_to(folder).as_posix()
    return name[: -len(".nii.gz")] if name.lower().endswith(".nii.gz") else name.rpartition(".")[0]


def _is_scan(path: Path, endings: tuple[str, ...]) -> bool:
    if path.name.startswith(".") or not path.name.lower().endswith(endings) or not path.is_file():
        return False
    # ISIC's masks lie beside its photographs where a user unpacked both into one folder.
    return not (is_picture(path) and path.stem.lower().endswith(MASKS))


def _is_set_apart(path: Path, root: Path) -> bool:
    """Reference label maps, and what a file manager hides."""
    folders = path.relative_to(root).parts[:-1]
    return any(part.lower().startswith(("label", ".")) for part in folders)
