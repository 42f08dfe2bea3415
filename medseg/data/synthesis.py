"""One synthetic case from a seed: an MR-like head with a nested lesion, or skin with a dark one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import nibabel as nib
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from medseg.errors import MedsegError

CHANNELS = ("T1", "T1ce", "T2", "FLAIR")
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
