"""What medseg reads of a folder of odd files, held against another reader: the same numbers and place?

    python benchmarks/second_reader.py --data DIR      # as ../shared/data/bad_inputs; every file below it

The second reader is nibabel for NIfTI, MGH, Analyze and MINC, SimpleITK for NRRD, MetaImage and single DICOM
files, Pillow for pictures. It runs in a process of its own, as some of these files crash it. A line for each
file whose numbers, shape or place differ, and the count of all; exit code 1 where one does.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np

from medseg.data.reading import Image, examine


def by_nibabel(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Scaled voxels and the affine."""
    import nibabel as nib

    image = nib.load(path)
    array = np.asarray(image.dataobj)
    if array.dtype.names:
        array = np.stack([array[name] for name in array.dtype.names], -1)
    return array, np.asarray(image.affine, float)


def by_itk(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Voxels with x first, and the affine in RAS."""
    import SimpleITK

    image = SimpleITK.ReadImage(str(path))
    n = image.GetDimension()
    array = SimpleITK.GetArrayFromImage(image)
    parts = (n,) if image.GetNumberOfComponentsPerPixel() > 1 else ()
    array = array.transpose(*range(n)[::-1], *parts)
    affine = np.eye(4)
    k = min(n, 3)
    turn = np.reshape(image.GetDirection(), (n, n))[:k, :k]
    affine[:k, :k] = turn * np.array(image.GetSpacing())[:k]
    affine[:k, 3] = image.GetOrigin()[:k]
    return array, np.diag([-1, -1, 1, 1]) @ affine


def by_pillow(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Pixels, column first."""
    from PIL import Image as Pictures

    with Pictures.open(path) as picture:
        return np.asarray(picture).swapaxes(0, 1), None


READERS = {"NIfTI": by_nibabel, "older": by_nibabel, "volume": by_itk, "DICOM": by_itk, "picture": by_pillow}


def compared(path: Path, image: Image) -> str:
    """``same``, or what differs."""
    array, affine = READERS[image.kind](path)
    own = image.array.reshape(image.array.shape)
    squeezed = [a.reshape([n for n in a.shape if n > 1]) for a in (own, array)]
    if squeezed[0].size != squeezed[1].size or sorted(squeezed[0].shape) != sorted(squeezed[1].shape):
        return f"shape {own.shape}, the other reader has {array.shape}"
    if squeezed[0].shape != squeezed[1].shape:
        squeezed = [np.sort(a.ravel()) for a in squeezed]
    if not np.allclose(*squeezed, rtol=1e-5, atol=1e-5, equal_nan=True):
        apart = np.abs(squeezed[0].astype(float) - squeezed[1].astype(float))
        return f"values up to {np.nanmax(apart):.4g} apart"
    if image.has_grid and affine is not None and not np.allclose(image.affine, affine, atol=1e-3):
        places = [a[:3].round(3).tolist() for a in (image.affine, affine)]
        return f"affine {places[0]}, the other reader has {places[1]}"
    return "same"


def one(path: Path) -> dict[str, str]:
    """What became of one file."""
    image, found = examine(path)
    if image is None:
        return {"told": found[0].found}
    try:
        text = compared(path, image)
    # The other reader may fail in any way; that is what is counted here.
    except Exception as error:  # noqa: BLE001
        return {"only medseg": f"{type(error).__name__}: {str(error)[:100]}"}
    if text == "same":
        return {"same": ""}
    return {"differs": f"{text}; findings: {', '.join(f.rule for f in found) or 'none'}"}


def main() -> None:
    """Print what differs, and the count."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--several", nargs="+", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.several:
        for path in options.several:
            print(json.dumps([str(path), one(path)]), flush=True)
        return
    left = sorted(p for p in options.data.rglob("*") if p.is_file() and p.suffix not in (".tsv", ".txt"))
    count: Counter[str] = Counter()
    while left:
        command = [sys.executable, __file__, "--data", ".", "--several", *map(str, left)]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        rows = [json.loads(line) for line in run.stdout.splitlines() if line.startswith("[")]
        # A file at which the process ended is one that the other reader crashed on.
        if len(rows) < len(left):
            rows.append([str(left[len(rows)]), {"only medseg": "the other reader crashed"}])
        for path, what in rows:
            for kind, text in what.items():
                count[kind] += 1
                if kind in ("differs", "only medseg"):
                    print(f"{kind}: {Path(path).relative_to(options.data)}: {text}")
        left = left[len(rows) :]
    print(", ".join(f"{n} {kind}" for kind, n in sorted(count.items())))
    raise SystemExit(1 if count["differs"] else 0)


if __name__ == "__main__":
    main()
