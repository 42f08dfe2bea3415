"""Synthetic phantoms: MR-like volumes and skin-like pictures with known lesions, made from a seed.

They show that a pipeline works and they test it; no number measured on them says anything about patients.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import numpy.typing as npt
from isal import igzip
from scipy import ndimage

from medseg.data.manifest import Case, Manifest, write_manifest
from medseg.errors import MedsegError, OutputError

CHANNELS = ("T1", "T1ce", "T2", "FLAIR")
LABELS = {"necrosis": 1, "oedema": 2, "enhancing": 3}
REGIONS = {"WT": (1, 2, 3), "TC": (1, 3), "ET": (3,)}
SPACINGS_MM = ((1.0, 1.0, 1.0), (0.9, 0.9, 1.2), (1.0, 1.0, 1.5), (1.2, 0.8, 1.0))
ORIENTATIONS = ("RAS", "LPS", "LAS", "PIR")
# Mean intensity of air, tissue, bright tissue, necrosis, oedema and enhancing tumour in each channel, in the
# order a radiologist expects: oedema bright on T2 and FLAIR, the enhancing rim bright on T1ce alone.
_CONTRAST = np.array(
    [
        [0.02, 0.55, 0.80, 0.35, 0.42, 0.50],
        [0.02, 0.55, 0.78, 0.32, 0.42, 1.15],
        [0.02, 0.50, 0.38, 1.05, 0.90, 0.70],
        [0.02, 0.50, 0.42, 0.45, 1.00, 0.80],
    ],
    dtype=np.float32,
)

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Phantom:
    """One synthetic case: `image` is (channel, x, y, z), `label_map` (x, y, z), `affine` to RAS+ mm."""

    image: Floats
    label_map: npt.NDArray[np.uint8]
    affine: npt.NDArray[np.float64]


def phantom(
    seed: int,
    size: int = 48,
    channels: int = 4,
    spacing_mm: Sequence[float] = (1.0, 1.0, 1.0),
    orientation: str = "RAS",
) -> Phantom:
    """A synthetic head with one nested lesion: enhancing rim around necrosis, oedema around both.

    Args:
        seed: the same seed gives the same voxels.
        size: edge of the field of view in millimetres, so voxels along an axis are ``size / spacing``.
        channels: the first so many of T1, T1ce, T2, FLAIR.
        spacing_mm: millimetres between voxels from left to right, back to front and bottom to top.
        orientation: axis codes of the array, three of LRAPSI.

    Raises:
        MedsegError: the size is under 8 mm or the channels are not 1 to 4.
    """
    if size < 8 or not 1 <= channels <= len(CHANNELS):
        raise MedsegError(
            f"a phantom of {size} mm with {channels} channels",
            "8 mm or more and 1 to 4 channels",
            "change it",
        )
    rng = np.random.default_rng(seed)
    shape = tuple(max(8, round(size / s)) for s in spacing_mm)
    axes = np.meshgrid(*(np.linspace(-1, 1, n, dtype=np.float32) for n in shape), indexing="ij", sparse=True)
    tissue = _tissue(rng, axes, shape)
    image = np.empty((channels, *shape), np.float32)
    scale = np.float32(10 ** rng.uniform(1.5, 3.5))
    for channel in range(channels):
        image[channel] = _CONTRAST[channel][tissue]
        image[channel] *= 1 + 0.35 * _smooth_field(rng, shape, 3)
        image[channel] += 0.04 * rng.standard_normal(shape, dtype=np.float32)
    image = np.maximum(image, 0) * scale
    label_map = np.where(tissue >= 3, tissue - 2, 0).astype(np.uint8)
    turn = nib.orientations.axcodes2ornt(orientation)
    turn = nib.orientations.ornt_transform(nib.orientations.axcodes2ornt("RAS"), turn)
    affine = _affine(shape, spacing_mm, rng) @ nib.orientations.inv_ornt_aff(turn, shape)
    image = np.stack([nib.orientations.apply_orientation(volume, turn) for volume in image])
    return Phantom(image, nib.orientations.apply_orientation(label_map, turn), affine)


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


def _smooth_field(rng: np.random.Generator, shape: tuple[int, ...], knots: int) -> Floats:
    """A smooth random field in [-1, 1]: a few random knots, interpolated one axis after the other."""
    field = rng.uniform(-1, 1, (knots,) * len(shape)).astype(np.float32)
    for axis, n in enumerate(shape):
        # A cosine ramp between knots keeps the slope continuous.
        place = np.linspace(0, knots - 1, n)
        low = np.minimum(place.astype(int), knots - 2)
        part = ((1 - np.cos(np.pi * (place - low))) / 2).astype(np.float32)
        part = part.reshape([-1 if a == axis else 1 for a in range(len(shape))])
        field = field.take(low, axis) * (1 - part) + field.take(low + 1, axis) * part
    return field


def _ball(
    axes: Sequence[Floats], centre: npt.NDArray[np.float64], radii: npt.NDArray[np.float64], ripple: Floats
) -> npt.NDArray[np.bool_]:
    """An ellipsoid whose border is rippled."""
    distance = sum(
        ((a - np.float32(c)) / np.float32(r)) ** 2 for a, c, r in zip(axes, centre, radii, strict=True)
    )
    return np.asarray(np.sqrt(distance) * (1 + 0.35 * ripple) < 1)


def _tissue(
    rng: np.random.Generator, axes: Sequence[Floats], shape: tuple[int, ...]
) -> npt.NDArray[np.uint8]:
    """Air 0, tissue 1, bright tissue 2, necrosis 3, oedema 4, enhancing tumour 5; shells nest."""
    ripple, texture = _smooth_field(rng, shape, 5), _smooth_field(rng, shape, 7)
    head = _ball(axes, np.zeros(3), rng.uniform(0.8, 0.92, 3), 0.2 * ripple)
    tissue = head.astype(np.uint8)
    tissue[head & (texture > 0.1)] = 2
    side = rng.choice([-1, 1])
    centre = np.array([side * rng.uniform(0.2, 0.35), rng.uniform(-0.3, 0.3), rng.uniform(-0.25, 0.25)])
    radii = rng.uniform(0.42, 0.58, 3)
    whole = _ball(axes, centre, radii, ripple) & head
    core = _ball(axes, centre, 0.66 * radii, ripple) & whole
    necrosis = _ball(axes, centre, 0.4 * radii, ripple) & core
    tissue[whole], tissue[core], tissue[necrosis] = 4, 5, 3
    return tissue


def _affine(
    shape: tuple[int, ...], spacing_mm: Sequence[float], rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Voxel to RAS+ mm for an array in RAS order, its middle near the origin."""
    affine = np.diag([*map(float, spacing_mm), 1.0])
    affine[:3, 3] = np.round(rng.uniform(-5, 5, 3), 2) - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return affine


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


def phantom_picture(seed: int, size: int = 64) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """A synthetic picture of skin, shape (row, column, 3), and the mask of its dark lesion, 0 or 1."""
    rng = np.random.default_rng(seed)
    shape = (size, size)
    axes = np.meshgrid(*(np.linspace(-1, 1, size, dtype=np.float32),) * 2, indexing="ij", sparse=True)
    mask = _ball(axes, rng.uniform(-0.2, 0.2, 2), rng.uniform(0.3, 0.6, 2), _smooth_field(rng, shape, 5))
    edge = ndimage.gaussian_filter(mask.astype(np.float32), max(1.0, size / 64))[..., None]
    skin = np.array([0.85, 0.65, 0.55], np.float32) * (1 + 0.08 * _smooth_field(rng, shape, 4)[..., None])
    lesion = np.array([0.45, 0.28, 0.2], np.float32) * (1 + 0.25 * _smooth_field(rng, shape, 6)[..., None])
    picture = skin * (1 - edge) + lesion * edge + 0.02 * rng.standard_normal((*shape, 3), dtype=np.float32)
    return (np.clip(picture, 0, 1) * 255).astype(np.uint8), mask.astype(np.uint8)
