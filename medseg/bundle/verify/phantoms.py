"""Synthetic scans that fit a bundle: its channels, its classes, its spacing, about the size of its window."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt

from medseg.bundle.lint import Bundle
from medseg.bundle.lint.config import UNKNOWN, Config

_SMALLEST, _LARGEST = 16, 96
_BRATS = "ConvertToMultiChannelBasedOnBratsClassesd"


@dataclass(frozen=True)
class Fit:
    """What a synthetic case for a bundle looks like.

    Attributes:
        channels: files per case.
        values: label values that occur.
        shape: voxels of a network window.
        spacing_mm: of the network's grid.
        image_key: of the image in a case's dictionary.
        label_key: of the label map.
    """

    channels: int
    values: tuple[int, ...]
    shape: tuple[int, ...]
    spacing_mm: tuple[float, ...]
    image_key: str = "image"
    label_key: str = "label"

    @property
    def is_picture(self) -> bool:
        """True for two axes: a PNG file, not a volume."""
        return len(self.shape) == 2


def fit_of(bundle: Bundle, config: Config) -> Fit:
    """What the config and the metadata of a bundle ask of a case."""
    tensors = {side: _tensor(bundle.meta.plain(), side) for side in ("inputs", "outputs")}
    channels, classes = (
        int(tensors[side].get("num_channels", n)) for side, n in (("inputs", 1), ("outputs", 2))
    )
    targets = {str(n.value["_target_"].value).split(".")[-1]: i for i, n in config.walk() if n.is_component}
    labels = config.known("labels")
    if isinstance(labels, dict):
        named = [v for value in labels.values() for v in (value if isinstance(value, list) else [value])]
        values = tuple(sorted({0, *(v for v in named if isinstance(v, int))}))
    else:
        values = (0, 1, 2, 4) if _BRATS in targets else tuple(range(max(2, classes)))
    pixdim = config.known(f"{targets['Spacingd']}::pixdim") if "Spacingd" in targets else UNKNOWN
    shape = _window(config, tensors["inputs"])
    spacing = (
        tuple(map(float, pixdim)) if isinstance(pixdim, list) and min(pixdim) > 0 else (1.0,) * len(shape)
    )
    keys = [config.known(f"{name}_key") for name in ("image", "label")]
    image_key, label_key = (
        k if isinstance(k, str) else d for k, d in zip(keys, ("image", "label"), strict=True)
    )
    return Fit(channels, values, shape, spacing, image_key, label_key)


def _tensor(meta: Any, side: str) -> dict[str, Any]:
    values = meta.get("network_data_format", {}).get(side, {}).values()
    return next((v for v in values if isinstance(v, dict) and "num_channels" in v), {})


def _window(config: Config, tensor: dict[str, Any]) -> tuple[int, ...]:
    dims = config.known("network_def::spatial_dims")
    roi = config.known("inferer::roi_size")
    said = tensor.get("spatial_shape", [])
    for found in (roi, said):
        if isinstance(found, (list, tuple)) and found and all(isinstance(n, int) and n > 0 for n in found):
            return tuple(int(n) for n in found)
    n_axes = dims if isinstance(dims, int) else len(said) or 3
    return (32,) * n_axes


def write_case(folder: Path, fit: Fit, seed: int, *, is_turned: bool = False) -> dict[str, Any]:
    """A case as `datalist` gives it: absolute paths of an image, or one per channel, and of a label map.

    Args:
        folder: where the files go.
        fit: what they look like.
        seed: another seed, another case.
        is_turned: by some degrees, anisotropic, of odd size, left-handed; as scans are.
    """
    rng = np.random.default_rng(seed)
    shape = tuple(
        min(max(n, _SMALLEST), _LARGEST) + (3 - i if is_turned else 0) for i, n in enumerate(fit.shape)
    )
    labels = _blobs(shape, fit.values, rng)
    folder.mkdir(parents=True, exist_ok=True)
    names = {"case": f"case{seed}", "patient": f"case{seed}"}
    if fit.is_picture:
        return names | _write_picture(folder, fit, seed, labels, rng)
    affine = _affine(fit.spacing_mm, is_turned)
    paths = []
    for channel in range(fit.channels):
        image = 200 + 60 * labels * (1 + channel / 4) + rng.normal(0, 15, shape)
        paths.append(_save(folder / f"case{seed}_{channel}.nii.gz", image.astype(np.float32), affine))
    label = _save(folder / f"case{seed}_label.nii.gz", labels.astype(np.uint8), affine)
    return names | {fit.image_key: paths[0] if len(paths) == 1 else paths, fit.label_key: label}


def _write_picture(
    folder: Path, fit: Fit, seed: int, labels: npt.NDArray[np.int64], rng: np.random.Generator
) -> dict[str, Any]:
    from PIL import Image

    inside = labels > 0
    light = 170 - 90 * inside[..., None] + rng.normal(0, 8, (*labels.shape, max(1, fit.channels)))
    picture = np.clip(light, 0, 255).astype(np.uint8)
    image, label = folder / f"case{seed}.png", folder / f"case{seed}_label.png"
    # PIL's arrays have rows first; MONAI's reader turns them, so both are turned here alike.
    Image.fromarray(np.swapaxes(picture, 0, 1).squeeze()).save(image)
    shown = labels * (255 if fit.values == (0, 1) else 1)
    Image.fromarray(np.swapaxes(shown, 0, 1).astype(np.uint8)).save(label)
    return {fit.image_key: str(image), fit.label_key: str(label)}


def _blobs(
    shape: tuple[int, ...], values: tuple[int, ...], rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    grid = np.meshgrid(*[np.arange(n) for n in shape], indexing="ij")
    labels = np.zeros(shape, dtype=np.int64)
    for value in values[1:]:
        centre = [rng.uniform(0.3, 0.7) * n for n in shape]
        radius = max(2.0, min(shape) / 5)
        labels[sum((g - c) ** 2 for g, c in zip(grid, centre, strict=True)) < radius**2] = value
    return labels


def _affine(spacing: tuple[float, ...], is_turned: bool) -> npt.NDArray[np.float64]:
    zooms = np.array([*spacing, 1.0, 1.0, 1.0][:3])
    if not is_turned:
        return np.diag([*zooms, 1.0])
    turn = np.deg2rad(8)
    rotation = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1.0]])
    affine = np.eye(4)
    affine[:3, :3] = rotation @ np.diag(zooms * [-1.1, 1.0, 1.2])
    affine[:3, 3] = [20.0, -31.0, 7.5]
    return affine


def _save(path: Path, array: npt.NDArray[Any], affine: npt.NDArray[np.float64]) -> str:
    image = nib.Nifti1Image(array, affine)
    image.set_qform(affine, code=1)
    image.set_sform(affine, code=1)
    nib.save(image, path)
    return str(path)
