"""The scans that a user points at, and where the label map of each will go."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from medseg.errors import DataError, OutputError
from medseg.writers import output_paths

NIFTI = (".nii.gz", ".nii", ".hdr")


@dataclass(frozen=True)
class Case:
    """One scan to segment.

    Attributes:
        name: unique in the run; the output's path below the output folder, without its ending.
        images: one file, or one per channel.
        output: the label map's path.
    """

    name: str
    images: tuple[Path, ...]
    output: Path


def find_cases(inputs: Sequence[str], folder: Path) -> list[Case]:
    """One case for each scan that ``inputs`` name, sorted, each with an output of its own below ``folder``.

    A file is taken as it is. A folder gives every NIfTI file in it or, where it holds none directly, below
    it, but for hidden files and folders whose name begins with ``label``. Anything else is a glob pattern
    (``**`` goes down). Files below ``folder`` are left out of folders and patterns, so that results are never
    taken for scans.

    Raises:
        DataError: nothing to predict.
        OutputError: a label map would replace a scan.
    """
    scans = sorted({scan for text in inputs for scan in _scans(text, folder.resolve())})
    if not scans:
        raise DataError(
            f"nothing to predict in {', '.join(map(str, inputs))}",
            "a NIfTI file, a folder of them or a pattern that matches some",
            "check the path, and quote a pattern so that it reaches medseg",
        )
    outputs = output_paths(scans, folder)
    sources = set(scans)
    for output in outputs:
        if output.resolve() in sources:
            raise OutputError(f"{output} is one of the scans", "another place for its label map", "change -o")
    return [Case(_name(output, folder), (scan,), output) for scan, output in zip(scans, outputs, strict=True)]


def scans_in(folder: str | Path) -> list[dict[str, str]]:
    """The scans of a folder as the dictionaries that a bundle's ``dataset`` takes, by `find_cases`' rule.

    Raises:
        DataError: the folder is missing or holds no scan.
    """
    root = Path(folder).resolve()
    if not root.is_dir():
        raise DataError(f"no folder {root}", "a folder of NIfTI files", "say --dataset_dir DIR")
    scans = _scans(str(root), root)
    if not scans:
        raise DataError(f"no NIfTI file in {root}", "at least one scan", "say --dataset_dir DIR")
    return [{"image": str(scan)} for scan in sorted(scans)]


def _name(output: Path, folder: Path) -> str:
    name = output.relative_to(folder).as_posix()
    return name[: -len(".nii.gz")] if name.lower().endswith(".nii.gz") else name.rpartition(".")[0]


def _scans(text: str, outputs: Path) -> list[Path]:
    path = Path(text).expanduser()
    if path.is_dir():
        found = [file for file in path.iterdir() if _is_scan(file)]
        if not found:
            found = [file for file in path.rglob("*") if _is_scan(file) and not _is_set_apart(file, path)]
    elif path.exists():
        return [path.resolve()]
    elif glob.has_magic(text):
        found = [Path(file) for file in glob.glob(str(path), recursive=True) if Path(file).is_file()]
    else:
        raise DataError(f"no file or folder {text}", "a scan, a folder or a pattern", "check the path")
    full = [file.resolve() for file in found]
    return [file for file in full if outputs not in file.parents or outputs == path.resolve()]


def _is_scan(path: Path) -> bool:
    return path.name.lower().endswith(NIFTI) and not path.name.startswith(".") and path.is_file()


def _is_set_apart(path: Path, root: Path) -> bool:
    """Reference label maps, and what a file manager hides."""
    folders = path.relative_to(root).parts[:-1]
    return any(part.lower().startswith(("label", ".")) for part in folders)
