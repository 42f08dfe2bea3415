"""What becomes of damaged files: an equal image, or a refusal in one line; never a crash, never silent zeros.

    python benchmarks/damaged_files.py --each 200 --seed 0       # a table, a row for each kind of file

Small valid files of each format are made here, or taken from pydicom's own test files. Each is cut at a
random length, or gets random bytes in random places, and is read as `medseg predict` reads it. The columns:
read equally, refused, read differently (only where the format has no checksum), and what is a fault: an
answer of several lines or none, over 20 s, a cut file that was read as another image, zeros where there were
none, or a change behind a checksum that was read. Exit code 1 where there is a fault.
"""

from __future__ import annotations

import argparse
import bz2
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK
from PIL import Image as Pictures
from pydicom.data import get_testdata_file

from medseg.data.isolation import Reader
from medseg.data.reading import Image, examine

SLOW_S = 20.0
MANY_ZEROS = 0.02
DICOM = {
    "explicit": "CT_small.dcm",
    "big endian": "MR_small_bigendian.dcm",
    "deflated": "image_dfl.dcm",
    "RLE": "MR_small_RLE.dcm",
    "RLE colour": "SC_rgb_rle.dcm",
    "JPEG 2000": "MR_small_jp2klossless.dcm",
    "JPEG-LS": "MR_small_jpeg_ls_lossless.dcm",
    "JPEG": "SC_rgb_small_odd_jpeg.dcm",
    "multi-frame": "rtdose_rle.dcm",
}


def scan(shape: tuple[int, ...] = (13, 11, 7), kind: type = np.int16) -> np.ndarray:
    """Numbers of which none is zero, so that zeros that were filled in show."""
    numbers = np.random.default_rng(3).integers(1, 200, shape)
    return numbers.astype(kind)


def volumes(folder: Path) -> Iterator[Path]:
    """NIfTI and what SimpleITK and nibabel write."""
    affine = np.diag([0.7, 0.8, 2.5, 1.0])
    for name in ("a.nii", "a.nii.gz", "pair.hdr", "a.nii.bz2"):
        nib.save(nib.Nifti1Image(scan(), affine), folder / name)
        yield folder / name
    nib.save(nib.Nifti2Image(scan(kind=np.float32), affine), folder / "two.nii.gz")
    nib.save(nib.MGHImage(scan(kind=np.float32), affine), folder / "a.mgz")
    nib.save(nib.Spm99AnalyzeImage(scan(), affine), folder / "analyze.img")
    yield from (folder / name for name in ("two.nii.gz", "a.mgz", "analyze.img"))
    image = SimpleITK.GetImageFromArray(scan().T)
    image.SetSpacing((0.7, 0.8, 2.5))
    for name in ("raw.nrrd", "raw.mha", "raw.mhd", "raw.nhdr", "a.vtk", "a.gipl"):
        SimpleITK.WriteImage(image, str(folder / name), useCompression=False)
        yield folder / name
    for name in ("gzip.nrrd", "zlib.mha", "zlib.mhd"):
        SimpleITK.WriteImage(image, str(folder / name), useCompression=True)
        yield folder / name
    start, _, pixels = (folder / "raw.nrrd").read_bytes().partition(b"\n\n")
    for word, packed in (("bzip2", bz2.compress(pixels)), ("hex", pixels.hex().encode())):
        target = folder / f"{word}.nrrd"
        target.write_bytes(start.replace(b"encoding: raw", f"encoding: {word}".encode()) + b"\n\n" + packed)
        yield target
    yield _text_nrrd(folder / "text.nrrd", start)


def _text_nrrd(path: Path, start: bytes) -> Path:
    text = " ".join(map(str, scan().T.ravel())).encode()
    path.write_bytes(start.replace(b"encoding: raw", b"encoding: ascii") + b"\n\n" + text)
    return path


def pictures(folder: Path) -> Iterator[Path]:
    """What Pillow writes, of grey, sixteen bits, colours, a palette, CMYK, and several pages."""
    grey, deep = scan((23, 31), np.uint8), (scan((23, 31), np.uint16) * 300).astype(np.uint16)
    colour = scan((23, 31, 3), np.uint8)
    many = [Pictures.fromarray(grey + n) for n in range(3)]
    rows: dict[str, tuple[Pictures.Image, dict[str, object]]] = {
        "grey.png": (many[0], {}),
        "deep.png": (Pictures.fromarray(deep), {}),
        "palette.png": (many[0].convert("P"), {}),
        "bits.png": (many[0].convert("1"), {}),
        "animated.png": (many[0], {"save_all": True, "append_images": many[1:]}),
        "grey.jpg": (many[0], {}),
        "colour.jpg": (Pictures.fromarray(colour), {"progressive": True}),
        "cmyk.jpg": (Pictures.fromarray(colour).convert("CMYK"), {}),
        "colour.bmp": (Pictures.fromarray(colour), {}),
        "grey.gif": (many[0], {}),
        "colour.gif": (Pictures.fromarray(colour).convert("P"), {"interlace": False}),
        "animated.gif": (many[0], {"save_all": True, "append_images": many[1:]}),
        "raw.tif": (many[0], {}),
        "lzw.tif": (Pictures.fromarray(colour), {"compression": "tiff_lzw"}),
        "deep.tif": (Pictures.fromarray(deep), {"compression": "tiff_adobe_deflate"}),
        "jpeg.tif": (Pictures.fromarray(colour), {"compression": "jpeg"}),
        "fax.tif": (many[0].convert("1"), {"compression": "group4"}),
        "float.tif": (Pictures.fromarray(grey.astype(np.float32)), {}),
        "pages.tif": (many[0], {"save_all": True, "append_images": many[1:]}),
    }
    for name, (picture, options) in rows.items():
        picture.save(folder / name, **options)
        yield folder / name


def dicom(folder: Path) -> Iterator[Path]:
    """pydicom's own small files, one for each way of storing pixels."""
    for name, file in DICOM.items():
        source = get_testdata_file(file)
        if source is not None:
            target = folder / f"{name}.dcm"
            target.write_bytes(Path(str(source)).read_bytes())
            yield target


def guarded_from(path: Path) -> int | None:
    """The first byte behind which a checksum watches all; None where none does."""
    if path.suffix in (".gz", ".mgz", ".bz2"):
        # The name, time and flags of a gzip member are outside its checksum.
        return 10
    content = path.read_bytes()
    if path.name in ("gzip.nrrd", "bzip2.nrrd"):
        return content.index(b"\n\n") + 2 + (10 if path.name == "gzip.nrrd" else 0)
    if path.name == "zlib.mha":
        return content.index(b"LOCAL\n") + 6
    return 8 if path.suffix == ".png" else None


def damaged(content: bytes, way: str, rng: np.random.Generator) -> tuple[bytes, int]:
    """The content after an accident, and the first place that it touched."""
    if way == "cut":
        keep = int(rng.integers(0, len(content)))
        return content[:keep], keep
    changed = np.frombuffer(content, np.uint8).copy()
    # Half of the accidents hit the header, where they do most.
    reach = len(changed) if rng.random() < 0.5 else min(400, len(changed))
    places = rng.integers(0, reach, int(rng.integers(1, 5)))
    changed[places] ^= rng.integers(1, 256, len(places)).astype(np.uint8)
    return changed.tobytes(), int(places.min())


def outcome(path: Path, truth: Image, way: str, is_guarded: bool, reader: Reader) -> tuple[str, str]:
    """One of ``equal``, ``refused``, ``differs`` and ``FAULT``, and what was said."""
    start = time.monotonic()
    try:
        image, found = examine(path, reader=reader)
    # Whatever gets out of a reader but a finding is what is looked for here.
    except Exception as error:  # noqa: BLE001
        return "FAULT", f"{type(error).__name__}: {error}"
    if time.monotonic() - start > SLOW_S:
        return "FAULT", "slow"
    texts = [str(f.error()) for f in found]
    bad = [text for text in texts if "\n" in text or len(text) > 500 or len(text) < 20]
    if bad or (image is None and not texts):
        return "FAULT", repr(bad[:1])
    if image is None or any(f.severity == "blocks" for f in found):
        return "refused", texts[0]
    if np.array_equal(image.array, truth.array) and np.allclose(image.affine, truth.affine):
        return "equal", ""
    said = "; ".join(texts)
    # Two values are half zeros; an accident in the stream of a JPEG darkens all that follows it.
    is_told = path.suffix == ".jpg" or path.stem in ("jpeg", "JPEG", "fax")
    if not is_told and np.mean(image.array == 0) > np.mean(truth.array == 0) + MANY_ZEROS:
        return "FAULT", f"{np.mean(image.array == 0):.0%} zeros: {said}"
    return ("FAULT", f"read silently: {said}") if way == "cut" or is_guarded else ("differs", said)


def attacked(path: Path, n: int, rng: np.random.Generator, reader: Reader) -> Iterator[tuple[str, str]]:
    """What became of ``n`` accidents of one file; a detached data file gets half of them."""
    truth, found = examine(path, reader=reader)
    if truth is None:
        text = str(found[0].error())
        yield ("FAULT" if "\n" in text else "refused"), text
        return
    twins = [p for p in path.parent.glob(f"{path.stem}.*") if p.suffix in (".img", ".raw", ".zraw", ".hdr")]
    files = [path, *(p for p in twins if p != path and path.suffix in (".hdr", ".img", ".mhd", ".nhdr"))]
    whole = {file: file.read_bytes() for file in files}
    for i in range(n):
        target, way = files[i % len(files)], ("cut", "flip")[i // len(files) % 2]
        content, at = damaged(whole[target], way, rng)
        target.write_bytes(content)
        guard = guarded_from_of(whole, target)
        yield outcome(path, truth, way, guard is not None and at >= guard, reader)
        target.write_bytes(whole[target])


def guarded_from_of(whole: dict[Path, bytes], target: Path) -> int | None:
    """As `guarded_from`, of the file before its accident."""
    now = target.read_bytes()
    target.write_bytes(whole[target])
    try:
        return guarded_from(target)
    finally:
        target.write_bytes(now)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--each", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="a part of the file's name")
    options = parser.parse_args()
    makers: tuple[Callable[[Path], Iterator[Path]], ...] = (volumes, pictures, dicom)
    faults = 0
    print("| file | equal | refused | differs | fault |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as scratch, Reader(time_s=SLOW_S) as reader:
        for maker in makers:
            for path in maker(Path(scratch)):
                if options.only not in path.name:
                    continue
                rng = np.random.default_rng([options.seed, *path.name.encode()])
                results = list(attacked(path, options.each, rng, reader))
                count = Counter(kind for kind, _ in results)
                cells = " | ".join(str(count[k]) for k in ("equal", "refused", "differs", "FAULT"))
                print(f"| {path.name} | {cells} |", flush=True)
                for text, times in Counter(t for k, t in results if k == "FAULT").most_common(4):
                    print(f"  FAULT {times} x {text[:300]}", flush=True)
                faults += count["FAULT"]
    print(f"{faults} faults")
    raise SystemExit(1 if faults else 0)


if __name__ == "__main__":
    main()
