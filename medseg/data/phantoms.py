"""Synthetic phantoms: MR-like volumes and skin-like pictures with known lesions, made from a seed.

They show that a pipeline works and they test it; no number measured on them says anything about patients.
"""

from __future__ import annotations

import os
from pathlib import Path

import nibabel as nib
import numpy as np
import numpy.typing as npt
from isal import igzip

from medseg.data.manifest import Case, Manifest, write_manifest
from medseg.data.synthesis import CHANNELS, phantom, phantom_picture
from medseg.errors import MedsegError, OutputError

LABELS = {"necrosis": 1, "oedema": 2, "enhancing": 3}
REGIONS = {"WT": (1, 2, 3), "TC": (1, 3), "ET": (3,)}
SPACINGS_MM = ((1.0, 1.0, 1.0), (0.9, 0.9, 1.2), (1.0, 1.0, 1.5), (1.2, 0.8, 1.0))
ORIENTATIONS = ("RAS", "LPS", "LAS", "PIR")


def write_phantoms(
    folder: str | os.PathLike[str],
    n_cases: int = 10,
    seed: int = 0,
    *,
    size: int = 48,
    channels: int = 4,
    dimensions: int = 3,
    overwrite: bool = False,
) -> Path:
    """The path of the manifest of `n_cases` synthetic cases written to `folder`.

    Three dimensions give NIfTI volumes, one file per channel, whose spacing and orientation differ from case
    to case; two give PNG pictures of `size` by `size` pixels with masks of 0 and 255. About two in ten cases
    are held out for validation and two for testing, and everybody is a patient of their own.

    Raises:
        MedsegError: fewer than 3 cases, or neither 2 nor 3 dimensions.
        OutputError: the folder holds a manifest already and `overwrite` is off.
    """
    root = Path(folder)
    if n_cases < 3 or dimensions not in (2, 3):
        raise MedsegError(
            f"{n_cases} phantoms in {dimensions} dimensions",
            "3 cases or more in 2 or 3 dimensions",
            "change it",
        )
    if (root / "manifest.json").exists() and not overwrite:
        raise OutputError(
            f"{root} holds a manifest.json", "an empty folder", "choose another, or overwrite it"
        )
    (root / "images").mkdir(parents=True, exist_ok=True)
    (root / "labels").mkdir(exist_ok=True)
    seeds = np.random.SeedSequence(seed).generate_state(n_cases)
    splits = _splits(n_cases)
    write = _write_volume if dimensions == 3 else _write_picture
    items = tuple(write(root, i, int(seeds[i]), splits[i], size, channels) for i in range(n_cases))
    return write_manifest(_header(dimensions, channels, seed, items), root / "manifest.json", overwrite)


def _header(dimensions: int, channels: int, seed: int, items: tuple[Case, ...]) -> Manifest:
    volumes = dimensions == 3
    return Manifest(
        name="synthetic_phantom" if volumes else "synthetic_phantom_2d",
        version="1.0.0",
        description=f"Synthetic phantom {'volumes' if volumes else 'pictures'}, seed {seed}; no patient.",
        source="medseg.data.phantoms",
        licence="CC0-1.0",
        channels=CHANNELS[:channels] if volumes else ("red", "green", "blue"),
        labels=LABELS if volumes else {"lesion": 1},
        regions=REGIONS if volumes else {},
        relabel={} if volumes else {255: 1},
        items=items,
    )


def _splits(n_cases: int) -> list[str]:
    """Validation and test take a fifth each and at least one case; the rest trains."""
    held = max(1, n_cases // 5)
    return ["training"] * (n_cases - 2 * held) + ["validation"] * held + ["test"] * held


def _write_volume(root: Path, number: int, seed: int, split: str, size: int, channels: int) -> Case:
    name = f"phantom_{number:03d}"
    made = phantom(
        seed,
        size,
        channels,
        SPACINGS_MM[number % len(SPACINGS_MM)],
        ORIENTATIONS[(number // 2) % len(ORIENTATIONS)],
    )
    images = tuple(f"images/{name}_{c.lower()}.nii.gz" for c in CHANNELS[:channels])
    for path, volume in zip(images, made.image, strict=True):
        _save_nifti(root / path, volume, made.affine)
    _save_nifti(root / f"labels/{name}.nii.gz", made.label_map, made.affine)
    return Case(name, name, images, f"labels/{name}.nii.gz", split=split)


def _save_nifti(path: Path, volume: npt.NDArray[np.generic], affine: npt.NDArray[np.float64]) -> None:
    nifti = nib.Nifti1Image(volume, affine)
    nifti.set_qform(affine, 1)
    nifti.set_sform(affine, 1)
    nifti.header.set_xyzt_units("mm")
    # Level 1 of isal is some 20 times faster than gzip; without a time stamp a seed gives the same bytes.
    path.write_bytes(igzip.compress(nifti.to_bytes(), 1, mtime=0))


def _write_picture(root: Path, number: int, seed: int, split: str, size: int, channels: int) -> Case:
    from PIL import Image

    del channels  # a picture is always red, green, blue
    name = f"phantom_{number:03d}"
    picture, mask = phantom_picture(seed, size)
    Image.fromarray(picture).save(root / f"images/{name}.png")
    Image.fromarray(mask * np.uint8(255)).save(root / f"labels/{name}_segmentation.png")
    return Case(name, name, (f"images/{name}.png",), f"labels/{name}_segmentation.png", split=split)
