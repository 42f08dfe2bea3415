"""Synthetic cases for `benchmarks.inference`: a CT with organs, a brain of four channels, their bundles.

Bands of intensity are the classes, so that labels look like organs without any training.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
import torch.nn.functional as F
import yaml
from monai.networks.nets import UNet


class BandNet(torch.nn.Module):
    """A small U-Net whose scores mostly follow the smoothed intensity, one band per class."""

    def __init__(self, n_classes: int, n_channels: int = 1) -> None:
        super().__init__()
        self.unet = UNet(3, n_channels, n_classes, (16, 32, 64), (2, 2))
        # k (2cs - c²) is highest for the class whose centre c is nearest to s.
        centres, steepness = torch.linspace(0, 1, n_classes), 100 * n_classes
        self.register_buffer("slope", (2 * steepness * centres).view(-1, 1, 1, 1, 1))
        self.register_buffer("offset", -steepness * centres**2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scores of the windows."""
        smooth = x[:, :1]
        for kernel, padding in (((5, 1, 1), (2, 0, 0)), ((1, 5, 1), (0, 2, 0)), ((1, 1, 5), (0, 0, 2))):
            smooth = F.avg_pool3d(smooth, kernel, 1, padding)
        return F.conv3d(smooth, self.slope, self.offset) + 0.01 * self.unet(x)


def write_ct(path: Path, shape: tuple[int, int, int], n_classes: int) -> Path:
    """A synthetic body with one ellipsoid per class, 0.8 x 0.8 x 3 mm, LPS, int16 with noise."""
    rng = np.random.default_rng(0)
    x, y = np.ogrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j]
    z = np.linspace(-1, 1, shape[2])
    volume = np.empty(shape, np.int16, order="F")
    centres = rng.uniform(-0.5, 0.5, (n_classes, 3))
    for k in range(shape[2]):
        plane = np.zeros(shape[:2])
        for c in range(1, n_classes):
            a, b, d = centres[c]
            inside = ((x - a) / 0.3) ** 2 + ((y - b) / 0.25) ** 2 + ((z[k] - d) / 0.4) ** 2 < 1
            plane[inside] = c / (n_classes - 1)
        volume[..., k] = plane * 2000 - 1000 + rng.integers(-8, 9, shape[:2])
    nib.save(nib.Nifti1Image(volume, np.diag([-0.8, -0.8, 3.0, 1.0])), path)
    return path


def write_brain(folder: Path) -> list[Path]:
    """Four channels of 240 x 240 x 155 voxels of 1 mm, zero outside an ellipsoid, a bright ball inside."""
    shape = (240, 240, 155)
    rng = np.random.default_rng(0)
    grid = np.ogrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j, -1 : 1 : shape[2] * 1j]
    far = sum((axis / radius) ** 2 for axis, radius in zip(grid, (0.6, 0.75, 0.8), strict=True))
    near = sum(((axis - 0.2) / 0.2) ** 2 for axis in grid)
    files = []
    for channel in range(4):
        volume = 300 + 400 * np.clip(1.2 - near, 0, 1) + rng.integers(-20, 21, shape)
        volume[far > 1] = 0
        files.append(folder / f"brain_{channel}.nii.gz")
        nib.save(nib.Nifti1Image(volume.astype(np.int16), np.diag([-1.0, -1.0, 1.0, 1.0])), files[-1])
    return files


def write_bundle(root: Path, n_classes: int, *, is_brain: bool = False) -> Path:
    """A bundle as in MONAI's model zoo: Orientation, Spacing, window, activation, Invertd, SaveImage.

    A brain has four channels on a grid of 1 mm, normalised where they are not zero, and three regions.
    """
    spacing = [1.0, 1.0, 1.0] if is_brain else [1.5, 1.5, 2.0]
    intensities: dict[str, Any] = (
        {"_target_": "NormalizeIntensityd", "keys": "image", "nonzero": True, "channel_wise": True}
        if is_brain
        else {"_target_": "ScaleIntensityRanged", "keys": "image", "a_min": -1000, "a_max": 1000,
              "b_min": 0.0, "b_max": 1.0, "clip": True}
    )  # fmt: skip
    steps: list[dict[str, Any]] = [
        {"_target_": "LoadImaged", "keys": "image", "reader": "NibabelReader"},
        {"_target_": "EnsureChannelFirstd", "keys": "image"},
        {"_target_": "Orientationd", "keys": "image", "axcodes": "RAS", "labels": None},
        {"_target_": "Spacingd", "keys": "image", "pixdim": spacing, "mode": "bilinear"},
        intensities,
        {"_target_": "EnsureTyped", "keys": "image"},
    ]
    decision = {"threshold": 0.5} if is_brain else {"argmax": True}
    ends: list[dict[str, Any]] = [
        {"_target_": "Activationsd", "keys": "pred", "sigmoid" if is_brain else "softmax": True},
        {"_target_": "Invertd", "keys": "pred", "transform": "@preprocessing", "orig_keys": "image",
         "nearest_interp": False, "to_tensor": True},
        {"_target_": "AsDiscreted", "keys": "pred", **decision},
        {"_target_": "SaveImaged", "keys": "pred", "output_dir": "@output_dir", "output_dtype": "$np.uint8",
         "output_postfix": "", "separate_folder": False, "print_log": False},
    ]  # fmt: skip
    network = {"n_classes": n_classes, "n_channels": 4 if is_brain else 1}
    config = {
        "imports": ["$import numpy as np"],
        "bundle_root": ".",
        "dataset_dir": ".",
        "output_dir": ".",
        "device": "$torch.device('cpu')",
        "network_def": {"_target_": "benchmarks.inference_cases.BandNet", **network},
        "network": "$@network_def.to(@device)",
        "preprocessing": {"_target_": "Compose", "transforms": steps},
        "datalist": [{"image": "$@dataset_dir.split(',')"}],
        "dataset": {"_target_": "Dataset", "data": "@datalist", "transform": "@preprocessing"},
        "dataloader": {"_target_": "DataLoader", "dataset": "@dataset", "batch_size": 1},
        "inferer": {"_target_": "SlidingWindowInferer", "roi_size": [96, 96, 96], "sw_batch_size": 1,
                    "overlap": 0.25, "mode": "gaussian"},
        "postprocessing": {"_target_": "Compose", "transforms": ends},
        "handlers": [{"_target_": "CheckpointLoader", "load_path": "$@bundle_root + '/models/model.pt'",
                      "load_dict": {"model": "@network"}}],
        "evaluator": {"_target_": "SupervisedEvaluator", "device": "@device",
                      "val_data_loader": "@dataloader", "network": "@network",
                      "inferer": "@inferer", "postprocessing": "@postprocessing",
                      "val_handlers": "@handlers"},
        "run": ["$@evaluator.run()"],
    }  # fmt: skip
    (root / "configs").mkdir(parents=True)
    (root / "models").mkdir()
    (root / "configs" / "inference.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    torch.manual_seed(0)
    torch.save(BandNet(**network).state_dict(), root / "models" / "model.pt")
    return root
