"""nnU-Net's own predictor on a case of `benchmarks.inference`: same weights, same window, its own pipeline.

It needs ``nnunetv2`` (2.8), which is no dependency of medseg: from PyPI with ``--no-deps``, in an environment
of its own. Its grid is another than MONAI's (half-pixel centres), its windows are spread evenly, and a scan
with thick slices is resampled plane by plane and slices are copied, so its labels differ a little where
structures end.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.inference_cases import BandNet

ROI_SIZE = (96, 96, 96)
OVERLAP = 0.25


def is_installed() -> bool:
    """True where nnU-Net can be imported."""
    return importlib.util.find_spec("nnunetv2") is not None


class Turned(torch.nn.Module):
    """A network of (x, y, z) for nnU-Net, which has (z, y, x)."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scores of the windows."""
        return self.network(x.permute(0, 1, 4, 3, 2)).permute(0, 1, 4, 3, 2)


def plans() -> dict[str, Any]:
    """What nnU-Net would have in its plans for such a CT, with the defaults of its planner."""
    resampling = {"is_seg": False, "order_z": 0, "force_separate_z": None}
    name = "resample_data_or_seg_to_shape"
    ct = {"mean": -1000.0, "std": 2000.0, "percentile_00_5": -1000.0, "percentile_99_5": 1000.0}
    configuration = {
        "preprocessor_name": "DefaultPreprocessor",
        "patch_size": list(ROI_SIZE),
        "spacing": [2.0, 1.5, 1.5],
        "normalization_schemes": ["CTNormalization"],
        "use_mask_for_norm": [False],
        "resampling_fn_data": name,
        "resampling_fn_data_kwargs": {**resampling, "order": 3},
        "resampling_fn_seg": name,
        "resampling_fn_seg_kwargs": {**resampling, "is_seg": True, "order": 1},
        "resampling_fn_probabilities": name,
        "resampling_fn_probabilities_kwargs": {**resampling, "order": 1},
        "architecture": {},
    }
    return {
        "dataset_name": "benchmark",
        "plans_name": "benchmark",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "image_reader_writer": "NibabelIOWithReorient",
        "foreground_intensity_properties_per_channel": {"0": ct},
        "configurations": {"3d_fullres": configuration},
    }


def nnunet_case(bundle: Path, scan: str, out: Path) -> Callable[[], object]:
    """A function that segments one CT by nnU-Net's predictor, from its file to its label map.

    No mirroring, as in the bundle, and the same overlap of windows.
    """
    from nnunetv2.imageio.nibabel_reader_writer import NibabelIOWithReorient
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    state = torch.load(bundle / "models" / "model.pt", weights_only=True)
    n_classes = len(state["offset"])
    network = BandNet(n_classes)
    network.load_state_dict(state)
    turned = Turned(network).eval()
    predictor = nnUNetPredictor(
        tile_step_size=1 - OVERLAP,
        use_mirroring=False,
        perform_everything_on_device=False,
        device=torch.device("cpu"),
        allow_tqdm=False,
    )
    manager = PlansManager(plans())
    labels = {"background": 0, **{f"organ {n}": n for n in range(1, n_classes)}}
    description = {"channel_names": {"0": "CT"}, "labels": labels, "file_ending": ".nii.gz"}
    predictor.manual_initialization(
        turned,
        manager,
        manager.get_configuration("3d_fullres"),
        [turned.state_dict()],
        description,
        "nnUNetTrainer",
        None,
    )

    def case() -> None:
        image, properties = NibabelIOWithReorient().read_images([scan])
        predictor.predict_single_npy_array(image, properties, None, str(out / "ct"), False)

    return case
