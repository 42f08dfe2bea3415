"""A MONAI bundle that is built in a second: one random convolution, everything else as in a real one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
import yaml
from scipy.spatial.transform import Rotation

# Turned by twelve degrees about x and by eight about z, first axis to the left.
TURN = Rotation.from_euler("xz", [12, 8], degrees=True).as_matrix()
RAS_WORLD = np.vstack([np.c_[TURN @ np.diag([-1.2, 0.9, 2.0]), [40, -30, 11]], [0, 0, 0, 1]])


def config(n_classes: int = 3, channels: int = 1, **changes: Any) -> dict[str, Any]:
    """An inference config as in the model zoo: everything by MONAI's names and ids."""
    base = {
        "imports": ["$import torch"],
        "bundle_root": ".",
        "dataset_dir": "$@bundle_root + '/data'",
        "output_dir": "$@bundle_root + '/eval'",
        "device": "$torch.device('cpu')",
        "network_def": {
            "_target_": "torch.nn.Conv3d",
            "in_channels": channels,
            "out_channels": n_classes,
            "kernel_size": 3,
            "padding": 1,
        },
        "network": "$@network_def.to(@device)",
        "preprocessing": {
            "_target_": "monai.transforms.Compose",
            "transforms": [
                {"_target_": "monai.transforms.LoadImaged", "keys": "image", "reader": "NibabelReader"},
                {"_target_": "monai.transforms.EnsureChannelFirstd", "keys": "image"},
                {
                    "_target_": "monai.transforms.Orientationd",
                    "keys": "image",
                    "axcodes": "RAS",
                    "labels": None,
                },
                {"_target_": "monai.transforms.Spacingd", "keys": "image", "pixdim": [1.5, 1.5, 1.5]},
                {"_target_": "monai.transforms.NormalizeIntensityd", "keys": "image"},
            ],
        },
        "datalist": {"_target_": "medseg.inference.scans_in", "folder": "@dataset_dir"},
        "dataset": {"_target_": "monai.data.Dataset", "data": "@datalist", "transform": "@preprocessing"},
        "dataloader": {"_target_": "monai.data.DataLoader", "dataset": "@dataset", "batch_size": 1},
        "inferer": {
            "_target_": "monai.inferers.SlidingWindowInferer",
            "roi_size": [16, 16, 16],
            "sw_batch_size": 1,
            "overlap": 0.5,
            "mode": "gaussian",
        },
        "postprocessing": {
            "_target_": "monai.transforms.Compose",
            "transforms": [
                {"_target_": "monai.transforms.Activationsd", "keys": "pred", "softmax": True},
                {
                    "_target_": "monai.transforms.Invertd",
                    "keys": "pred",
                    "transform": "@preprocessing",
                    "orig_keys": "image",
                    "nearest_interp": False,
                },
                {"_target_": "monai.transforms.AsDiscreted", "keys": "pred", "argmax": True},
                {"_target_": "medseg.writers.SaveLabelMapd", "keys": "pred", "folder": "@output_dir"},
            ],
        },
        "handlers": [
            {
                "_target_": "monai.handlers.CheckpointLoader",
                "load_path": "$@bundle_root + '/models/model.pt'",
                "load_dict": {"model": "@network"},
            }
        ],
        "evaluator": {
            "_target_": "monai.engines.SupervisedEvaluator",
            "device": "@device",
            "val_data_loader": "@dataloader",
            "network": "@network",
            "inferer": "@inferer",
            "postprocessing": "@postprocessing",
            "val_handlers": "@handlers",
        },
        "run": ["$@evaluator.run()"],
        "inferring": "%run",
    }
    return {**base, **changes}


def write_bundle(root: Path, content: dict[str, Any] | None = None, seed: int = 0) -> Path:
    """A bundle folder with seeded random weights."""
    content = content or config()
    (root / "configs").mkdir(parents=True)
    (root / "models").mkdir()
    (root / "configs" / "inference.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    (root / "configs" / "metadata.json").write_text(json.dumps({"version": "0.0.1"}))
    network = {key: value for key, value in content["network_def"].items() if key != "_target_"}
    torch.manual_seed(seed)
    torch.save(torch.nn.Conv3d(**network).state_dict(), root / "models" / "model.pt")
    return root


def write_scan(
    path: Path, shape: tuple[int, ...] = (30, 26, 20), seed: int = 0, affine: Any = RAS_WORLD
) -> Path:
    """A scan of smooth noise with an oblique affine, qform code 1 and sform code 2."""
    rng = np.random.default_rng(seed)
    coarse = torch.from_numpy(rng.normal(size=(1, 1, *(n // 4 + 2 for n in shape))))
    smooth = torch.nn.functional.interpolate(coarse, size=shape, mode="trilinear")[0, 0].numpy()
    image = nib.Nifti1Image((smooth * 500 + 1000).astype(np.int16), affine)
    image.set_qform(affine, code=1)
    image.set_sform(affine, code=2)
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(image, path)
    return path
