"""A small MONAI bundle in the manner of the model zoo, written by a test into a folder of its own."""

from __future__ import annotations

import json
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import yaml

NETWORK = {
    "_target_": "UNet",
    "spatial_dims": 3,
    "in_channels": 1,
    "out_channels": 2,
    "channels": [4, 8],
    "strides": [2],
    "norm": "batch",
}
READ = [
    {"_target_": "LoadImaged", "keys": ["image", "label"], "allow_missing_keys": True},
    {"_target_": "EnsureChannelFirstd", "keys": ["image", "label"], "allow_missing_keys": True},
    {
        "_target_": "Orientationd",
        "keys": ["image", "label"],
        "axcodes": "RAS",
        "labels": None,
        "allow_missing_keys": True,
    },
    {
        "_target_": "ScaleIntensityRanged",
        "keys": "image",
        "a_min": 0,
        "a_max": 1,
        "b_min": 0,
        "b_max": 1,
        "clip": True,
    },
]
HEAD: dict[str, Any] = {
    "imports": ["$import glob", "$import os"],
    "bundle_root": ".",
    "output_dir": "$@bundle_root + '/eval'",
    "dataset_dir": "/workspace/data",
    "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
    "network_def": NETWORK,
    "network": "$@network_def.to(@device)",
}
FROM_ENGINE = "$monai.handlers.from_engine(['pred', 'label'])"


def inference() -> dict[str, Any]:
    return HEAD | {
        "output_ext": ".nii.gz",
        "datalist": "$list(sorted(glob.glob(@dataset_dir + '/imagesTs/*.nii.gz')))",
        "preprocessing": {"_target_": "Compose", "transforms": READ},
        "dataset": {
            "_target_": "Dataset",
            "data": "$[{'image': i} for i in @datalist]",
            "transform": "@preprocessing",
        },
        "dataloader": {"_target_": "DataLoader", "dataset": "@dataset", "batch_size": 1, "shuffle": False},
        "inferer": {
            "_target_": "SlidingWindowInferer",
            "roi_size": [16, 16, 16],
            "sw_batch_size": 2,
            "overlap": 0.25,
        },
        "postprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "Activationsd", "keys": "pred", "softmax": True},
                {
                    "_target_": "Invertd",
                    "keys": "pred",
                    "transform": "@preprocessing",
                    "orig_keys": "image",
                    "nearest_interp": False,
                },
                {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
                {
                    "_target_": "SaveImaged",
                    "keys": "pred",
                    "output_dir": "@output_dir",
                    "output_ext": "@output_ext",
                },
            ],
        },
        "handlers": [
            {"_target_": "StatsHandler", "iteration_log": False},
        ],
        "evaluator": {
            "_target_": "SupervisedEvaluator",
            "device": "@device",
            "val_data_loader": "@dataloader",
            "network": "@network",
            "inferer": "@inferer",
            "postprocessing": "@postprocessing",
            "val_handlers": "@handlers",
            "amp": "$torch.cuda.is_available()",
        },
        "checkpointloader": {
            "_target_": "CheckpointLoader",
            "load_path": "$@bundle_root + '/models/model.pt'",
            "load_dict": {"model": "@network"},
        },
        "initialize": ["$monai.utils.set_determinism(seed=123)", "$@checkpointloader(@evaluator)"],
        "run": ["$@evaluator.run()"],
    }


def train() -> dict[str, Any]:
    pairs = "$[{'image': i, 'label': l} for i, l in zip(@images, @labels_)]"
    return HEAD | {
        "ckpt_dir": "$@bundle_root + '/models'",
        "images": "$list(sorted(glob.glob(@dataset_dir + '/imagesTr/*.nii.gz')))",
        "labels_": "$list(sorted(glob.glob(@dataset_dir + '/labelsTr/*.nii.gz')))",
        "val_interval": 1,
        "loss": {"_target_": "DiceCELoss", "to_onehot_y": True, "softmax": True},
        "optimizer": {"_target_": "torch.optim.Adam", "params": "$@network.parameters()", "lr": 0.001},
        "train": {
            "deterministic_transforms": READ,
            "random_transforms": [
                {
                    "_target_": "RandCropByPosNegLabeld",
                    "keys": ["image", "label"],
                    "label_key": "label",
                    "spatial_size": [16, 16, 16],
                }
            ],
            "preprocessing": {
                "_target_": "Compose",
                "transforms": "$@train#deterministic_transforms + @train#random_transforms",
            },
            "dataset": {
                "_target_": "CacheDataset",
                "data": pairs,
                "transform": "@train#preprocessing",
                "cache_rate": 1.0,
            },
            "dataloader": {
                "_target_": "DataLoader",
                "dataset": "@train#dataset",
                "batch_size": 1,
                "num_workers": 0,
            },
            "inferer": {"_target_": "SimpleInferer"},
            "postprocessing": {
                "_target_": "Compose",
                "transforms": [
                    {"_target_": "Activationsd", "keys": "pred", "softmax": True},
                    {
                        "_target_": "AsDiscreted",
                        "keys": ["pred", "label"],
                        "argmax": [True, False],
                        "to_onehot": 2,
                    },
                ],
            },
            "handlers": [
                {
                    "_target_": "ValidationHandler",
                    "validator": "@validate#evaluator",
                    "interval": "@val_interval",
                },
                {"_target_": "StatsHandler", "tag_name": "train_loss"},
            ],
            "key_metric": {
                "train_accuracy": {"_target_": "ignite.metrics.Accuracy", "output_transform": FROM_ENGINE}
            },
            "trainer": {
                "_target_": "SupervisedTrainer",
                "max_epochs": 1,
                "device": "@device",
                "train_data_loader": "@train#dataloader",
                "network": "@network",
                "loss_function": "@loss",
                "optimizer": "@optimizer",
                "inferer": "@train#inferer",
                "postprocessing": "@train#postprocessing",
                "key_train_metric": "@train#key_metric",
                "train_handlers": "@train#handlers",
            },
        },
        "validate": {
            "preprocessing": {"_target_": "Compose", "transforms": "%train#deterministic_transforms"},
            "dataset": {"_target_": "CacheDataset", "data": pairs, "transform": "@validate#preprocessing"},
            "dataloader": {"_target_": "DataLoader", "dataset": "@validate#dataset", "batch_size": 1},
            "inferer": {"_target_": "SlidingWindowInferer", "roi_size": [16, 16, 16], "sw_batch_size": 2},
            "postprocessing": "%train#postprocessing",
            "handlers": [
                {
                    "_target_": "CheckpointSaver",
                    "save_dir": "@ckpt_dir",
                    "save_dict": {"model": "@network"},
                    "save_key_metric": True,
                    "key_metric_filename": "model.pt",
                }
            ],
            "key_metric": {
                "val_mean_dice": {
                    "_target_": "MeanDice",
                    "include_background": False,
                    "output_transform": FROM_ENGINE,
                }
            },
            "evaluator": {
                "_target_": "SupervisedEvaluator",
                "device": "@device",
                "val_data_loader": "@validate#dataloader",
                "network": "@network",
                "inferer": "@validate#inferer",
                "postprocessing": "@validate#postprocessing",
                "key_val_metric": "@validate#key_metric",
                "val_handlers": "@validate#handlers",
            },
        },
        "initialize": [
            "$monai.utils.set_determinism(seed=123)",
            "$setattr(torch.backends.cudnn, 'benchmark', True)",
        ],
        "run": ["$@train#trainer.run()"],
    }


def evaluate() -> dict[str, Any]:
    return {
        "validate#dataset#cache_rate": 0,
        "validate#handlers": [
            {
                "_target_": "CheckpointLoader",
                "load_path": "$@ckpt_dir + '/model.pt'",
                "load_dict": {"model": "@network"},
            },
            {"_target_": "MetricsSaver", "save_dir": "@output_dir", "metrics": ["val_mean_dice"]},
        ],
        "run": ["$@validate#evaluator.run()"],
    }


def metadata() -> dict[str, Any]:
    def tensor(name: str, channels: dict[str, str]) -> dict[str, Any]:
        return {
            "type": "image",
            "format": name,
            "num_channels": len(channels),
            "spatial_shape": [16, 16, 16],
            "dtype": "float32",
            "value_range": [0, 1],
            "is_patch_data": True,
            "channel_def": channels,
        }

    return {
        "schema": "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json",
        "version": "0.1.0",
        "changelog": {"0.1.0": "first version"},
        "monai_version": "1.4.0",
        "pytorch_version": "2.4.0",
        "numpy_version": "1.24.4",
        "required_packages_version": {"nibabel": "5.2.1", "pytorch-ignite": "0.4.11"},
        "task": "Spleen-like blob segmentation",
        "description": "A toy for tests",
        "authors": "nobody",
        "copyright": "nobody",
        "eval_metrics": {"mean_dice": 0.9},
        "network_data_format": {
            "inputs": {"image": tensor("hounsfield", {"0": "image"})},
            "outputs": {"pred": tensor("segmentation", {"0": "background", "1": "blob"})},
        },
    }


LOGGING = """[loggers]
keys=root
[handlers]
keys=consoleHandler
[formatters]
keys=fullFormatter
[logger_root]
level=INFO
handlers=consoleHandler
[handler_consoleHandler]
class=StreamHandler
level=INFO
formatter=fullFormatter
args=(sys.stdout,)
[formatter_fullFormatter]
format=%(asctime)s - %(name)s - %(levelname)s - %(message)s
"""


def write(root: Path, parts: dict[str, Any] | None = None, suffix: str = ".json") -> Path:
    """A bundle without faults in `root`; `parts` replaces whole configs by name."""
    configs: dict[str, Any] = {"inference": inference(), "train": train(), "evaluate": evaluate()} | (
        parts or {}
    )
    for folder in ("configs", "docs", "models"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for name, config in configs.items():
        text = json.dumps(config, indent=2) if suffix == ".json" else yaml.safe_dump(config, sort_keys=False)
        (root / "configs" / f"{name}{suffix}").write_text(text)
    (root / "configs" / "metadata.json").write_text(json.dumps(metadata(), indent=2))
    (root / "configs" / "logging.conf").write_text(LOGGING)
    (root / "LICENSE").write_text("Apache License 2.0\n")
    (root / "docs" / "README.md").write_text("# A toy for tests\n")
    (root / "docs" / "data_license.txt").write_text("CC0\n")
    archive(root / "models" / "model.pt", pickle.dumps(OrderedDict(), protocol=2))
    return root


def archive(path: Path, pickled: bytes) -> None:
    """A file as `torch.save` lays it out, around any pickle."""
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("model/data.pkl", pickled)
        packed.writestr("model/version", "3\n")


def edit(path: Path, change: Any) -> None:
    """Read a JSON file, let `change` alter it in place, write it back."""
    config = json.loads(path.read_text())
    change(config)
    path.write_text(json.dumps(config, indent=2))
