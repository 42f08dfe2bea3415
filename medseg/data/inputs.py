"""The scans in a folder, as the list of dictionaries that a bundle's inference takes."""

from __future__ import annotations

from pathlib import Path

from medseg.errors import DataError

NIFTI = (".nii.gz", ".nii")


def case_name(path: str | Path) -> str:
    """The file's name without its ending: ``liver_03.nii.gz`` is case ``liver_03``."""
    name = Path(path).name
    ending = next((end for end in NIFTI if name.lower().endswith(end)), Path(name).suffix)
    return name[: len(name) - len(ending)] if ending else name


def images_in(folder: str | Path) -> list[dict[str, str]]:
    """One dictionary per NIfTI file with ``case`` and ``image``, sorted by name.

    Files directly in the folder are taken; where there is none, those below it, but for folders whose name
    begins with ``label`` (so that the folder of an MSD task can be given as it is). Hidden files are left out.

    Raises:
        DataError: the folder is missing or holds no scan.
    """
    root = Path(folder)
    files = [path for path in sorted(root.glob("*")) if _is_scan(path)]
    if not files:
        files = [path for path in sorted(root.rglob("*")) if _is_scan(path) and not _is_below_labels(path, root)]
    if not files:
        raise DataError(f"no NIfTI file in {root}", "a folder with .nii or .nii.gz files", "give the folder of the scans")
    return [{"case": case_name(path), "image": str(path.resolve())} for path in files]


def _is_scan(path: Path) -> bool:
    return path.is_file() and path.name.lower().endswith(NIFTI) and not path.name.startswith(".")


def _is_below_labels(path: Path, root: Path) -> bool:
    return any(part.lower().startswith("label") for part in path.relative_to(root).parts[:-1])
