"""What medseg reads of a folder of odd files, held against another reader: the same numbers and place?

    python benchmarks/second_reader.py --data DIR      # as ../shared/data/bad_inputs; every file below it

The second reader is nibabel for NIfTI, MGH, Analyze and MINC, SimpleITK for NRRD, MetaImage and single DICOM
files, Pillow for pictures. It runs in a process of its own, as some of these files crash it. A line for each
file whose numbers, shape or place differ, and the count of all; exit code 1 where one does.

Where SimpleITK's DICOM differs, the file itself judges, by the standard and with nothing of ours: `judged`
says which difference is explained, and only what is not counts as one.
"""

from __future__ import annotations

import argparse
import json
import re
import struct
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pydicom
from pydicom.encaps import generate_frames

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


def by_the_standard(data: pydicom.Dataset) -> np.ndarray:
    """Frames of RLE, shape (frame, row, column, sample), decoded here by PS3.5 annex G."""
    n, size = int(data.get("NumberOfFrames", 1)), data.Rows * data.Columns
    n_bytes = data.BitsAllocated // 8
    frames = []
    for fragment in generate_frames(data.PixelData, number_of_frames=n):
        count, *offsets = struct.unpack("<16I", fragment[:64])
        ends = [*offsets[1:count], len(fragment)]
        segments = [unpacked(fragment[a:b], size) for a, b in zip(offsets[:count], ends, strict=True)]
        # G.2: a segment per byte of a sample, the most significant first.
        parts = np.array(segments, np.uint64).reshape(data.SamplesPerPixel, n_bytes, size)
        weights = np.uint64(256) ** np.arange(n_bytes, dtype=np.uint64)[::-1]
        frames.append((parts * weights[:, None]).sum(1).T.reshape(data.Rows, data.Columns, -1))
    return np.array(frames)


def unpacked(packed: bytes, size: int) -> np.ndarray:
    """The bytes of one segment (G.3.1)."""
    out, at = bytearray(), 0
    while at < len(packed) and len(out) < size:
        n, at = packed[at], at + 1
        if n < 128:
            out += packed[at : at + n + 1]
            at += n + 1
        elif n > 128:
            out += packed[at : at + 1] * (257 - n)
            at += 1
    return np.frombuffer(bytes(out[:size]), np.uint8)


def judged(path: Path, image: Image) -> str:
    """Why SimpleITK's DICOM is another one, where the file itself and the standard say that ours is right."""
    data = pydicom.dcmread(path, force=True)
    array, affine = by_itk(path)
    own = image.array.reshape(array.shape) if image.array.size == array.size else image.array
    if "DoseGridScaling" in data and np.allclose(own, array * float(data.DoseGridScaling)):
        return "SimpleITK leaves out DoseGridScaling (PS3.3 C.8.8.3.2)"
    if data.get("PhotometricInterpretation") == "MONOCHROME1":
        stored = data.pixel_array.T * float(data.RescaleSlope) + float(data.RescaleIntercept)
        told = any(f.rule == "dicom-inverted" for f in image.findings)
        if np.allclose(own, stored.reshape(own.shape)) and told:
            return "MONOCHROME1: SimpleITK inverts the values, medseg keeps them and says so"
    is_same = own.shape == array.shape and np.allclose(own, array)
    if data.file_meta.TransferSyntaxUID == pydicom.uid.RLELossless and not is_same:
        frames = np.moveaxis(image.array, (0, 1, 2), (2, 1, 0))
        if np.array_equal(by_the_standard(data), frames.reshape(by_the_standard(data).shape)):
            return "GDCM mixes the bytes of colours of 16 and 32 bits; decoded by PS3.5 annex G it is ours"
    twin = path.with_name(path.name.replace("_expb", ""))
    if twin != path and twin.exists() and np.array_equal(examine(twin)[0].array, image.array):
        return "SimpleITK mixes big-endian values of 32 bits; ours are those of the file's little-endian twin"
    if affine is not None and image.has_grid and is_same:
        thickness = data.get("SpacingBetweenSlices") or data.get("SliceThickness")
        column = affine[:, 2] / np.linalg.norm(affine[:3, 2]) * float(thickness or 1)
        if np.allclose(image.affine, np.c_[affine[:, :2], column, affine[:, 3]], atol=1e-3):
            return f"one slice: {float(thickness):g} mm thick in the file, 1 mm at SimpleITK"
    return ""


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
    if image.kind == "DICOM" and (why := judged(path, image)):
        return {"explained": why}
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
    reasons: Counter[str] = Counter()
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
                if kind == "explained":
                    reasons[re.sub(r"[\d.]+ mm thick", "N mm thick", text)] += 1
                if kind in ("differs", "only medseg"):
                    print(f"{kind}: {Path(path).relative_to(options.data)}: {text}")
        left = left[len(rows) :]
    for why, n in reasons.most_common():
        print(f"explained, {n} files: {why}")
    print(", ".join(f"{n} {kind}" for kind, n in sorted(count.items())))
    raise SystemExit(1 if count["differs"] else 0)


if __name__ == "__main__":
    main()
