"""Names of written files: each scan's own, and never one name for two scans."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

SUFFIXES = (".nii.gz", ".nii")
PICTURES = (".png", ".jpg", ".jpeg", ".bmp")


def output_name(scan: Path) -> str:
    """The scan's own file name where NIfTI can be written under it, else its stem and another ending.

    >>> output_name(Path("a/liver_1.nii")), output_name(Path("a/liver_1.hdr")), output_name(Path("skin.JPG"))
    ('liver_1.nii', 'liver_1.nii.gz', 'skin.png')
    """
    if scan.name.lower().endswith(SUFFIXES):
        return scan.name
    if scan.suffix.lower() in (".tif", ".tiff"):
        return f"{scan.stem}.tif"
    if scan.suffix.lower() in PICTURES:
        return f"{scan.stem}.png"
    return f"{scan.stem}.nii.gz"


def output_paths(
    scans: Sequence[Path], folder: Path, name_of: Callable[[Path], str] = output_name
) -> list[Path]:
    """One path below ``folder`` for each scan, all different, also where letter case does not count.

    A scan keeps its file name. Scans that would share one keep as many of their own folders as tells them
    apart (``b/scan.nii.gz`` and ``c/scan.nii.gz``); two in one folder keep their whole old name.
    """
    full = [scan.resolve() for scan in scans]
    depth = [0] * len(full)

    def name(i: int) -> str:
        if depth[i] >= len(full[i].parts):
            return "/".join((*full[i].parts[1:], f"{i + 1}.nii.gz"))
        last = name_of(full[i])
        return "/".join((*full[i].parts[-1 - depth[i] : -1], last))

    while True:
        names = [name(i) for i in range(len(full))]
        count = Counter(n.lower() for n in names)
        shared = [i for i, n in enumerate(names) if count[n.lower()] > 1]
        if not shared:
            return [folder / n for n in names]
        for i in shared:
            depth[i] += 1
